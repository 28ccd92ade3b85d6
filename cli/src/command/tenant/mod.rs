//! `vernier tenant`, and the way to the table that `vernier token` takes too.

mod end;
mod settings;
mod traffic;

use super::{Format, output, time};
use anyhow::anyhow;
use clap::Subcommand;
use std::future::Future;
use std::process::ExitCode;
use vernier_aws::Table;
use vernier_ledger::access::Tenant;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Directory as _, PortError};
use vernier_ledger::rates::RateUnit;
use vernier_ledger::spread::{GrownSpread, Spread, Spreads as _};
use vernier_ledger::time::Millis;

/// Which table, reached through the ordinary AWS environment.
#[derive(Debug, clap::Args)]
pub(super) struct TableArgs {
    /// The ledger's DynamoDB table, as the deployment prints it
    #[arg(
        long,
        env = "VERNIER_TABLE",
        value_name = "TABLE",
        default_value = "vernier"
    )]
    table: String,
}

/// Create, change and show tenants (in DynamoDB)
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A tenant is one organisation's data behind walls: its tokens read and write nothing else. What it is
created with can be changed at any time; functions that know it follow within TokenCacheSeconds (60).

A tenant's rates keep it from crowding out its neighbours. What all its sensors together send beyond a
rate is answered 429 with Retry-After, and sensors send it again; nothing of it is taken. A second's
allowance can be saved up by rest. An envelope that is larger than that is taken when nothing is spent,
and the seconds that it costs come after it. Without a rate nothing is limited.

Lanes are partitions of a tenant's receipts, keys its partition keys on the stream. A tenant that is throttled
in one of them gets twice as many, at most once a minute and up to 256 lanes and 4,194,304 keys; both stay.

Examples:
  vernier tenant create school --events-per-second 500
  vernier tenant set school --events-per-second none --requests-per-second 50
  vernier tenant show school")]
pub(super) struct Args {
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Debug, Subcommand)]
enum TenantCommand {
    /// Create a tenant with its mode, profile and lanes
    #[command(after_help = "\
Examples:
  vernier tenant create school
  vernier tenant create old-school --mode lenient --profile moodle-1.0
  vernier tenant create school --events-per-second 500 --bytes-per-second 1000000
  AWS_ENDPOINT_URL=http://127.0.0.1:4566 vernier tenant create school --table vernier-local

The name is a partition of the archive (tenant=school), and readers of such folders guess its type: a name
like 2026, 2026-01-01, 1e5, true or null would be read as a number, a date or nothing, and is refused.")]
    Create(settings::Create),
    /// Change a tenant's settings; what is not named stays
    #[command(after_help = "\
Examples:
  vernier tenant set school --requests-per-second 50 --events-per-second 2000
  vernier tenant set school --bytes-per-second none
  vernier tenant set school --mode lenient --profile canvas

Exit codes: 0 changed, 1 it is like that already, 2 wrong usage or out of reach.")]
    Set(settings::Set),
    /// Show what tenants sent each day: requests, events, bytes
    #[command(after_help = "\
Examples:
  vernier tenant use
  vernier tenant use school --from 2026-09-01 --to 2026-10-01 --csv > september.csv
  vernier tenant use --from -30d --format json | jq 'select(.events > 0)'

Counted are envelopes that were taken, their events and the bytes of their bodies (decompressed), by day
of receipt in UTC, with what playbacks sent again; what was refused is not. A day's figures are final when
it is over and each of its windows adds up, some minutes after midnight where nothing is amiss. The figures
come from the windows' accounts, which are kept for good. A tenant's own administrator reads the same by
'vernier report traffic' with a token that has audit:read or admin.")]
    Use(traffic::Use),
    /// Close a tenant: revoke its tokens, and let nothing of it be written any more
    #[command(after_help = "\
Examples:
  vernier tenant close school
  vernier token issue --tenant school --sensor export --scope events:read,reports:read,audit:read

What was received stays: it is sealed, can be read by tokens that are issued from now on and that only
read, and exported like any other archive (`vernier verify --help` names its folders). Closing a
closed tenant revokes what was issued since.")]
    Close(end::Close),
    /// Remove a closed tenant's data for good
    #[command(after_help = "\
Examples:
  vernier tenant remove school --bucket vernier-bucket --dry-run
  vernier tenant remove school --bucket vernier-bucket
  vernier tenant remove school --bucket vernier-bucket --confirm school

Lists the tenant's objects and items, asks for its name, and removes them; one that was cut off is
finished by running it again. It reads the whole table. Segments hold events of several tenants: removal
waits until the last of them is swept, SegmentDays (30) and eight days after the closing.

Exit codes: 0 removed, 1 the name was not typed, 2 wrong usage, too early or out of reach.")]
    Remove(end::Remove),
    /// List all tenants with their settings
    #[command(after_help = "Examples:\n  vernier tenant list\n  vernier tenant list --format json")]
    List {
        #[command(flatten)]
        table: TableArgs,
    },
    /// Show one tenant with its settings and rates
    #[command(after_help = "Examples:\n  vernier tenant show school")]
    Show {
        /// The name of the tenant that is shown
        #[arg(value_name = "TENANT")]
        id: TenantId,
        #[command(flatten)]
        table: TableArgs,
    },
}

/// Creates, changes or shows.
///
/// # Errors
/// The table cannot be reached, the tenant is there already, or is not there.
pub(super) fn run(args: Args, format: Format) -> anyhow::Result<ExitCode> {
    match args.command {
        TenantCommand::Create(create) => return settings::create(create, format),
        TenantCommand::Set(set) => return settings::set(&set, format),
        TenantCommand::Close(close) => return end::close(&close, format),
        TenantCommand::Remove(remove) => return end::remove(&remove, format),
        TenantCommand::Use(of) => return traffic::run(&of, format),
        TenantCommand::List { table } => {
            let tenants = on_table(&table, async |table| {
                let mut tenants = Vec::new();
                for id in table.tenants().await? {
                    if let Some(tenant) = table.tenant(&id).await? {
                        tenants.push(Shown::read(&table, tenant).await?);
                    }
                }
                Ok(tenants)
            })?;
            show(&tenants, format)?;
        }
        TenantCommand::Show { id, table } => {
            let shown = on_table(&table, async |table| {
                let tenant = existing(&table, &id).await?;
                Ok(Shown::read(&table, tenant).await?)
            })?;
            show(&[shown], format)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A tenant with its settings, and how far it has grown by itself.
struct Shown {
    tenant: Tenant,
    grown: Option<GrownSpread>,
}

impl Shown {
    /// Shows a tenant that was created a moment ago.
    const fn new(tenant: Tenant) -> Self {
        Self {
            tenant,
            grown: None,
        }
    }

    async fn read(table: &Table, tenant: Tenant) -> Result<Self, PortError> {
        let grown = table.grown_spread(&tenant.id).await?;
        Ok(Self { tenant, grown })
    }

    fn spread(&self) -> Spread {
        Spread::of(&self.tenant, self.grown.as_ref())
    }
}

fn show(tenants: &[Shown], format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        for shown in tenants {
            output::json(&document(shown))?;
        }
        return Ok(());
    }
    let row = |shown: &Shown| {
        let (t, spread) = (&shown.tenant, shown.spread());
        vec![
            t.id.to_string(),
            t.mode.to_string(),
            t.profile.to_string(),
            spread.lanes.to_string(),
            spread.stream_keys.to_string(),
            rates(t),
            t.created_at.to_string(),
            state(t),
        ]
    };
    let rows: Vec<Vec<String>> = tenants.iter().map(row).collect();
    output::line(output::table(
        &[
            "tenant", "mode", "profile", "lanes", "keys", "rates", "created", "state",
        ],
        &rows,
    ))?;
    Ok(())
}

/// The rates in a cell of the table.
fn rates(tenant: &Tenant) -> String {
    let of = |unit: RateUnit| Some(format!("{} {unit}/s", tenant.rates.of(unit)?));
    let all: Vec<String> = RateUnit::ALL.into_iter().filter_map(of).collect();
    match all.is_empty() {
        true => "none".to_owned(),
        false => all.join(", "),
    }
}

fn state(tenant: &Tenant) -> String {
    match (tenant.removed_at, tenant.closed_at) {
        (Some(at), _) => format!("removed {at}"),
        (None, Some(at)) => format!("closed {at}"),
        (None, None) => "open".to_owned(),
    }
}

fn document(shown: &Shown) -> serde_json::Value {
    let (tenant, spread) = (&shown.tenant, shown.spread());
    serde_json::json!({
        "tenant": tenant.id,
        "mode": tenant.mode,
        "profile": tenant.profile,
        "lanes": spread.lanes,
        "stream_keys": spread.stream_keys,
        "grown_at": shown.grown.map(|grown| grown.grown_at.rfc3339()),
        "requests_per_second": tenant.rates.requests_per_second,
        "events_per_second": tenant.rates.events_per_second,
        "bytes_per_second": tenant.rates.bytes_per_second,
        "created_at": tenant.created_at.rfc3339(),
        "closed_at": tenant.closed_at.map(Millis::rfc3339),
        "removed_at": tenant.removed_at.map(Millis::rfc3339),
    })
}

/// The tenant, which has to be there.
pub(super) async fn existing(table: &Table, id: &TenantId) -> anyhow::Result<Tenant> {
    table
        .tenant(id)
        .await?
        .ok_or_else(|| anyhow!("there is no tenant {id}"))
}

/// Now, in the ledger's form.
pub(super) fn now() -> Millis {
    Millis(time::now().as_millisecond())
}

/// Runs something against the table.
pub(super) fn on_table<T, F>(args: &TableArgs, task: impl FnOnce(Table) -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let config = vernier_aws::users_config().await?;
        let done = task(Table::new(&config, args.table.as_str())).await;
        done.map_err(|error| match error.is::<PortError>() {
            true => error.context(format!(
                "table {} (set by --table or VERNIER_TABLE; AWS by AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL)",
                args.table
            )),
            false => error,
        })
    })
}
