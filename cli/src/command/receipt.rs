//! `vernier receipt`.

use super::api::{Api, ApiArgs};
use super::query::path_segment;
use super::{FINDINGS, Format, output};
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;

/// Read a receipt: what became of the envelope and of each of its events.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vernier receipt 019a3c52-7d1e-7c44-9d5c-3f0a5b1c2d3e
  vernier receipt 019a3c52-7d1e-7c44-9d5c-3f0a5b1c2d3e --wait 60 --format json

The id is in the Vernier-Receipt header of the answer, and in the report of vernier send.
Exit codes: 0 every event stored or a duplicate, 1 something rejected or in conflict, or no such
receipt, 2 wrong usage or out of reach.")]
pub(super) struct Args {
    /// The receipt's id
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    api: ApiArgs,
    /// Look again for so many seconds until every event has its disposition
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
}

/// Reads.
///
/// # Errors
/// The service cannot be reached or refuses, or there is no such receipt.
pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.api, 1)?;
    let path = format!("/receipts/{}", path_segment(&args.id));
    let complete =
        |receipt: &Value| receipt.get("state").and_then(Value::as_str) == Some("complete");
    let receipt = api.poll(
        Duration::from_secs(args.wait),
        |api| api.get(&path, &[]),
        complete,
    )?;
    match format {
        Format::Json => output::json(&receipt)?,
        Format::Text => output::line(text(&receipt))?,
    }
    let count = |name: &str| {
        receipt
            .pointer(&format!("/counts/{name}"))
            .and_then(Value::as_u64)
            .unwrap_or(0)
    };
    Ok(ExitCode::from(
        if count("rejected") + count("conflict") > 0 {
            FINDINGS
        } else {
            0
        },
    ))
}

fn text(receipt: &Value) -> String {
    let cell = |value: &Value, name: &str| match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    let mut lines: Vec<String> = ["receipt", "state", "sensor", "received_at"]
        .iter()
        .map(|name| format!("{name:<12} {}", cell(receipt, name)))
        .collect();
    for (name, count) in receipt
        .get("counts")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        lines.push(format!("{name:<12} {count}"));
    }
    let events = receipt
        .get("events")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let rows: Vec<Vec<String>> = events
        .map(|event| {
            let problem = event
                .pointer("/problems/0")
                .map(|p| format!("{} {}", cell(p, "pointer"), cell(p, "message")));
            let mut row: Vec<String> = ["index", "verdict", "disposition", "type", "id"]
                .iter()
                .map(|name| cell(event, name))
                .collect();
            row.push(problem.unwrap_or_default());
            row
        })
        .collect();
    if !rows.is_empty() {
        lines.push(output::table(
            &[
                "index",
                "verdict",
                "disposition",
                "type",
                "id",
                "first problem",
            ],
            &rows,
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_receipt_is_told_line_by_line() {
        let receipt = json!({
            "receipt": "r", "state": "in_flight", "sensor": "s", "received_at": "t",
            "counts": {"received": 2, "rejected": 1},
            "events": [
                {"index": 0, "id": "urn:uuid:1", "type": "ViewEvent", "verdict": "accepted", "disposition": null},
                {"index": 1, "id": null, "type": null, "verdict": "rejected", "disposition": "rejected",
                 "problems": [{"pointer": "/actor", "message": "there is no actor"}]}
            ]
        });
        let text = text(&receipt);
        assert!(text.contains("state        in_flight\n"), "{text}");
        assert!(text.contains("received     2\n"), "{text}");
        assert!(
            text.ends_with(
                "1  rejected  rejected     -          -           /actor there is no actor"
            ),
            "{text}"
        );
    }
}
