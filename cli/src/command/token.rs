//! `vernier token`.

use super::tenant::{TableArgs, existing, now, on_table};
use super::{FINDINGS, Format, output};
use clap::Subcommand;
use serde_json::{Value, json};
use std::process::ExitCode;
use vernier_ledger::access::{NewToken, Scope, TokenInfo};
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::Administration as _;

/// Longest name of a sensor and longest label, bytes: a token's item stays small.
const NAME_BYTES_MAX: usize = 200;

/// Issue, revoke and list the tokens of a tenant (in DynamoDB)
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Issue a token; it is shown once, and only its hash is kept
    #[command(after_help = "\
Examples:
  vernier token issue --tenant school --sensor lms
  vernier token issue --tenant school --sensor dashboard --scope events:read,audit:read --label 'for the registrar'
  export VERNIER_TOKEN=$(vernier token issue --tenant school --sensor lms --format json | jq -r .token)

Scopes: events:write posts envelopes; events:read reads receipts and events; reports:read reads
reports; audit:read reads windows, seals and proofs; playback runs playbacks; admin changes the
tenant's settings and schemas.")]
    Issue {
        /// Whose data it reaches
        #[arg(long, value_name = "TENANT")]
        tenant: TenantId,
        /// The sensor (or reader) that will hold it
        #[arg(long, value_name = "NAME", value_parser = name)]
        sensor: String,
        /// What it may do; several with commas or by repeating the option
        #[arg(
            long = "scope",
            value_name = "SCOPE",
            value_delimiter = ',',
            default_value = "events:write"
        )]
        scopes: Vec<Scope>,
        /// A note for people
        #[arg(long, value_name = "TEXT", value_parser = name)]
        label: Option<String>,
        #[command(flatten)]
        table: TableArgs,
    },
    /// Revoke a token; it stops working once the functions' caches forget it
    #[command(after_help = "\
Examples:
  vernier token list --tenant school
  vernier token revoke 0a1b2c3d4e5f --tenant school")]
    Revoke {
        /// Its public id, as issue and list show it (not the token itself)
        #[arg(value_name = "TOKEN_ID", value_parser = token_id)]
        id: String,
        /// Whose token
        #[arg(long, value_name = "TENANT")]
        tenant: TenantId,
        #[command(flatten)]
        table: TableArgs,
    },
    /// List the tokens of a tenant, revoked ones too
    #[command(after_help = "Examples:\n  vernier token list --tenant school --format json")]
    List {
        /// Whose tokens
        #[arg(long, value_name = "TENANT")]
        tenant: TenantId,
        #[command(flatten)]
        table: TableArgs,
    },
}

fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(format!(
            "expected 1 to {NAME_BYTES_MAX} bytes without control characters"
        ));
    }
    Ok(text.to_owned())
}

fn token_id(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        // The text is not repeated: it may be the token itself.
        return Err(
            "expected the token's public id, hexadecimal digits; see 'vernier token list'"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// Issues, revokes or lists.
///
/// # Errors
/// The table cannot be reached, or there is no such tenant.
pub(super) fn run(args: Args, format: Format) -> anyhow::Result<ExitCode> {
    match args.command {
        TokenCommand::Issue {
            tenant,
            sensor,
            mut scopes,
            label,
            table,
        } => {
            scopes.sort_unstable();
            scopes.dedup();
            let new = NewToken::generate();
            let token_id = new.token_id.clone();
            let info = TokenInfo {
                token_id,
                tenant,
                sensor,
                scopes,
                label,
                created_at: now(),
                revoked_at: None,
            };
            on_table(&table, async |table| {
                existing(&table, &info.tenant).await?;
                Ok(table.put_token(&new.sha256, &info).await?)
            })?;
            issued(&new, &info, format)?;
        }
        TokenCommand::Revoke { id, tenant, table } => {
            let revoked = on_table(&table, async |table| {
                Ok(table.revoke_token(&tenant, &id, now()).await?)
            })?;
            let Some(at) = revoked else {
                eprintln!("vernier: tenant {tenant} has no such token");
                return Ok(ExitCode::from(FINDINGS));
            };
            match format {
                Format::Json => {
                    output::json(&json!({ "token_id": id, "revoked_at": at.rfc3339() }))?
                }
                Format::Text => output::line(format!(
                    "token {id} is revoked since {at}; functions that know it forget it within their cache's time to live"
                ))?,
            }
        }
        TokenCommand::List { tenant, table } => {
            let tokens = on_table(&table, async |table| {
                existing(&table, &tenant).await?;
                Ok(table.list_tokens(&tenant).await?)
            })?;
            list(&tokens, format)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn issued(new: &NewToken, info: &TokenInfo, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        let mut shown = document(info);
        shown["token"] = Value::from(new.secret.as_str());
        output::json(&shown)?;
        return Ok(());
    }
    let scopes = scope_names(info).join(", ");
    output::line(format!("token     {}", new.secret))?;
    output::line(format!("token id  {} (to revoke it)", info.token_id))?;
    output::line(format!(
        "tenant    {}, sensor {}, scopes {scopes}",
        info.tenant, info.sensor
    ))?;
    eprintln!("The token is shown this once: keep it, for instance as VERNIER_TOKEN.");
    Ok(())
}

fn list(tokens: &[TokenInfo], format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        for info in tokens {
            output::json(&document(info))?;
        }
        return Ok(());
    }
    let row = |info: &TokenInfo| {
        vec![
            info.token_id.clone(),
            info.sensor.clone(),
            scope_names(info).join(","),
            info.created_at.to_string(),
            info.revoked_at
                .map_or_else(|| "-".to_owned(), |at| at.to_string()),
            info.label.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
    output::line(output::table(
        &[
            "token id", "sensor", "scopes", "created", "revoked", "label",
        ],
        &rows,
    ))?;
    Ok(())
}

fn scope_names(info: &TokenInfo) -> Vec<&'static str> {
    info.scopes.iter().map(|s| s.as_str()).collect()
}

fn document(info: &TokenInfo) -> Value {
    json!({
        "token_id": info.token_id,
        "tenant": info.tenant,
        "sensor": info.sensor,
        "scopes": scope_names(info),
        "label": info.label,
        "created_at": info.created_at.rfc3339(),
        "revoked_at": info.revoked_at.map(|at| at.rfc3339()),
    })
}
