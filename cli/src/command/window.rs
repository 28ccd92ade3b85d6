//! `vernier window`: what an operator does to one window of a tenant.

use super::tenant::{TableArgs, existing, now, on_table};
use super::{Format, output, time};
use anyhow::bail;
use clap::Subcommand;
use serde_json::json;
use std::process::ExitCode;
use vernier_archive::limits::REASON_BYTES_MAX;
use vernier_aws::Table;
use vernier_ledger::holds::{HeldWindow, Holds as _};
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::WINDOW_SECONDS_MAX;
use vernier_ledger::ports::Chains as _;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Cause, Nonce, Owner, WorkEntry, WorkKey, WorkLists as _};

/// Decide about one window of a tenant (in DynamoDB)
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A window that does not add up is held: later ones are sealed meanwhile, and it is when what it misses has
come, or with a signed shortfall when its hold is over (HoldSeconds after nothing can come by itself).

Examples:
  vernier window seal school 2026-09-01T09:15:00Z --short --reason 'the sensor was replaced'")]
pub(super) struct Args {
    #[command(subcommand)]
    command: WindowCommand,
}

#[derive(Debug, Subcommand)]
enum WindowCommand {
    /// Seal a held window without waiting for its hold to end, with what is there
    #[command(after_help = "\
Examples:
  vernier window seal school 2026-09-01T09:15:00Z --short --reason 'the sensor was replaced'

The seal says what is missing, by receipt and slice, and has the reason, which is signed and stays for
good: it should name nobody. What comes later all the same is sealed then, as a backfill with new totals.
A worker seals it within minutes; `vernier windows` shows it as short then, and the audit topic is told.

Exit codes: 0 the hold is ended, 2 the window is not held, wrong usage or out of reach.")]
    Seal(Seal),
}

#[derive(Debug, clap::Args)]
struct Seal {
    /// The name of the tenant whose window it is
    #[arg(value_name = "TENANT")]
    id: TenantId,
    #[arg(value_name = "WINDOW", allow_hyphen_values = true, value_parser = time::parse,
        help = format!("An instant in the window: {}", time::FORMS))]
    window: time::Moment,
    /// Say that the window may be sealed although something is missing
    #[arg(long, required = true)]
    short: bool,
    /// Why, in at most 512 bytes; it is signed with the seal
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    #[command(flatten)]
    table: TableArgs,
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.len() {
        1..=REASON_BYTES_MAX => Ok(text.to_owned()),
        0 => Err("a reason has to say something".to_owned()),
        bytes => Err(format!("{bytes} bytes; {REASON_BYTES_MAX} are the most")),
    }
}

/// Ends the hold of one window of a tenant, and says which window that was.
///
/// # Errors
/// The table cannot be reached, there is no such tenant, or the window is not held.
pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<ExitCode> {
    let WindowCommand::Seal(seal) = &args.command;
    let at = seal.window.millis(time::now());
    let ended = on_table(&seal.table, async |table| {
        let tenant = existing(&table, &seal.id).await?;
        end_hold(&table, &tenant.id, at, &seal.reason).await
    })?;
    let (start, end) = (ended.window.start.rfc3339(), ended.window.end.rfc3339());
    match format {
        Format::Json => output::json(&json!({
            "tenant": seal.id, "start": start, "end": end,
            "held_since": ended.since.map(Millis::rfc3339), "reason": ended.reason,
        }))?,
        Format::Text => output::line(format!(
            "the hold of {start} is ended; a worker seals it with what is there within minutes"
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends the hold of the window that an instant lies in, and has a worker look at it at once.
async fn end_hold(
    table: &Table,
    tenant: &TenantId,
    at: Millis,
    reason: &str,
) -> anyhow::Result<HeldWindow> {
    let Some(head) = table.chain(tenant).await? else {
        bail!("{tenant} has no chain of seals yet: no window of it was closed");
    };
    let held = table.held_windows(tenant, &head).await?;
    let Some(seen) = held.into_iter().find(|held| held.window.contains(at)) else {
        bail!("{}", not_held(table, tenant, at, head.through).await?);
    };
    if !head.has_items() {
        bail!(
            "no worker has looked at the window of {} since it was passed: `vernier work nudge {tenant}` has one do so, then try again",
            seen.window.start.rfc3339()
        );
    }
    let ended = seen.ended(reason.to_owned());
    if !table.change_held(tenant, &seen, &ended).await? {
        bail!(
            "the window of {} was changed meanwhile: look at `vernier windows`, and try again",
            seen.window.start.rfc3339()
        );
    }
    // Behind it: whoever takes the entry finds the hold ended.
    let key = WorkKey::at(Cause::Close, seen.window.start);
    let entry = WorkEntry::new(key, now(), Nonce::random());
    table
        .put_work(&Owner::Tenant(tenant.clone()), &entry)
        .await?;
    Ok(ended)
}

/// Why a window cannot be ended: what it is instead of held.
async fn not_held(
    table: &Table,
    tenant: &TenantId,
    at: Millis,
    through: Millis,
) -> anyhow::Result<String> {
    let instant = at.rfc3339();
    if at >= through {
        return Ok(format!(
            "the window of {instant} is not closed: windows before {} are sealed or held",
            through.rfc3339()
        ));
    }
    let from = at.plus_seconds(-WINDOW_SECONDS_MAX);
    let seals = table.seals(tenant, from, Millis(at.0 + 1)).await?;
    let seal = seals.iter().rfind(|seal| seal.window_of(at).is_some());
    Ok(match seal {
        Some(seal) if seal.missing > 0 => format!(
            "the window of {instant} is sealed by seal {}, which misses something of {} envelopes: what comes is sealed as a backfill",
            seal.sequence, seal.missing
        ),
        Some(seal) => format!(
            "the window of {instant} is sealed by seal {}",
            seal.sequence
        ),
        None => format!("{tenant} had no window at {instant}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something_and_not_too_much() {
        assert_eq!(
            reason("  moved to another school "),
            Ok("moved to another school".to_owned())
        );
        assert!(reason("  ").is_err_and(|why| why.contains("say something")));
        assert!(reason(&"x".repeat(513)).is_err_and(|why| why.contains("512 are the most")));
    }
}
