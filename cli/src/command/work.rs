//! `vernier work`: what is to be done for a tenant, why it is not done yet, and making it due.

use super::tenant::{TableArgs, existing, now, on_table};
use super::{Format, output};
use clap::Subcommand;
use serde_json::{Value, json};
use std::process::ExitCode;
use vernier_aws::Table;
use vernier_ledger::account::{WindowAccount, WindowState};
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::Accounts as _;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{
    AUDIT_SEED, Cause, Nonce, Owner, WorkEntry, WorkKey, WorkLists as _, nudge_all,
};

/// Show what is to be done for a tenant and when it is tried next, or have it done now (in DynamoDB)
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What reconcile has to do for a tenant stands in a list: windows to close, days to compact, playbacks to go
on with, files that nothing names. Each minute the planner nudges whoever has something due, and a worker
does it. A window that does not add up is tried again after one minute, then after twice as long each
time, up to an hour.

Examples:
  vernier work list school
  vernier work list --ledger
  vernier work list --shard shardId-000000000000
  vernier work nudge school
  vernier work audit")]
pub(super) struct Args {
    #[command(subcommand)]
    command: WorkCommand,
}

#[derive(Debug, Subcommand)]
enum WorkCommand {
    /// List what is to be done, why it is not done, and when it is tried next
    #[command(after_help = "\
Examples:
  vernier work list school
  vernier work list school --format json | jq 'select(.tries > 3)'

Causes: late (something came after its window was sealed), close (a window that may have received
something), compact (a day), recount (a day, before its receipts expire), playback, sweep (files that nothing names). Of the ledger itself: list
(commits of earlier versions), recover (finds batches that ran out of retries), sweep-segments, check-shards,
audit. Of a shard: recover (what a tenant's window misses of it, or batches that ran out of retries).

Exit codes: 0 nothing was tried in vain, 1 something was, 2 wrong usage or out of reach.")]
    List(Of),
    /// Make everything in a list due now that waits for nothing but its next try
    #[command(after_help = "\
Examples:
  vernier work nudge school
  vernier work nudge --ledger

The planner's next run, within a minute, has a worker take it. A window that is not over, or of which something
may still come, keeps its time.")]
    Nudge(Of),
    /// Compare every tenant's list with what the tenant has, after functions of an earlier version have run
    #[command(after_help = "\
Examples:
  vernier work audit

An upgrade does so by itself. Run it when the version before, which kept no lists, was deployed again for a
while: what was received then has no entries. It goes through all tenants, in the background.")]
    Audit {
        #[command(flatten)]
        table: TableArgs,
    },
}

/// The options that say whose list is meant.
#[derive(Debug, clap::Args)]
struct Of {
    /// The name of the tenant whose list it is
    #[arg(value_name = "TENANT", required_unless_present_any = ["ledger", "shard"])]
    id: Option<TenantId>,
    /// The ledger's own list instead: work for all tenants together
    #[arg(long, conflicts_with_all = ["id", "shard"])]
    ledger: bool,
    /// A shard's list instead: what is brought back of what the trigger went past there
    #[arg(long, value_name = "SHARD_ID", conflicts_with = "id", value_parser = shard_owner)]
    shard: Option<Owner>,
    #[command(flatten)]
    table: TableArgs,
}

/// An entry and what is known of the window that it is about.
struct Row {
    entry: WorkEntry,
    account: Option<WindowAccount>,
}

/// Lists, nudges, or has all lists audited.
///
/// # Errors
/// The table cannot be reached, or there is no such tenant.
pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<ExitCode> {
    match &args.command {
        WorkCommand::List(of) => list(of, format),
        WorkCommand::Nudge(of) => nudge(of, format),
        WorkCommand::Audit { table } => audit(table),
    }
}

/// The owner of a list, who has to be there.
async fn owner_of(table: &Table, of: &Of) -> anyhow::Result<Owner> {
    match (&of.id, &of.shard) {
        (Some(id), _) => Ok(Owner::Tenant(existing(table, id).await?.id)),
        (None, Some(shard)) => Ok(shard.clone()),
        (None, None) => Ok(Owner::Ledger),
    }
}

/// The owner of a shard's work.
fn shard_owner(id: &str) -> Result<Owner, String> {
    let owner = Owner::of_shard(id).to_string();
    owner.parse().map_err(|e| format!("no shard's id: {e}"))
}

fn list(of: &Of, format: Format) -> anyhow::Result<ExitCode> {
    let rows = on_table(&of.table, async |table| {
        let owner = owner_of(&table, of).await?;
        let mut rows = Vec::new();
        for entry in table.work(&owner).await? {
            let account = account_of(&table, &owner, &entry).await?;
            rows.push(Row { entry, account });
        }
        Ok(rows)
    })?;
    if format == Format::Json {
        for row in &rows {
            output::json(&row.document())?;
        }
    } else {
        let now = now();
        let cells: Vec<Vec<String>> = rows.iter().map(|row| row.cells(now)).collect();
        output::line(output::table(
            &["cause", "what", "due", "tries", "why"],
            &cells,
        ))?;
    }
    let in_vain = rows.iter().any(|row| row.entry.tries > 0);
    Ok(match in_vain {
        true => ExitCode::from(super::FINDINGS),
        false => ExitCode::SUCCESS,
    })
}

/// The kept account of the window that an entry is about.
async fn account_of(
    table: &Table,
    owner: &Owner,
    entry: &WorkEntry,
) -> anyhow::Result<Option<WindowAccount>> {
    let Owner::Tenant(tenant) = owner else {
        return Ok(None);
    };
    let is_window = matches!(entry.key.cause, Cause::Late | Cause::Close);
    let Some(start) = entry.key.start().filter(|_| is_window) else {
        return Ok(None);
    };
    let accounts = table.accounts(tenant, start, Millis(start.0 + 1)).await?;
    Ok(accounts.into_iter().next())
}

impl Row {
    fn what(&self) -> String {
        let start = self.entry.key.start().map(Millis::rfc3339);
        start.unwrap_or_else(|| self.entry.key.subject.clone())
    }

    fn why(&self) -> String {
        match &self.account {
            Some(account) if account.state == WindowState::Incomplete => format!(
                "received {}, stored {}: {} receipts are not wholly stored",
                account.received.tally.events, account.stored_side.events, account.missing_count
            ),
            _ if self.entry.tries > 0 && self.entry.key.cause == Cause::Recover => {
                "the trigger may still bring it, or a store failed".to_owned()
            }
            _ if self.entry.tries > 0 => {
                "it waits for an earlier window, or a store failed".to_owned()
            }
            _ => String::new(),
        }
    }

    fn cells(&self, now: Millis) -> Vec<String> {
        let entry = &self.entry;
        let due = match entry.due <= now {
            true => format!("{} (now)", entry.due),
            false => entry.due.to_string(),
        };
        vec![
            entry.key.cause.as_str().to_owned(),
            self.what(),
            due,
            entry.tries.to_string(),
            self.why(),
        ]
    }

    fn document(&self) -> Value {
        json!({
            "cause": self.entry.key.cause.as_str(),
            "what": self.what(),
            "due": self.entry.due.rfc3339(),
            "tries": self.entry.tries,
            "state": self.account.as_ref().map(|account| account.state),
            "missing_receipts": self.account.as_ref().map(|account| account.missing_count),
        })
    }
}

fn nudge(of: &Of, format: Format) -> anyhow::Result<ExitCode> {
    let nudged = on_table(&of.table, async |table| {
        let owner = owner_of(&table, of).await?;
        Ok(nudge_all(&table, &owner, Nonce::random, now()).await?)
    })?;
    if format == Format::Json {
        output::json(&json!(nudged))?;
    } else {
        output::line(format!(
            "{} entries are due now; the planner's next run has a worker take them",
            nudged.due
        ))?;
        if nudged.waiting > 0 {
            output::line(format!(
                "{} keep their time: of their windows something may still come",
                nudged.waiting
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn audit(table: &TableArgs) -> anyhow::Result<ExitCode> {
    on_table(table, async |table| {
        let key = WorkKey::of(Cause::Audit, AUDIT_SEED);
        let entry = WorkEntry::new(key, now(), Nonce::random());
        Ok(table.put_work(&Owner::Ledger, &entry).await?)
    })?;
    output::line("the lists of all tenants are audited, from the planner's next run on")?;
    Ok(ExitCode::SUCCESS)
}
