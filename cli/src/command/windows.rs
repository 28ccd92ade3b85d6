//! `vernier windows`.

use super::api::{Api, ApiArgs};
use super::time::{FORMS, Moment};
use super::{FINDINGS, Format, output, time};
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;
use vernier_sheet::{Cell, Sheet};

/// Receipts that are named in a cell of the table; the JSON has all that the service names.
const NAMED_MAX: usize = 3;

/// Read the account of windows: what was received against what was stored, rejected, or found to
/// be a duplicate or in conflict.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vernier windows --from -1h
  vernier windows --from -15m --wait 120      until every window in the range adds up
  vernier windows --from -1d --format json | jq '.windows[] | select(.complete | not)'
  vernier windows --from -1d --missing > missing.csv      for whoever asks the sensors to send again

States: open, settling, complete, incomplete (held: later windows are sealed meanwhile), short (sealed, and
its seal says what is missing).

Exit codes: 0 every window adds up, 1 one does not (yet), 2 wrong usage or out of reach.")]
pub(super) struct Args {
    #[command(flatten)]
    api: ApiArgs,
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::parse,
        default_value = "-1h", help = format!("First instant: {FORMS}"))]
    from: Moment,
    /// First instant after the range
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::parse, default_value = "now")]
    to: Moment,
    /// Look again for so many seconds until every window adds up
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    /// Print all receipts that are not whole as CSV instead, by sensor
    #[arg(long)]
    missing: bool,
}

/// Reads.
///
/// # Errors
/// The service cannot be reached or refuses.
pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.api, 1)?;
    let now = time::now();
    let query = [
        ("from", args.from.rfc3339(now)),
        ("to", args.to.rfc3339(now)),
    ];
    let all_add_up = |answer: &Value| windows(answer).all(adds_up);
    let mut answer = api.poll(
        Duration::from_secs(args.wait),
        |api| api.get("/windows", &query),
        all_add_up,
    )?;
    if args.missing {
        name_all(&api, &mut answer)?;
    }
    match format {
        Format::Json => output::json(&answer)?,
        Format::Text if args.missing => output::text(&missing_csv(&answer))?,
        Format::Text => output::line(text(&answer))?,
    }
    Ok(ExitCode::from(if all_add_up(&answer) {
        0
    } else {
        FINDINGS
    }))
}

/// Asks for what the windows miss beyond what the answer names, window by window, until all of it is named. What has come
/// meanwhile is named no more.
fn name_all(api: &Api, answer: &mut Value) -> anyhow::Result<()> {
    let windows = answer.get_mut("windows").and_then(Value::as_array_mut);
    for window in windows.into_iter().flatten() {
        let text = |name| window.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(start), Some(end)) = (text("start"), text("end")) else {
            continue;
        };
        while let Some(after) = last_named(window) {
            let query = [
                ("from", start.clone()),
                ("to", end.clone()),
                ("missing_after", after),
            ];
            let mut page = api.get("/windows", &query)?;
            let more = page.pointer_mut("/windows/0/missing").map(Value::take);
            let Some(Value::Array(more)) = more.filter(|more| more != &Value::Array(Vec::new()))
            else {
                break;
            };
            if let Some(missing) = window.get_mut("missing").and_then(Value::as_array_mut) {
                missing.extend(more);
            }
        }
    }
    Ok(())
}

/// The last receipt that a window's account names, where it misses more than it names.
fn last_named(window: &Value) -> Option<String> {
    let missing = window.get("missing")?.as_array()?;
    let is_whole = missing.len() as u64 >= count(window, "/missing_count");
    let last = missing.last()?.get("receipt")?.as_str()?;
    (!is_whole).then(|| last.to_owned())
}

fn windows(answer: &Value) -> impl Iterator<Item = &Value> {
    answer
        .get("windows")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn count(window: &Value, pointer: &str) -> u64 {
    window.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn accounted(window: &Value) -> u64 {
    // The service leaves single dispositions out where they are too many to count in one answer.
    if window
        .pointer("/accounted/stored")
        .is_some_and(Value::is_null)
    {
        return count(window, "/accounted/events");
    }
    ["stored", "duplicate", "conflict", "rejected"]
        .iter()
        .map(|name| count(window, &format!("/accounted/{name}")))
        .sum()
}

/// Invariant 3, checked here again: the service's word, and the counts and digests it gives.
fn adds_up(window: &Value) -> bool {
    let digest = |side: &str| {
        window
            .pointer(&format!("/{side}/digest"))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    window.get("complete").and_then(Value::as_bool) == Some(true)
        && count(window, "/received/events") == accounted(window)
        && digest("received") == digest("accounted")
}

fn text(answer: &Value) -> String {
    let header = [
        "window",
        "state",
        "received",
        "stored",
        "duplicate",
        "conflict",
        "rejected",
        "complete",
        "missing receipts",
    ];
    let rows: Vec<Vec<String>> = windows(answer).map(row).collect();
    if rows.is_empty() {
        return "no windows in this range".to_owned();
    }
    let sum = |of: fn(&Value) -> u64| output::thousands(windows(answer).map(of).sum());
    let wrong = windows(answer).filter(|w| !adds_up(w)).count();
    let last = match wrong {
        0 => "all windows add up".to_owned(),
        1 => "1 window does not add up".to_owned(),
        n => format!("{n} windows do not add up"),
    };
    format!(
        "{}\n{} events received, {} accounted for; {last}",
        output::table(&header, &rows),
        sum(|w| count(w, "/received/events")),
        sum(accounted)
    )
}

/// What the table of missing receipts has of each.
const MISSING_COLUMNS: [&str; 9] = [
    "sensor",
    "window",
    "state",
    "receipt",
    "slices",
    "events",
    "cause",
    "sent_again",
    "reason",
];

/// A line for each receipt that is not whole, by sensor, window and receipt, as CSV.
fn missing_csv(answer: &Value) -> String {
    let mut rows: Vec<[String; 9]> = Vec::new();
    for window in windows(answer) {
        let word = |value: &Value, pointer: &str| match value.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        let missing = window.get("missing").and_then(Value::as_array);
        rows.extend(missing.into_iter().flatten().map(|receipt| {
            [
                word(receipt, "/sensor"),
                word(window, "/start"),
                word(window, "/state"),
                word(receipt, "/receipt"),
                word(receipt, "/slices"),
                word(receipt, "/events"),
                word(receipt, "/cause"),
                word(receipt, "/sent_again"),
                word(window, "/shortfall/reason"),
            ]
        }));
    }
    rows.sort();
    let mut sheet = Sheet::new(MISSING_COLUMNS);
    for row in rows {
        sheet.row(row.into_iter().map(Cell::Text));
    }
    sheet.finish()
}

fn row(window: &Value) -> Vec<String> {
    let word = |name: &str| {
        window
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or("-")
            .to_owned()
    };
    let number = |pointer: &str| match window.pointer(pointer) {
        Some(Value::Null) => "?".to_owned(),
        _ => output::thousands(count(window, pointer)),
    };
    let missing: Vec<&Value> = window
        .get("missing")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect();
    let mut named: Vec<&str> = missing
        .iter()
        .filter_map(|m| m.get("receipt").and_then(Value::as_str))
        .take(NAMED_MAX)
        .collect();
    let more = format!("and {} more", missing.len().saturating_sub(NAMED_MAX));
    if missing.len() > NAMED_MAX {
        named.push(&more);
    }
    vec![
        word("start"),
        word("state"),
        number("/received/events"),
        number("/accounted/stored"),
        number("/accounted/duplicate"),
        number("/accounted/conflict"),
        number("/accounted/rejected"),
        (if adds_up(window) { "yes" } else { "no" }).to_owned(),
        named.join(" "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn window(received: u64, stored: u64, digest: &str) -> Value {
        json!({
            "start": "2026-03-01T12:00:00.000Z", "end": "2026-03-01T12:01:00.000Z", "state": "complete",
            "received": {"envelopes": 2, "events": received, "digest": "aa"},
            "accounted": {"stored": stored, "duplicate": 1, "conflict": 0, "rejected": 2, "digest": digest},
            "complete": true, "missing": []
        })
    }

    #[test]
    fn a_window_adds_up_by_word_count_and_digest() {
        assert!(adds_up(&window(10, 7, "aa")));
        assert!(!adds_up(&window(10, 6, "aa")));
        assert!(!adds_up(&window(10, 7, "ab")));
        let mut said = window(10, 7, "aa");
        said["complete"] = json!(false);
        assert!(!adds_up(&said));
    }

    #[test]
    fn missing_receipts_are_a_table_by_sensor() {
        let mut short = window(10, 6, "ab");
        short["state"] = json!("short");
        short["shortfall"] =
            json!({"cause": "operator", "since": null, "reason": "moved, for good"});
        short["missing"] = json!([
            {"receipt": "r2", "slices": [0, 3], "cause": "unclaimed", "sensor": "lms", "events": 4, "sent_again": "r9"},
            {"receipt": "r1", "slices": [0], "cause": "damaged", "sensor": "=1+1"},
        ]);
        let csv = missing_csv(&json!({"windows": [window(3, 3, "aa"), short]}));
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 3, "{csv}");
        assert_eq!(
            lines[1],
            "'=1+1,2026-03-01T12:00:00.000Z,short,r1,[0],,damaged,,\"moved, for good\""
        );
        assert_eq!(
            lines[2],
            "lms,2026-03-01T12:00:00.000Z,short,r2,\"[0,3]\",4,unclaimed,r9,\"moved, for good\""
        );
    }

    #[test]
    fn a_window_that_names_less_than_it_misses_is_asked_for_more() {
        let mut short = window(10, 6, "ab");
        assert_eq!(last_named(&short), None);
        short["missing"] = json!([{"receipt": "r1"}, {"receipt": "r2"}]);
        short["missing_count"] = json!(3);
        assert_eq!(last_named(&short), Some("r2".to_owned()));
        short["missing_count"] = json!(2);
        assert_eq!(last_named(&short), None);
    }

    #[test]
    fn the_table_names_what_is_missing_and_counts_the_rest() {
        let mut wrong = window(10, 6, "ab");
        wrong["missing"] =
            json!([{"receipt": "r1"}, {"receipt": "r2"}, {"receipt": "r3"}, {"receipt": "r4"}]);
        let text = text(&json!({"windows": [window(20_003, 20_000, "aa"), wrong]}));
        assert!(text.contains("r1 r2 r3 and 1 more"), "{text}");
        assert!(
            text.ends_with(
                "20,013 events received, 20,012 accounted for; 1 window does not add up"
            ),
            "{text}"
        );
    }
}
