//! `vernier tenant`, and the way to the table that `vernier token` takes too.

use super::{Format, output, time};
use anyhow::{anyhow, bail};
use clap::Subcommand;
use std::future::Future;
use std::process::ExitCode;
use vernier_ledger::access::Tenant;
use vernier_ledger::aws::{self, Table};
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::LANES_MAX;
use vernier_ledger::ports::{Administration as _, Directory as _, PortError};
use vernier_ledger::time::Millis;
use vernier_validation::{Mode, Profile};

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

/// Create and show tenants (in DynamoDB)
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Debug, Subcommand)]
enum TenantCommand {
    /// Create a tenant
    #[command(after_help = "\
Examples:
  vernier tenant create school
  vernier tenant create old-school --mode lenient --profile moodle-1.0
  AWS_ENDPOINT_URL=http://127.0.0.1:4566 vernier tenant create school --table vernier-local")]
    Create {
        /// Its name: 1 to 63 of a-z, 0-9 and '-', first a letter or digit
        #[arg(value_name = "TENANT")]
        id: TenantId,
        /// strict: the Caliper specification decides; lenient: known deviations pass and are recorded
        #[arg(long, value_name = "MODE", default_value_t = Mode::Strict)]
        mode: Mode,
        /// Whose deviations lenient mode knows: generic, moodle-1.0, canvas, blackboard, openedx
        #[arg(long, value_name = "PROFILE", default_value_t = Profile::Generic)]
        profile: Profile,
        /// Lanes (partition keys on the stream): 1 for each 500 envelopes a second
        #[arg(long, value_name = "LANES", default_value_t = 1,
            value_parser = clap::value_parser!(u16).range(1..=i64::from(LANES_MAX)))]
        lanes: u16,
        #[command(flatten)]
        table: TableArgs,
    },
    /// List all tenants
    #[command(after_help = "Examples:\n  vernier tenant list\n  vernier tenant list --format json")]
    List {
        #[command(flatten)]
        table: TableArgs,
    },
    /// Show one tenant
    #[command(after_help = "Examples:\n  vernier tenant show school")]
    Show {
        /// Its name
        #[arg(value_name = "TENANT")]
        id: TenantId,
        #[command(flatten)]
        table: TableArgs,
    },
}

/// Creates or shows.
///
/// # Errors
/// The table cannot be reached, the tenant is there already, or is not there.
pub(super) fn run(args: Args, format: Format) -> anyhow::Result<ExitCode> {
    match args.command {
        TenantCommand::Create {
            id,
            mode,
            profile,
            lanes,
            table,
        } => {
            let tenant = Tenant {
                id,
                mode,
                profile,
                lanes,
                created_at: now(),
            };
            let created = on_table(&table, async |table| {
                Ok(table.create_tenant(&tenant).await?)
            })?;
            if !created {
                bail!(
                    "there is a tenant {} already; nothing was changed",
                    tenant.id
                );
            }
            show(&[tenant], format)?;
        }
        TenantCommand::List { table } => {
            let tenants = on_table(&table, async |table| {
                let mut tenants = Vec::new();
                for id in table.tenants().await? {
                    tenants.extend(table.tenant(&id).await?);
                }
                Ok(tenants)
            })?;
            show(&tenants, format)?;
        }
        TenantCommand::Show { id, table } => {
            let tenant = on_table(&table, async |table| existing(&table, &id).await)?;
            show(&[tenant], format)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(tenants: &[Tenant], format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        for tenant in tenants {
            output::json(&document(tenant))?;
        }
        return Ok(());
    }
    let row = |t: &Tenant| {
        vec![
            t.id.to_string(),
            t.mode.to_string(),
            t.profile.to_string(),
            t.lanes.to_string(),
            t.created_at.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = tenants.iter().map(row).collect();
    output::line(output::table(
        &["tenant", "mode", "profile", "lanes", "created"],
        &rows,
    ))?;
    Ok(())
}

fn document(tenant: &Tenant) -> serde_json::Value {
    serde_json::json!({
        "tenant": tenant.id,
        "mode": tenant.mode,
        "profile": tenant.profile,
        "lanes": tenant.lanes,
        "created_at": tenant.created_at.rfc3339(),
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
        let config = aws::users_config().await?;
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
