//! `vernier playback`.

use super::api::{Api, ApiArgs};
use super::time::{FORMS, Moment};
use super::{FINDINGS, Format, output, time};
use anyhow::bail;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use std::time::Duration;
use vernier_ledger::playback_job::PlaybackId;

/// Between two looks at a playback that is watched. The service goes on with it each minute.
const WATCH_PAUSE: Duration = Duration::from_secs(2);

/// Send events through again: start, watch, pause and cancel playbacks
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: PlaybackCommand,
}

#[derive(Debug, Subcommand)]
enum PlaybackCommand {
    /// Start a playback; with --dry-run, learn what it would change
    #[command(after_help = "\
Examples:
  vernier playback start --from 2026-09-01 --to now --dry-run --watch
  vernier playback start --from -1d --group https://school.example/sections/3 --rate 500
  vernier playback start --receipt 01a05c4d-d5c1-7008-8707-070707070707 --format json | jq -r .id
  vernier playback start --source quarantine --from -7d --rule event.id --dry-run
  vernier playback start --source failures

To the results (the default) it merges stored events once more. Merging keeps the latest event, so
that it is safe at any time, and results that were lost come back as they were.
To the stream it sends stored events again, in new envelopes: each ends as a duplicate of the event
that is sealed, and nothing changes. It takes 500 events a second unless --rate says otherwise, so that sensors
do not wait for it; a minute's events may come at once. From the quarantine it judges rejected events by the mode and the
schemas of today and sends those that pass; the others stay where they are. From failures it brings
back batches that the trigger gave up, as the service does by itself every few minutes.

Exit codes: 0 started (with --watch: done), 1 it failed or was cancelled, 2 wrong usage or out of reach.")]
    Start(Box<Start>),
    /// List playbacks, the newest first
    #[command(
        after_help = "Examples:\n  vernier playback list --format json | jq '.playbacks[].state'"
    )]
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Show a playback, or watch it to its end
    #[command(after_help = "\
Examples:
  vernier playback show 01a05c4d-d5c1-7008-8707-070707070707 --watch

Exit codes: 0 all well, 1 it failed or was cancelled, 2 wrong usage or out of reach.")]
    Show {
        #[command(flatten)]
        job: Job,
        /// Look until it has ended, with a progress bar on a terminal
        #[arg(long)]
        watch: bool,
    },
    /// Pause a playback; what it has done stays
    #[command(
        after_help = "Examples:\n  vernier playback pause 01a05c4d-d5c1-7008-8707-070707070707"
    )]
    Pause(Job),
    /// Go on with a paused playback
    #[command(
        after_help = "Examples:\n  vernier playback resume 01a05c4d-d5c1-7008-8707-070707070707"
    )]
    Resume(Job),
    /// End a playback for good; what it has done stays
    #[command(
        after_help = "Examples:\n  vernier playback cancel 01a05c4d-d5c1-7008-8707-070707070707"
    )]
    Cancel(Job),
}

#[derive(Debug, clap::Args)]
struct Job {
    /// Its id, as start and list show it
    #[arg(value_name = "ID")]
    id: PlaybackId,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, clap::Args)]
struct Start {
    #[command(flatten)]
    api: ApiArgs,
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::parse,
        help = format!("Received at or after: {FORMS}"))]
    from: Option<Moment>,
    /// Received before
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::parse, default_value = "now")]
    to: Moment,
    /// Events of this envelope alone; may be repeated
    #[arg(long = "receipt", value_name = "RECEIPT", conflicts_with = "from")]
    receipts: Vec<PlaybackId>,
    /// What is sent through: stored events, rejected ones, or batches that the trigger gave up
    #[arg(long, default_value = "archive", value_parser = ["archive", "quarantine", "failures"])]
    source: String,
    /// Where it goes; by default the archive to the results, everything else to the stream
    #[arg(long, value_parser = ["results", "stream"])]
    target: Option<String>,
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE")]
    type_name: Option<String>,
    /// Only events with this action
    #[arg(long)]
    action: Option<String>,
    /// Only events of this actor's id
    #[arg(long, value_name = "IRI")]
    actor: Option<String>,
    /// Only events of this section's (group's) id
    #[arg(long, value_name = "IRI")]
    group: Option<String>,
    /// Only events of this sensor
    #[arg(long)]
    sensor: Option<String>,
    /// Only rejected events that this rule rejected
    #[arg(long)]
    rule: Option<String>,
    /// Change nothing: count results that would be created, changed or stay, and the cost
    #[arg(long)]
    dry_run: bool,
    /// At most so many events a second, on the average of a minute; to the stream 500 unless said otherwise
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Look until it has ended, with a progress bar on a terminal
    #[arg(long)]
    watch: bool,
}

impl Start {
    fn body(&self) -> Value {
        let usual = match self.source.as_str() {
            "archive" => "results",
            _ => "stream",
        };
        let target = self.target.as_deref().unwrap_or(usual);
        let mut body = json!({ "source": self.source, "target": target, "dry_run": self.dry_run });
        if let Some(from) = self.from {
            let now = time::now();
            body["from"] = from.rfc3339(now).into();
            body["to"] = self.to.rfc3339(now).into();
        } else if !self.receipts.is_empty() {
            body["receipts"] = self.receipts.iter().map(PlaybackId::to_string).collect();
        }
        let columns = [
            ("type", &self.type_name),
            ("action", &self.action),
            ("actor", &self.actor),
            ("group", &self.group),
            ("sensor", &self.sensor),
            ("rule", &self.rule),
        ];
        let filter: Map<String, Value> = columns
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into())))
            .collect();
        body["filter"] = filter.into();
        if let Some(rate) = self.rate {
            body["rate"] = rate.into();
        }
        body
    }
}

/// Runs a subcommand.
///
/// # Errors
/// The service cannot be reached or refuses.
pub(super) fn run(args: Args, format: Format) -> anyhow::Result<ExitCode> {
    match args.command {
        PlaybackCommand::Start(start) => {
            if start.from.is_none() && start.receipts.is_empty() && start.source != "failures" {
                bail!("which events? --from (and --to), or --receipt");
            }
            let api = Api::new(&start.api, 1)?;
            let body = serde_json::to_vec(&start.body())?;
            let job = api.post_json("/playbacks", &body)?;
            finish(&api, job, start.watch, format)
        }
        PlaybackCommand::List { api } => {
            let answer = Api::new(&api, 1)?.get("/playbacks", &[])?;
            match format {
                Format::Json => output::json(&answer)?,
                Format::Text => output::line(list(&answer))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        PlaybackCommand::Show { job, watch } => {
            let api = Api::new(&job.api, 1)?;
            let seen = api.get(&format!("/playbacks/{}", job.id), &[])?;
            finish(&api, seen, watch, format)
        }
        PlaybackCommand::Pause(job) => act(&job, "pause", format),
        PlaybackCommand::Resume(job) => act(&job, "resume", format),
        PlaybackCommand::Cancel(job) => act(&job, "cancel", format),
    }
}

fn act(job: &Job, action: &str, format: Format) -> anyhow::Result<ExitCode> {
    let api = Api::new(&job.api, 1)?;
    let seen = api.post_json(&format!("/playbacks/{}/{action}", job.id), b"")?;
    show(&seen, format)?;
    Ok(ExitCode::SUCCESS)
}

fn word<'v>(job: &'v Value, name: &str) -> &'v str {
    job.get(name).and_then(Value::as_str).unwrap_or("-")
}

fn count(job: &Value, pointer: &str) -> u64 {
    job.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// Shows a playback, at its end where it is watched.
fn finish(api: &Api, job: Value, watch: bool, format: Format) -> anyhow::Result<ExitCode> {
    let job = if watch { watched(api, job)? } else { job };
    show(&job, format)?;
    Ok(match word(&job, "state") {
        "failed" | "cancelled" => ExitCode::from(FINDINGS),
        _ => ExitCode::SUCCESS,
    })
}

fn watched(api: &Api, mut job: Value) -> anyhow::Result<Value> {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let form = "{bar:30} {human_pos} of {human_len} events, {msg}, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    let Ok(id) = word(&job, "id").parse::<PlaybackId>() else {
        bail!("the service gave no playback");
    };
    loop {
        bar.set_length(count(&job, "/progress/events"));
        bar.set_position(count(&job, "/progress/events_passed"));
        bar.set_message(word(&job, "state").to_owned());
        if matches!(word(&job, "state"), "done" | "failed" | "cancelled") {
            bar.finish_and_clear();
            return Ok(job);
        }
        std::thread::sleep(WATCH_PAUSE);
        job = api.get(&format!("/playbacks/{id}"), &[])?;
    }
}

fn show(job: &Value, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => output::json(job)?,
        Format::Text => output::line(text(job))?,
    }
    Ok(())
}

fn text(job: &Value) -> String {
    let number = |pointer: &str| output::thousands(count(job, pointer));
    let mut lines = vec![format!(
        "playback {} is {}: {} of {} events passed, {} played, {} of {} seals",
        word(job, "id"),
        word(job, "state"),
        number("/progress/events_passed"),
        number("/progress/events"),
        number("/progress/events_played"),
        number("/progress/seals_done"),
        number("/progress/seals"),
    )];
    let (envelopes, rejected) = ("/progress/envelopes", "/progress/rejected_again");
    if count(job, envelopes) + count(job, rejected) > 0 {
        lines.push(format!(
            "{} envelopes to the stream, {} events rejected again",
            number(envelopes),
            number(rejected)
        ));
    }
    if let Some(reason) = job.get("reason").and_then(Value::as_str) {
        lines.push(format!("because {reason}"));
    }
    let usd = job.pointer("/cost/usd").and_then(Value::as_f64);
    if let Some(usd) = usd {
        let units = number("/cost/write_units");
        let date = job.pointer("/cost/prices_as_of").and_then(Value::as_str);
        let date = date.unwrap_or("-");
        lines.push(format!(
            "{units} write units, ${usd:.4} by the prices of {date}"
        ));
    }
    if job.get("diff").is_some_and(Value::is_object) {
        lines.push(format!(
            "nothing was changed; results: {} would be created, {} changed, {} are the same",
            number("/diff/created"),
            number("/diff/changed"),
            number("/diff/same")
        ));
        let examples = job.pointer("/diff/examples").and_then(Value::as_array);
        lines.extend(examples.into_iter().flatten().map(example));
    }
    lines.join("\n")
}

fn example(example: &Value) -> String {
    let score = |name: &str| {
        let score = example.get(name).and_then(Value::as_f64);
        score.map_or("none".to_owned(), |score| score.to_string())
    };
    let what = if example.get("created").and_then(Value::as_bool) == Some(true) {
        "created"
    } else {
        "changed"
    };
    format!(
        "  {what}: {} at {}, score {} to {}",
        word(example, "learner"),
        word(example, "assignment"),
        score("score_before"),
        score("score_after")
    )
}

fn list(answer: &Value) -> String {
    let jobs = answer.get("playbacks").and_then(Value::as_array);
    let row = |job: &Value| {
        let dry = job.pointer("/request/dry_run").and_then(Value::as_bool);
        vec![
            word(job, "id").to_owned(),
            word(job, "state").to_owned(),
            (if dry == Some(true) { "yes" } else { "no" }).to_owned(),
            output::thousands(count(job, "/progress/events_passed")),
            output::thousands(count(job, "/progress/events")),
            output::thousands(count(job, "/progress/events_played")),
            word(job, "created_at").to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = jobs.into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        return "no playbacks".to_owned();
    }
    let header = [
        "playback", "state", "dry run", "passed", "events", "played", "created",
    ];
    output::table(&header, &rows)
}
