//! `vernier schema`: event types of a tenant's own.

use super::api::{Api, ApiArgs};
use super::query::path_segment;
use super::{FINDINGS, Format, output};
use crate::validate;
use anyhow::{Context as _, anyhow, bail};
use clap::Subcommand;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use vernier_validation::{
    ColumnPointers, DomainSchema, DomainSchemas, Mode, Policy, Profile, SchemaRefusal,
};

/// Register event types of your own: a JSON Schema (2020-12) for each, with its query columns.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Put(Put),
    Get(Get),
    List(List),
    Test(Test),
}

/// The schema and its columns, as files and options have them.
#[derive(Debug, clap::Args)]
struct SchemaArgs {
    /// The event type, as the events' "type" has it: an IRI or a name that Caliper does not have
    #[arg(value_name = "TYPE")]
    type_name: String,
    /// File with the JSON Schema
    #[arg(value_name = "SCHEMA")]
    schema: PathBuf,
    /// Where a query column lies in an event, such as actor=/who/id; once for each. Columns: id,
    /// actor, object, group, action, eventTime and others that a refusal lists
    #[arg(long = "column", value_name = "NAME=POINTER", value_parser = column)]
    columns: Vec<(String, String)>,
}

fn column(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, pointer)) if pointer.starts_with('/') => {
            Ok((name.to_owned(), pointer.to_owned()))
        }
        _ => Err("expected NAME=POINTER, such as actor=/who/id".to_owned()),
    }
}

impl SchemaArgs {
    fn read(&self) -> anyhow::Result<(String, ColumnPointers)> {
        let text = read_text(&self.schema)?;
        let columns: Map<String, Value> = self
            .columns
            .iter()
            .map(|(name, pointer)| (name.clone(), json!(pointer)))
            .collect();
        if columns.len() < self.columns.len() {
            bail!("--column: a column is given twice");
        }
        let columns =
            serde_json::from_value(Value::Object(columns)).map_err(|e| anyhow!("--column: {e}"))?;
        Ok((text, columns))
    }
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Register the next version of a type's schema.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vernier schema put https://school.example/types/Badge badge.json --column actor=/who
  vernier schema put LabDoorOpened door.json --column eventTime=/at --force

A version that may reject events which the version before accepts is refused, with its places,
unless --force is given. The same schema again changes nothing. Needs the scope admin.
Exit codes: 0 registered or the same, 1 refused, 2 wrong usage or out of reach.")]
struct Put {
    #[command(flatten)]
    schema: SchemaArgs,
    /// Register it although it may reject what the version before accepts
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    api: ApiArgs,
}

/// Print a type's schema.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vernier schema get https://school.example/types/Badge > badge.json
  vernier schema get LabDoorOpened --version 2 --format json")]
struct Get {
    /// The event type
    #[arg(value_name = "TYPE")]
    type_name: String,
    /// A version before the current one
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    #[command(flatten)]
    api: ApiArgs,
}

/// List the tenant's types with their current versions.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vernier schema list
  vernier schema list --format json | jq -r '.schemas[].type'")]
struct List {
    #[command(flatten)]
    api: ApiArgs,
}

/// Try a schema on files of events before it is registered; nothing is sent.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vernier schema test https://school.example/types/Badge badge.json captured/
  vernier schema test LabDoorOpened door-2.json events.json --against door-1.json

Files are read as vernier validate reads them; events of other types are judged by Caliper's rules.
Exit codes: 0 all accepted and compatible, 1 not, 2 wrong usage or an unreadable path.")]
struct Test {
    #[command(flatten)]
    schema: SchemaArgs,
    /// Files or folders with events
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The schema's version before: what of it would no longer be accepted
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

/// Runs.
///
/// # Errors
/// A file cannot be read, the service cannot be reached or refuses.
pub(super) fn run(args: Args, format: Format) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Put(args) => put(&args, format),
        Command::Get(args) => get(&args, format),
        Command::List(args) => list(&args, format),
        Command::Test(args) => test(&args, format),
    }
}

fn put(args: &Put, format: Format) -> anyhow::Result<ExitCode> {
    let (text, columns) = args.schema.read()?;
    let schema =
        RawValue::from_string(text).with_context(|| args.schema.schema.display().to_string())?;
    let body = serde_json::to_vec(&Proposal {
        schema: &schema,
        columns: &columns,
    })?;
    let api = Api::new(&args.api, 1)?;
    let path = format!("/schemas/{}", path_segment(&args.schema.type_name));
    let force = args.force.then(|| ("force", "true".to_owned()));
    let registered = api.put(&path, force.as_slice(), &body)?;
    match format {
        Format::Json => output::json(&registered)?,
        Format::Text => {
            let reasons = registered.get("incompatibilities");
            for reason in reasons.and_then(Value::as_array).into_iter().flatten() {
                output::line(format!("forced: {}", finding(reason)))?;
            }
            output::line(format!(
                "{} version {}",
                args.schema.type_name, registered["version"]
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(serde::Serialize)]
struct Proposal<'p> {
    schema: &'p RawValue,
    columns: &'p ColumnPointers,
}

fn finding(reason: &Value) -> String {
    let text = |name: &str| reason[name].as_str().unwrap_or_default().to_owned();
    let place = match text("pointer") {
        top if top.is_empty() => "(top)".to_owned(),
        pointer => pointer,
    };
    format!("{place}: {}", text("message"))
}

fn get(args: &Get, format: Format) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.api, 1)?;
    let path = format!("/schemas/{}", path_segment(&args.type_name));
    let version = args.version.map(|v| ("version", v.to_string()));
    let found = api.get_document(&path, version.as_slice())?;
    match format {
        Format::Json => output::line(found.on_one_line())?,
        Format::Text => {
            let schema = found.member("schema");
            output::line(schema.context("the answer has no schema")?.indented())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &List, format: Format) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.api, 1)?;
    let found = api.get("/schemas", &[])?;
    if format == Format::Json {
        output::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let cell = |schema: &Value, name: &str| match &schema[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let names = ["type", "version", "created_at", "created_by", "forced"];
    let rows: Vec<Vec<String>> = found["schemas"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|schema| names.iter().map(|name| cell(schema, name)).collect())
        .collect();
    if rows.is_empty() {
        output::line("no event types of the tenant's own")?;
    } else {
        output::line(output::table(&names, &rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn test(args: &Test, format: Format) -> anyhow::Result<ExitCode> {
    let (text, columns) = args.schema.read()?;
    let compile = |version, text: &str| {
        DomainSchema::compile(&args.schema.type_name, version, text, columns.clone())
    };
    let schema = match compile(2, &text) {
        Ok(schema) => schema,
        Err(refusal) => return refused(&args.schema.schema, &[refusal]),
    };
    if let Some(path) = &args.against {
        let before = match compile(1, &read_text(path)?) {
            Ok(before) => before,
            Err(refusal) => return refused(path, &[refusal]),
        };
        let reasons = schema.incompatibilities(&before);
        if !reasons.is_empty() {
            return refused(&args.schema.schema, &reasons);
        }
    }
    let schemas: DomainSchemas = [Arc::new(schema)].into_iter().collect();
    let policy = Policy {
        domain: Some(&schemas),
        ..Policy::new(Mode::Strict, Profile::Generic)
    };
    validate::judge(&args.paths, &policy, format == Format::Json)
}

/// Prints why a schema is not taken.
fn refused(path: &Path, reasons: &[SchemaRefusal]) -> anyhow::Result<ExitCode> {
    for reason in reasons {
        output::line(format!("{}: {reason}", path.display()))?;
    }
    Ok(ExitCode::from(FINDINGS))
}
