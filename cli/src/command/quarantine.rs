//! `vernier quarantine`.

use super::api::{Api, ApiArgs};
use super::time::{FORMS, Moment, now};
use super::{Format, output, time};
use clap::Subcommand;
use serde_json::Value;
use std::process::ExitCode;

/// Rejected events, and what sensors have against the rules
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: QuarantineCommand,
}

#[derive(Debug, Subcommand)]
enum QuarantineCommand {
    /// List rejected events with the rules that they break
    #[command(after_help = "\
Examples:
  vernier quarantine list --from -7d --sensor lms
  vernier quarantine list --from -1d --rule event.id --all --format json | jq '.events[].event'

To send them through again after a schema or the mode has changed: vernier playback start --source quarantine")]
    List(List),
    /// Report by sensor and rule what was rejected and what lenient mode let pass, of a day at most
    #[command(after_help = "\
Examples:
  vernier quarantine report
  vernier quarantine report --from 2026-09-01 --to 2026-09-02 --format json | jq '.sensors[].rules'")]
    Report(Report),
}

#[derive(Debug, clap::Args)]
struct Range {
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::parse,
        default_value = "-1d", help = format!("First instant of received-at: {FORMS}"))]
    from: Moment,
    /// First instant after it
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::parse, default_value = "now")]
    to: Moment,
}

impl Range {
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let now = now();
        vec![
            ("from", self.from.rfc3339(now)),
            ("to", self.to.rfc3339(now)),
        ]
    }
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    range: Range,
    /// Only events of this sensor
    #[arg(long)]
    sensor: Option<String>,
    /// Only events that this rule rejected (docs/rules.md has all)
    #[arg(long)]
    rule: Option<String>,
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE")]
    type_name: Option<String>,
    /// Earliest received first
    #[arg(long)]
    oldest_first: bool,
    /// Events of one page
    #[arg(long, value_name = "EVENTS", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// All pages, not the first one only
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Args)]
struct Report {
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    range: Range,
}

/// Runs a subcommand.
///
/// # Errors
/// The service cannot be reached or refuses.
pub(super) fn run(args: Args, format: Format) -> anyhow::Result<ExitCode> {
    match args.command {
        QuarantineCommand::List(args) => list(&args, format)?,
        QuarantineCommand::Report(args) => {
            let api = Api::new(&args.api, 1)?;
            let report = api.get("/deviations", &args.range.parameters())?;
            match format {
                Format::Json => output::json(&report)?,
                Format::Text => output::line(text(&report))?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &List, format: Format) -> anyhow::Result<()> {
    let api = Api::new(&args.api, 1)?;
    let limit = ("limit", args.limit.to_string());
    let filters = [
        ("sensor", &args.sensor),
        ("rule", &args.rule),
        ("type", &args.type_name),
    ];
    let mut parameters = args.range.parameters();
    parameters.push(limit.clone());
    let given = filters.into_iter();
    parameters.extend(given.filter_map(|(name, value)| Some((name, value.clone()?))));
    parameters.extend(args.oldest_first.then(|| ("order", "oldest".to_owned())));
    loop {
        let document = api.get_document("/quarantine", &parameters)?;
        let page = &document.value;
        let rows: Vec<Vec<String>> = array(page, "events").map(event_row).collect();
        match format {
            Format::Json => output::line(document.on_one_line())?,
            Format::Text if rows.is_empty() => output::line("no rejected events")?,
            Format::Text => output::line(output::table(
                &["received", "sensor", "type", "id", "rules"],
                &rows,
            ))?,
        }
        let cursor = page.get("next_cursor").and_then(Value::as_str);
        match cursor {
            // A cursor carries its query.
            Some(cursor) if args.all => {
                parameters = vec![limit.clone(), ("cursor", cursor.to_owned())];
            }
            Some(_) if format == Format::Text => {
                output::line("there are more (--all)")?;
                return Ok(());
            }
            _ => return Ok(()),
        }
    }
}

fn array<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    let items = value.get(name).and_then(Value::as_array);
    items.into_iter().flatten()
}

fn word(value: &Value, pointer: &str) -> String {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or("-").to_owned()
}

fn event_row(event: &Value) -> Vec<String> {
    let mut rules: Vec<String> = array(event, "problems").map(|p| word(p, "/rule")).collect();
    rules.dedup();
    vec![
        word(event, "/received_at"),
        word(event, "/sensor"),
        word(event, "/event/type"),
        word(event, "/event/id"),
        rules.join(" "),
    ]
}

fn count(value: &Value, name: &str) -> String {
    output::thousands(value.get(name).and_then(Value::as_u64).unwrap_or(0))
}

fn text(report: &Value) -> String {
    let mut lines = vec![format!(
        "received from {} to {}",
        word(report, "/from"),
        word(report, "/to")
    )];
    for sensor in array(report, "sensors") {
        lines.push(format!(
            "\n{}: {} events, {} rejected, {} let pass with deviations, {} that the specification refuses",
            word(sensor, "/sensor"),
            count(sensor, "events"),
            count(sensor, "rejected"),
            count(sensor, "deviating"),
            count(sensor, "strict_rejected")
        ));
        let row = |rule: &Value| {
            vec![
                word(rule, "/rule"),
                count(rule, "problems"),
                count(rule, "deviations"),
            ]
        };
        let rows: Vec<Vec<String>> = array(sensor, "rules").map(row).collect();
        if !rows.is_empty() {
            lines.push(output::table(&["rule", "rejected", "let pass"], &rows));
        }
    }
    let row = |refused: &Value| {
        vec![
            word(refused, "/sensor"),
            word(refused, "/rule"),
            count(refused, "envelopes"),
        ]
    };
    let rows: Vec<Vec<String>> = array(report, "refused").map(row).collect();
    if !rows.is_empty() {
        lines.push("\nrefused as a whole:".to_owned());
        lines.push(output::table(&["sensor", "rule", "envelopes"], &rows));
    }
    lines.join("\n")
}
