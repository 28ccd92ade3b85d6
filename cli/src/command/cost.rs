//! `vernier cost`.

mod text;

use super::{Format, output};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use vernier_cost::limits::{self, Quotas};
use vernier_cost::{
    ByService, Cost, Knob, Load, Measured, PLATFORM_2016_DOLLARS_PER_BILLION, Rates, StreamMode,
    Usage, knobs, naive, price, price_as_counted,
};

/// Envelopes that input takes at most, events.
const ENVELOPE_EVENTS_MAX: f64 = 10_000.0;

/// Say what a load costs on AWS, by service, and which setting matters most.
///
/// Prices are dated list prices of us-east-1 on arm64, without free tier; figures of use are measured
/// (requests, write units, bytes, processor time for each event and envelope), assumptions dated too
/// (how long a service lets wait). Nothing is asked of any service: no account is needed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vernier cost                                       the reference load: a billion events a month
  vernier cost --events-per-month 20M --envelope 25  a school whose sensors send 25 at a time
  vernier cost --events-per-month 5M --envelope 1 --peak 10 --freshness-seconds 1
  vernier cost --retention-months 36 --json | jq .month
  vernier cost --report target/bench/report.json     by what your own bench measured
  vernier cost --limits                              what 10,000 to 15 million events a second need

The answer has the month's fixed part apart (alarms, dashboard, metrics, key, scheduled runs). Under it
stand the settings that would save something, the largest saving first, and what each gives up.")]
pub(super) struct Args {
    /// Events of a month: 250000, 2.5e5, 250k, 20M or 1B
    #[arg(long, value_name = "EVENTS", default_value = "1B", value_parser = events)]
    events_per_month: f64,
    /// Events of one envelope, in the mean
    #[arg(long, value_name = "EVENTS", default_value = "100", value_parser = envelope)]
    envelope: f64,
    /// The busiest second to the mean
    #[arg(long, value_name = "TIMES", default_value = "3", value_parser = peak)]
    peak: f64,
    /// How long the trigger gathers a batch (BatchWindowSeconds): most of an event's way to its reader
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=300))]
    freshness_seconds: u16,
    /// How long the archive is kept
    #[arg(long, value_name = "MONTHS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1200))]
    retention_months: u16,
    /// How the stream's capacity is bought (StreamMode)
    #[arg(long, value_name = "MODE", default_value = "provisioned", value_parser = ["provisioned", "on-demand"])]
    stream_mode: String,
    /// Figures of use from a report of `make bench` in place of those built in
    #[arg(long, value_name = "FILE", conflicts_with = "usage")]
    report: Option<PathBuf>,
    /// Figures of use of one kind of envelope, as the report has them under usage
    #[arg(long, value_name = "FILE", conflicts_with = "envelope")]
    usage: Option<PathBuf>,
    /// Print docs/limits.md instead: shards, memory, concurrency and quotas by rate
    #[arg(long, conflicts_with_all = ["usage", "json"])]
    limits: bool,
    /// The same as --format json
    #[arg(long)]
    json: bool,
}

fn events(text: &str) -> Result<f64, String> {
    let plain = text.replace(['_', ','], "");
    let (digits, times) = match plain.char_indices().last() {
        Some((at, 'k' | 'K')) => (&plain[..at], 1e3),
        Some((at, 'm' | 'M')) => (&plain[..at], 1e6),
        Some((at, 'b' | 'B' | 'g' | 'G')) => (&plain[..at], 1e9),
        _ => (plain.as_str(), 1.0),
    };
    match digits.parse::<f64>().map(|n| n * times) {
        Ok(n) if (1.0..=1e15).contains(&n) => Ok(n),
        _ => {
            Err("a number of events from 1 to 10^15, as 250000, 2.5e5, 250k, 20M or 1B".to_owned())
        }
    }
}

fn envelope(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if (1.0..=ENVELOPE_EVENTS_MAX).contains(&n) => Ok(n),
        _ => Err(format!(
            "1 to {ENVELOPE_EVENTS_MAX}: input takes no larger envelope"
        )),
    }
}

fn peak(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if (1.0..=10_000.0).contains(&n) => Ok(n),
        _ => Err("1 to 10000: the busiest second is not under the mean".to_owned()),
    }
}

/// What was asked, and what it comes to.
#[derive(Debug, Serialize)]
struct Answer {
    load: Load,
    /// Events of one envelope.
    envelope: f64,
    prices_as_of: String,
    measured_as_of: String,
    /// Figures of use that are estimates.
    estimated: Vec<String>,
    #[serde(flatten)]
    cost: Cost,
    /// Dollars of a month with its fixed part.
    month_total: f64,
    beside: Beside,
    knobs: Vec<Knob>,
    /// The reference load by both measured kinds of envelope.
    #[serde(rename = "cost")]
    reference: Reference,
}

/// What else such a load costs, or cost, dollars per billion.
#[derive(Debug, Serialize)]
struct Beside {
    platform_2016: f64,
    naive: ByService,
}

#[derive(Debug, Serialize)]
struct Reference {
    envelope_100: ByService,
    envelope_1: ByService,
    fixed_monthly: vernier_cost::Fixed,
}

/// Computes.
///
/// # Errors
/// A file cannot be read or has other figures in it.
pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<ExitCode> {
    let rates = Rates::built_in()?;
    let measured = match &args.report {
        Some(path) => report(path)?,
        None => Measured::built_in()?,
    };
    if args.limits {
        output::text(&limits::page(&measured, &rates, &Quotas::built_in()?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let usage = match &args.usage {
        Some(path) => read_usage(path)?,
        None => measured.at(args.envelope, &rates.assumed),
    };
    let answer = answer(args, &measured, &usage, &rates);
    if args.json || matches!(format, Format::Json) {
        output::json(&answer)?;
    } else {
        output::line(text::text(&answer))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn answer(args: &Args, measured: &Measured, usage: &Usage, rates: &Rates) -> Answer {
    let load = Load {
        events_per_month: args.events_per_month,
        peak_to_mean: args.peak,
        batch_window_seconds: f64::from(args.freshness_seconds),
        retention_months: f64::from(args.retention_months),
        stream_mode: match args.stream_mode.as_str() {
            "on-demand" => StreamMode::OnDemand,
            _ => StreamMode::Provisioned,
        },
        ..Load::default()
    };
    let size = usage.events_per_envelope;
    let cost = price(usage, rates, &load);
    let reference = |usage: &Usage| price(usage, rates, &Load::default());
    let (many, one) = (
        reference(&measured.envelope_100),
        reference(&measured.envelope_1),
    );
    let other = naive(measured.envelope_1.raw_bytes_per_event, &rates.assumed);
    Answer {
        load,
        envelope: size,
        prices_as_of: rates.prices.as_of.clone(),
        measured_as_of: measured.as_of.clone(),
        estimated: measured.estimated.clone(),
        month_total: cost.month_total(),
        beside: Beside {
            platform_2016: PLATFORM_2016_DOLLARS_PER_BILLION,
            naive: price_as_counted(&other, rates, &load).per_billion,
        },
        knobs: knobs(measured, size, usage, rates, &load),
        reference: Reference {
            envelope_100: many.per_billion,
            envelope_1: one.per_billion,
            fixed_monthly: many.fixed_monthly,
        },
        cost,
    }
}

/// The part of a bench's report that counts.
#[derive(Deserialize)]
struct Report {
    usage: Measured,
}

fn report(path: &Path) -> anyhow::Result<Measured> {
    let mut measured = read::<Report>(path, "no report of make bench with a part usage")?.usage;
    for usage in [&measured.envelope_1, &measured.envelope_100] {
        check(usage).with_context(|| path.display().to_string())?;
    }
    if measured.as_of.is_empty() {
        measured.as_of = path.display().to_string();
    }
    Ok(measured)
}

fn read_usage(path: &Path) -> anyhow::Result<Usage> {
    let usage: Usage = read(path, "not the usage of one kind of envelope")?;
    check(&usage).with_context(|| path.display().to_string())?;
    Ok(usage)
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path, what: &str) -> anyhow::Result<T> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| format!("{}: {what}", path.display()))
}

/// Numbers that a price can be made of.
fn check(usage: &Usage) -> anyhow::Result<()> {
    anyhow::ensure!(
        usage.events > 0.0,
        "events is {}: of nothing nothing follows",
        usage.events
    );
    anyhow::ensure!(
        usage.events_per_envelope >= 1.0,
        "events_per_envelope is {}, under 1",
        usage.events_per_envelope
    );
    for (name, function) in [
        ("input", &usage.lambda.input),
        ("stream", &usage.lambda.stream),
        ("reconcile", &usage.lambda.reconcile),
    ] {
        anyhow::ensure!(
            function.invocations == 0.0 || function.memory_mib >= 128.0,
            "lambda.{name}.memory_mib is {}, under 128",
            function.memory_mib
        );
    }
    let data = json!(usage);
    anyhow::ensure!(!has_negative(&data), "an amount is negative");
    Ok(())
}

fn has_negative(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Object(members) => members.values().any(has_negative),
        other => other.as_f64().is_some_and(|n| n < 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, n) in [
            ("250000", 250_000.0),
            ("2.5e5", 250_000.0),
            ("250k", 250_000.0),
            ("20M", 2e7),
            ("1B", 1e9),
            ("1_000_000", 1e6),
            ("1,000", 1e3),
        ] {
            assert_eq!(events(text), Ok(n), "{text}");
        }
        for text in ["", "0", "-5", "many", "M", "1e16", "nan"] {
            assert!(events(text).is_err(), "{text}");
        }
    }
}
