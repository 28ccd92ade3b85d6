//! What tenants sent each day, for the operator.

use super::{TableArgs, existing, on_table};
use crate::command::time::{FORMS, Moment};
use crate::command::{Format, output, time};
use anyhow::bail;
use std::process::ExitCode;
use vernier_aws::Table;
use vernier_ledger::access::Tenant;
use vernier_ledger::clock;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Accounts as _, Directory as _};
use vernier_ledger::time::Millis;
use vernier_ledger::traffic::{DAY_MILLIS, DayTraffic, by_day};
use vernier_ledger::work::completeness;

/// The longest range, days. A tenant's accounts of a year are 35,000 items, 28 MB.
const DAYS_MAX: i64 = 366;

/// The columns of a table.
const HEADER: [&str; 7] = [
    "tenant", "date", "requests", "events", "rejected", "bytes", "final",
];

/// The options of `vernier tenant use`.
#[derive(Debug, clap::Args)]
pub(super) struct Use {
    /// Whose; all tenants' when not given
    #[arg(value_name = "TENANT")]
    id: Option<TenantId>,
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::parse, default_value = "-7d",
        help = format!("The first day, or an instant in it: {FORMS}"))]
    from: Moment,
    /// The first day that is not asked for, or an instant in the last one
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::parse, default_value = "now")]
    to: Moment,
    /// As CSV with a header row
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    table: TableArgs,
}

/// One day of one tenant, as a row of the table.
struct Row {
    tenant: TenantId,
    day: DayTraffic,
}

impl Row {
    fn date(&self) -> String {
        self.day.start.rfc3339().chars().take(10).collect()
    }

    fn cells(&self) -> Vec<String> {
        let day = &self.day;
        vec![
            self.tenant.to_string(),
            self.date(),
            day.requests.to_string(),
            day.events.to_string(),
            day.rejected.to_string(),
            day.bytes.to_string(),
            if day.is_final { "yes" } else { "no" }.to_owned(),
        ]
    }

    fn document(&self) -> serde_json::Value {
        serde_json::json!({
            "tenant": self.tenant,
            "date": self.date(),
            "requests": self.day.requests,
            "events": self.day.events,
            "rejected": self.day.rejected,
            "bytes": self.day.bytes,
            "final": self.day.is_final,
        })
    }
}

/// Shows what tenants sent each day.
///
/// # Errors
/// The table cannot be reached, there is no such tenant, or the range is none.
pub(super) fn run(args: &Use, format: Format) -> anyhow::Result<ExitCode> {
    let now = time::now();
    let (from, to) = (args.from.millis(now), args.to.millis(now));
    if from >= to {
        bail!("--from must be before --to, which is the first day that is not asked for");
    }
    if to.0 - from.0 > DAYS_MAX * DAY_MILLIS {
        bail!("--from: at most {DAYS_MAX} days at a time");
    }
    let rows = on_table(&args.table, async |table| {
        let mut rows = Vec::new();
        let ids = match &args.id {
            Some(id) => vec![id.clone()],
            None => table.tenants().await?,
        };
        for id in ids {
            let tenant = existing(&table, &id).await?;
            rows.extend(of_tenant(&table, &tenant, (from, to)).await?);
        }
        Ok(rows)
    })?;
    show(&rows, args.csv, format)?;
    Ok(ExitCode::SUCCESS)
}

async fn of_tenant(
    table: &Table,
    tenant: &Tenant,
    (from, to): (Millis, Millis),
) -> anyhow::Result<Vec<Row>> {
    let first = Millis(from.0.div_euclid(DAY_MILLIS) * DAY_MILLIS);
    let last = Millis((to.0 - 1).div_euclid(DAY_MILLIS) * DAY_MILLIS + DAY_MILLIS);
    let through = completeness(table, &tenant.id, clock::now()).await?.through;
    let accounts = table.accounts(&tenant.id, first, last).await?;
    let days = by_day(&accounts, (from, to), through.unwrap_or(tenant.created_at));
    let row = |day| Row {
        tenant: tenant.id.clone(),
        day,
    };
    Ok(days.into_iter().map(row).collect())
}

fn show(rows: &[Row], csv: bool, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        for row in rows {
            output::json(&row.document())?;
        }
        return Ok(());
    }
    let cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
    if csv {
        // No cell holds a comma, a quotation mark or the beginning of a formula.
        output::line(HEADER.join(","))?;
        for row in &cells {
            output::line(row.join(","))?;
        }
        return Ok(());
    }
    output::line(output::table(&HEADER, &cells))?;
    Ok(())
}
