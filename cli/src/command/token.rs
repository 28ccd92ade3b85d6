//! `vernier token`.

use super::tenant::{TableArgs, existing, now, on_table};
use super::{FINDINGS, Format, output};
use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};
use std::process::ExitCode;
use vernier_ledger::access::{NewToken, Scope, Tenant, TokenInfo};
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::RESULT_ID_BYTES_MAX;
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
  vernier token issue --tenant school --sensor portal --learner https://school.example/users/7
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
        /// [default: events:write; with --learner events:read,reports:read]
        #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
        scopes: Vec<Scope>,
        /// Lets it read this learner's own events and reports, and nothing else
        #[arg(long, value_name = "LEARNER_ID", value_parser = learner)]
        learner: Option<String>,
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

fn learner(text: &str) -> Result<String, String> {
    let is_fit = (1..=RESULT_ID_BYTES_MAX).contains(&text.len());
    if !is_fit || text.chars().any(char::is_control) {
        return Err(format!(
            "expected 1 to {RESULT_ID_BYTES_MAX} bytes without control characters"
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
            scopes,
            learner,
            label,
            table,
        } => {
            let scopes = scopes_of(scopes, learner.as_deref());
            let new = NewToken::generate();
            let token_id = new.token_id.clone();
            let info = TokenInfo {
                token_id,
                tenant,
                sensor,
                scopes,
                learner,
                label,
                created_at: now(),
                revoked_at: None,
            };
            if let Some(scope) = info.scope_beyond_learner() {
                bail!(
                    "a learner's token cannot have the scope {scope}: it reads events and reports"
                );
            }
            on_table(&table, async |table| {
                let tenant = existing(&table, &info.tenant).await?;
                still_readable(&tenant, &info)?;
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

/// Refuses what a closed tenant's token could not do.
fn still_readable(tenant: &Tenant, info: &TokenInfo) -> anyhow::Result<()> {
    if let Some(at) = tenant.removed_at {
        bail!(
            "tenant {} was removed at {at}: there is nothing to read",
            tenant.id
        );
    }
    if let Some(at) = tenant.closed_at
        && let Some(scope) = info.scopes.iter().find(|scope| !scope.is_reading())
    {
        bail!(
            "tenant {} was closed at {at}: a token of it reads, and cannot have the scope {scope}; \
             give --scope events:read,reports:read,audit:read",
            tenant.id
        );
    }
    Ok(())
}

/// The scopes as they are kept: each once, in order; the usual ones where none are asked for.
fn scopes_of(mut scopes: Vec<Scope>, learner: Option<&str>) -> Vec<Scope> {
    if scopes.is_empty() {
        scopes = match learner {
            None => vec![Scope::EventsWrite],
            Some(_) => TokenInfo::LEARNER_SCOPES.to_vec(),
        };
    }
    scopes.sort_unstable();
    scopes.dedup();
    scopes
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
    if let Some(learner) = &info.learner {
        output::line(format!("learner   {learner} (reads nobody else's data)"))?;
    }
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
            info.learner.clone().unwrap_or_else(|| "-".to_owned()),
            info.label.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
    output::line(output::table(
        &[
            "token id", "sensor", "scopes", "created", "revoked", "learner", "label",
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
        "learner": info.learner,
        "label": info.label,
        "created_at": info.created_at.rfc3339(),
        "revoked_at": info.revoked_at.map(|at| at.rfc3339()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_that_nobody_asked_for_are_the_usual_ones() {
        let learner = Some("https://school.example/users/7");
        assert_eq!(scopes_of(vec![], None), [Scope::EventsWrite]);
        assert_eq!(
            scopes_of(vec![], learner),
            [Scope::EventsRead, Scope::ReportsRead]
        );
        let asked = vec![Scope::Admin, Scope::EventsRead, Scope::Admin];
        assert_eq!(scopes_of(asked, learner), [Scope::EventsRead, Scope::Admin]);
    }
}
