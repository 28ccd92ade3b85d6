//! `vernier query`.

use super::api::{Api, ApiArgs};
use super::time::{FORMS, Moment, now};
use super::{Format, output, time};
use crate::document::Document;
use clap::{ArgGroup, ValueEnum};
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;

/// Options that go with a range of time, not with an id.
const RANGE_OPTIONS: [&str; 18] = [
    "from",
    "to",
    "event_from",
    "event_to",
    "weekday",
    "hour",
    "zone",
    "by_event_time",
    "deviation",
    "kind",
    "action",
    "actor",
    "group",
    "sensor",
    "disposition",
    "oldest_first",
    "limit",
    "all",
];

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// Which events are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Disposition {
    Stored,
    Duplicate,
    Conflict,
    Rejected,
    All,
}

impl Disposition {
    const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
            Self::All => "all",
        }
    }
}

/// Read events: by id, or those received in a range of time.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("range").args(RANGE_OPTIONS).multiple(true).conflicts_with("id"),
    after_help = "\
Examples:
  vernier query --from -15m
  vernier query --from -1d --type GradeEvent --all --format json | jq .events[].event
  vernier query --from -1h --disposition rejected --limit 20
  vernier query --from -31d --actor https://school.example/users/7 --by-event-time --oldest-first --all
  vernier query --from -5m --wait 30                    until there is something
  vernier query --id urn:uuid:ff9ec22a-fc59-4ae1-ae8d-2c9463ee2f8f --wait 30

With --format json each page of the service's answer is one line."
)]
pub(super) struct Args {
    #[command(flatten)]
    api: ApiArgs,
    /// The event with this id
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::parse,
        help = format!("First instant of received-at: {FORMS} [default: -15m; with --event-from or --event-to up to 31 days]"))]
    from: Option<Moment>,
    /// First instant after it
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::parse, default_value = "now")]
    to: Moment,
    /// Only events that happened from then on, as they say
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::parse)]
    event_from: Option<Moment>,
    /// And before then
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::parse)]
    event_to: Option<Moment>,
    /// Only events that happened on this day of the week, on the clock of --zone
    #[arg(long, value_name = "DAY", value_enum)]
    weekday: Option<Weekday>,
    /// Only events that happened in this hour of the day, 0 to 23, on the clock of --zone
    #[arg(long, value_name = "HOUR", value_parser = clap::value_parser!(u8).range(0..24))]
    hour: Option<u8>,
    /// The time zone of --weekday and --hour, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// In the order in which they happened, in place of that in which they were received
    #[arg(long)]
    by_event_time: bool,
    /// Only events in which lenient mode let this pass (docs/rules.md has all)
    #[arg(long, value_name = "RULE")]
    deviation: Option<String>,
    /// Only events of this Caliper type
    #[arg(long = "type", id = "kind", value_name = "TYPE")]
    kind: Option<String>,
    /// Only events with this action
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only events of the actor with this id
    #[arg(long, value_name = "IRI")]
    actor: Option<String>,
    /// Only events of the group (course section) with this id
    #[arg(long, value_name = "IRI")]
    group: Option<String>,
    /// Only events that this sensor sent
    #[arg(long, value_name = "NAME")]
    sensor: Option<String>,
    /// Events that ended so, in place of the stored ones
    #[arg(long, value_enum, value_name = "DISPOSITION")]
    disposition: Option<Disposition>,
    /// The first first, in place of the last
    #[arg(long)]
    oldest_first: bool,
    /// Events of one page
    #[arg(long, value_name = "EVENTS", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// All pages, not the first one only
    #[arg(long)]
    all: bool,
    /// Look again for so many seconds until there are events and each has its disposition
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
}

/// Reads.
///
/// # Errors
/// The service cannot be reached or refuses.
pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.api, 1)?;
    let wait = Duration::from_secs(args.wait);
    if let Some(id) = &args.id {
        let path = format!("/events/{}", path_segment(id));
        let event = api.poll(
            wait,
            |api| api.get_document(&path, &[]),
            |event| has_disposition(&event.value),
        )?;
        match format {
            Format::Json => output::line(event.on_one_line())?,
            Format::Text => output::line(event.indented())?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    // The range begins at one instant for good; while waiting, a `--to now` moves on.
    let from = args.received_from().map(|from| from.rfc3339(now()));
    let first = api.poll(
        wait,
        |api| api.get_document("/events", &args.parameters(from.as_deref())),
        |page| {
            let page = &page.value;
            events(page).next().is_some() && events(page).all(has_disposition)
        },
    )?;
    // A cursor carries its query.
    show_pages(args, format, first, |cursor| {
        api.get_document(
            "/events",
            &[("limit", args.limit.to_string()), ("cursor", cursor)],
        )
    })
}

/// How far back events are looked for when no time is given, seconds.
const DEFAULT_SECONDS: i64 = 15 * 60;

impl Args {
    /// The first instant of received-at; none where the service derives it from the time of the event.
    fn received_from(&self) -> Option<Moment> {
        let by_event = self.event_from.is_some() || self.event_to.is_some();
        self.from
            .or((!by_event).then_some(Moment::FromNow(-DEFAULT_SECONDS)))
    }

    fn parameters(&self, from: Option<&str>) -> Vec<(&'static str, String)> {
        let optional = [
            ("type", &self.kind),
            ("action", &self.action),
            ("actor", &self.actor),
            ("group", &self.group),
            ("sensor", &self.sensor),
            ("deviation", &self.deviation),
        ];
        let mut parameters = vec![("to", self.to.rfc3339(now()))];
        parameters.extend(from.map(|from| ("from", from.to_owned())));
        parameters.push(("limit", self.limit.to_string()));
        parameters.extend(
            optional
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.clone()?))),
        );
        parameters.extend(
            self.disposition
                .map(|d| ("disposition", d.name().to_owned())),
        );
        let times = [("event_from", self.event_from), ("event_to", self.event_to)];
        let times = times.into_iter();
        parameters.extend(times.filter_map(|(name, at)| Some((name, at?.rfc3339(now())))));
        let weekday = self.weekday.as_ref().and_then(ValueEnum::to_possible_value);
        parameters.extend(weekday.map(|day| ("weekday", day.get_name().to_owned())));
        parameters.extend(self.hour.map(|hour| ("hour", hour.to_string())));
        parameters.extend(self.zone.clone().map(|zone| ("zone", zone)));
        parameters.extend(
            self.by_event_time
                .then(|| ("sort", "event_time".to_owned())),
        );
        parameters.extend(self.oldest_first.then(|| ("order", "oldest".to_owned())));
        parameters
    }
}

fn show_pages(
    args: &Args,
    format: Format,
    first: Document,
    next: impl Fn(String) -> anyhow::Result<Document>,
) -> anyhow::Result<ExitCode> {
    let mut document = first;
    let mut count = 0;
    loop {
        let page = &document.value;
        match format {
            Format::Json => output::line(document.on_one_line())?,
            Format::Text => {
                let rows: Vec<Vec<String>> = events(page).map(row).collect();
                if count == 0 || !rows.is_empty() {
                    output::line(output::table(
                        &["received", "disposition", "type", "action", "id"],
                        &rows,
                    ))?;
                }
            }
        }
        count += events(page).count();
        let cursor = page
            .get("next_cursor")
            .and_then(Value::as_str)
            .map(str::to_owned);
        match cursor {
            Some(cursor) if args.all => document = next(cursor)?,
            more => {
                if format == Format::Text {
                    output::line(footer(page, count, more.is_some()))?;
                }
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}

fn footer(page: &Value, count: usize, more: bool) -> String {
    let text = |name: &str| page.get(name).and_then(Value::as_str);
    let mut line = format!("{} events", output::thousands(count as u64));
    if more {
        line.push_str(", and there are more (--all)");
    }
    for (name, words) in [
        ("complete_through", "complete through"),
        ("live_through", "live through"),
    ] {
        if let Some(at) = text(name) {
            line.push_str(&format!("; {words} {at}"));
        }
    }
    if page.get("provisional").and_then(Value::as_bool) == Some(true) {
        line.push_str("; some are not sealed yet");
    }
    line
}

fn events(page: &Value) -> impl Iterator<Item = &Value> {
    page.get("events")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn has_disposition(row: &Value) -> bool {
    row.get("disposition").is_some_and(|d| !d.is_null())
}

fn row(row: &Value) -> Vec<String> {
    let cell = |pointer: &str| {
        row.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("-")
            .to_owned()
    };
    vec![
        cell("/received_at"),
        cell("/disposition"),
        cell("/event/type"),
        cell("/event/action"),
        cell("/event/id"),
    ]
}

/// Percent-encodes what cannot stand in one segment of a path (RFC 3986, 3.3).
pub(super) fn path_segment(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:@!$'()*,;=".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_of_any_form_fit_into_a_path() {
        assert_eq!(path_segment("urn:uuid:1-2"), "urn:uuid:1-2");
        assert_eq!(
            path_segment("https://a/b?c#d é%"),
            "https:%2F%2Fa%2Fb%3Fc%23d%20%C3%A9%25"
        );
    }

    #[test]
    fn rows_say_what_there_is() {
        let found = row(
            &json!({"received_at": "t", "disposition": null, "event": {"type": "ViewEvent", "id": 7}}),
        );
        assert_eq!(found, ["t", "-", "ViewEvent", "-", "-"]);
        assert!(!has_disposition(&json!({"disposition": null})));
        assert!(has_disposition(&json!({"disposition": "stored"})));
    }
}
