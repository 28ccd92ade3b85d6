//! A tenant's end: closing it, and removing its data.

use super::{TableArgs, now, on_table};
use crate::command::{FINDINGS, Format, output};
use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;
use vernier_aws::Bucket;
use vernier_ledger::ids::TenantId;
use vernier_ledger::offboarding::{self, Estate};
use vernier_ledger::time::Millis;

/// The options of `vernier tenant close`.
#[derive(Debug, clap::Args)]
pub(super) struct Close {
    /// The name of the tenant that is closed
    #[arg(value_name = "TENANT")]
    id: TenantId,
    #[command(flatten)]
    table: TableArgs,
}

/// Closes a tenant and revokes its tokens.
///
/// # Errors
/// The table cannot be reached, or there is no such tenant.
pub(super) fn close(args: &Close, format: Format) -> anyhow::Result<ExitCode> {
    let closed = on_table(&args.table, async |table| {
        Ok(offboarding::close(&table, &args.id, now()).await?)
    })?;
    let at = closed.tenant.closed_at.unwrap_or_default();
    if format == Format::Json {
        output::json(&serde_json::json!({
            "tenant": args.id,
            "closed_at": at.rfc3339(),
            "revoked_tokens": closed.revoked,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format!(
        "tenant {} is closed since {at}; {} tokens were revoked",
        args.id,
        closed.revoked.len()
    ))?;
    eprintln!(
        "Functions that know a token forget it within TokenCacheSeconds. Read and export with a new one: \
         vernier token issue --tenant {} --sensor export --scope events:read,reports:read,audit:read",
        args.id
    );
    Ok(ExitCode::SUCCESS)
}

/// The options of `vernier tenant remove`.
#[derive(Debug, clap::Args)]
pub(super) struct Remove {
    /// The name of the closed tenant whose data is removed
    #[arg(value_name = "TENANT")]
    id: TenantId,
    /// Its name once more: removes without asking
    #[arg(long, value_name = "TENANT")]
    confirm: Option<TenantId>,
    /// Say what would be removed, and remove nothing
    #[arg(long, conflicts_with = "confirm")]
    dry_run: bool,
    /// The ledger's bucket, as the deployment prints it
    #[arg(long, env = "VERNIER_BUCKET", value_name = "BUCKET")]
    bucket: String,
    #[command(flatten)]
    table: TableArgs,
}

/// Removes a closed tenant's data when its name was typed.
///
/// # Errors
/// The stores cannot be reached, or why it cannot be removed now.
pub(super) fn remove(args: &Remove, format: Format) -> anyhow::Result<ExitCode> {
    if let Some(confirmed) = args.confirm.as_ref().filter(|name| **name != args.id) {
        anyhow::bail!(
            "--confirm {confirmed} is not the tenant {}: nothing was removed",
            args.id
        );
    }
    on_table(&args.table, async |table| {
        let bucket = Bucket::new(&vernier_aws::users_config().await?, args.bucket.as_str());
        if args.confirm.is_none() {
            let estate = offboarding::survey(&table, &bucket, &args.id).await?;
            show(&estate, format)?;
            if args.dry_run {
                return Ok(ExitCode::SUCCESS);
            }
            if !is_typed(&args.id)? {
                eprintln!("vernier: nothing was removed");
                return Ok(ExitCode::from(FINDINGS));
            }
        }
        let removed = offboarding::remove(&table, &bucket, &args.id, now()).await?;
        show(&removed, format)?;
        eprintln!(
            "Tenant {} is removed; its name stays taken. docs/offboarding.md says what stays for how long.",
            args.id
        );
        Ok(ExitCode::SUCCESS)
    })
}

/// Asks for the name on a terminal; without one, nobody typed it.
fn is_typed(id: &TenantId) -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        eprintln!("vernier: no terminal to ask on: give --confirm {id}");
        return Ok(false);
    }
    eprintln!("All of this is removed for good. Type the tenant's name to go on:");
    let mut typed = String::new();
    stdin.lock().read_line(&mut typed)?;
    Ok(typed.trim() == id.as_str())
}

fn show(estate: &Estate, format: Format) -> anyhow::Result<()> {
    let sum = estate.sum();
    if format == Format::Json {
        let objects: Vec<_> = estate
            .objects
            .iter()
            .map(|of| serde_json::json!({ "prefix": of.prefix, "objects": of.objects, "bytes": of.bytes }))
            .collect();
        output::json(&serde_json::json!({
            "tenant": estate.tenant.id,
            "closed_at": estate.tenant.closed_at.map(Millis::rfc3339),
            "removed_at": estate.tenant.removed_at.map(Millis::rfc3339),
            "objects": objects,
            "items": estate.items,
        }))?;
        return Ok(());
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    for of in &estate.objects {
        let (objects, bytes) = (of.objects.to_string(), of.bytes.to_string());
        rows.push(vec![of.prefix.clone(), objects, bytes]);
    }
    for (family, count) in &estate.items {
        rows.push(vec![
            format!("items {family}"),
            count.to_string(),
            String::new(),
        ]);
    }
    let items: u64 = estate.items.values().sum();
    output::line(output::table(&["of", "count", "bytes"], &rows))?;
    output::line(format!(
        "{} objects of {} bytes, {items} items",
        sum.objects, sum.bytes
    ))?;
    Ok(())
}
