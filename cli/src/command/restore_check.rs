//! `vernier restore-check`: what a table that was restored to an earlier time does not know.

use super::tenant::{TableArgs, now, on_table};
use super::{FINDINGS, Format, output};
use serde_json::{Value, json};
use std::process::ExitCode;
use vernier_aws::Bucket;
use vernier_ledger::ports::Sweeps as _;
use vernier_ledger::restore::{
    ChainBehind, Restored, UnknownSegments, chains_behind, find_restore, unknown_segments,
};
use vernier_ledger::sweep::UnknownTime;
use vernier_ledger::time::Millis;

/// Say what a table that was restored to an earlier time does not know, and keep it from being swept
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A restored table knows nothing of the commits since the time it was restored to. Their segments lie in the
bucket and look as if nothing named them. The planner notices a restore in its first run, by the
checkpoints of the shards, and keeps the time that the table knows nothing of: segments that were written
then and that no commit names are left alone by the sweep, and announced, until --release. The command finds the
same before the planner has run, and keeps it too.

Examples:
  vernier restore-check --bucket vernier-bucket
  vernier restore-check --bucket vernier-bucket --format json | jq .segments.first
  vernier restore-check --bucket vernier-bucket --since 2026-11-27T08:00:00Z
  vernier restore-check --bucket vernier-bucket --release

Exit codes: 0 the table was not restored, or that is over; 1 it was, and something may be unknown to it; 2 wrong
usage or out of reach.")]
pub(super) struct Args {
    /// Keep that the table knows nothing from then until now, where you know of a restore that was not noticed
    #[arg(long, value_name = "INSTANT", value_parser = instant, conflicts_with = "release")]
    since: Option<Millis>,
    /// Say that it is over: what no commit names is swept again like anything else
    #[arg(long)]
    release: bool,
    /// The ledger's bucket, as the deployment prints it
    #[arg(long, env = "VERNIER_BUCKET", value_name = "BUCKET")]
    bucket: String,
    #[command(flatten)]
    table: TableArgs,
}

fn instant(text: &str) -> Result<Millis, String> {
    Millis::parse_rfc3339(text).map_err(|_| "an instant, as 2026-11-27T08:00:00Z".to_owned())
}

/// What table and bucket say of a restore.
struct Findings {
    /// By the checkpoints, where the planner has not run since the restore.
    restored: Option<Restored>,
    time: Option<UnknownTime>,
    chains: Vec<ChainBehind>,
    segments: UnknownSegments,
}

/// Looks, keeps what it finds, and says it.
///
/// # Errors
/// The stores cannot be reached.
pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<ExitCode> {
    let findings = on_table(&args.table, async |table| {
        let bucket = Bucket::new(&vernier_aws::users_config().await?, args.bucket.as_str());
        if args.release {
            table.save_unknown_time(None).await?;
        }
        let restored = find_restore(&table, &bucket).await?;
        let before = table.unknown_time().await?;
        let since = restored.as_ref().map(|restored| restored.known_at);
        let news = args
            .since
            .or(since)
            .map(|from| UnknownTime { from, until: now() });
        let time = match (before, news) {
            (Some(before), Some(news)) => Some(before.with(news)),
            (before, news) => before.or(news),
        };
        if time != before {
            table.save_unknown_time(time).await?;
        }
        let segments = match time {
            Some(time) => unknown_segments(&table, &bucket, time).await?,
            None => UnknownSegments::default(),
        };
        Ok(Findings {
            restored,
            time,
            chains: chains_behind(&table, &bucket).await?,
            segments,
        })
    })?;
    match format {
        Format::Json => output::json(&document(&findings))?,
        Format::Text => output::text(&text(&findings))?,
    }
    Ok(match findings.time {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::from(FINDINGS),
    })
}

fn document(findings: &Findings) -> Value {
    let restored = findings.restored.as_ref().map(|restored| {
        let behind = restored.behind.iter();
        let behind: Vec<Value> = behind
            .map(|b| json!({"shard": b.shard, "known": b.known, "written": b.written}))
            .collect();
        json!({
            "known_at": restored.known_at.rfc3339(),
            "written_at": restored.written_at.rfc3339(),
            "checkpoints": restored.checkpoints,
            "shards": behind,
        })
    });
    let time = findings
        .time
        .map(|time| json!({"from": time.from.rfc3339(), "until": time.until.rfc3339()}));
    let chains = findings.chains.iter();
    let chains: Vec<Value> = chains
        .map(|c| json!({"tenant": c.tenant, "next_sequence": c.next_sequence, "seals": c.seals}))
        .collect();
    let segments = &findings.segments;
    json!({
        "restored": restored,
        "unknown": time,
        "chains": chains,
        "segments": {
            "objects": segments.objects,
            "bytes": segments.bytes,
            "first": segments.first,
            "is_cut": segments.is_cut,
        },
    })
}

fn text(findings: &Findings) -> String {
    let mut lines = Vec::new();
    match findings.time {
        None => lines.push("The table was not restored to an earlier time.".to_owned()),
        Some(time) => lines.push(format!(
            "The table may know nothing of what was written from {} until {}.",
            time.from, time.until
        )),
    }
    if let Some(restored) = &findings.restored {
        lines.push(format!(
            "It names a checkpoint of {}; the bucket has {} later ones, the newest of {}.",
            restored.known_at, restored.checkpoints, restored.written_at
        ));
        for behind in &restored.behind {
            let known = behind.known.map_or("none".to_owned(), |n| n.to_string());
            lines.push(format!(
                "  shard {}: last record {known}, {} by the bucket",
                behind.shard, behind.written
            ));
        }
    }
    for chain in &findings.chains {
        lines.push(format!(
            "Tenant {}: {} seals from sequence {} on are in the bucket alone; sealing takes them over.",
            chain.tenant, chain.seals, chain.next_sequence
        ));
    }
    let segments = &findings.segments;
    if segments.objects > 0 {
        lines.push(format!(
            "{} segments ({} bytes) are named by no commit; the sweep leaves them alone until --release:",
            segments.objects, segments.bytes
        ));
        lines.extend(segments.first.iter().map(|key| format!("  {key}")));
    }
    if segments.is_cut {
        lines.push("Two weeks of segments were looked at; there are more.".to_owned());
    }
    lines.join("\n") + "\n"
}
