//! The answer for people.

use super::Answer;
use crate::command::output::thousands;
use std::fmt::Write;
use vernier_cost::{ShardLimit, StreamMode};

/// Dollars with cents.
fn dollars(amount: f64) -> String {
    let cents = (amount * 100.0).round();
    let whole = thousands((cents / 100.0) as u64);
    format!("{whole}.{:02}", cents as u64 % 100)
}

fn row(text: &mut String, name: &str, month: f64, per_billion: Option<f64>) {
    let per_billion = per_billion.map(dollars).unwrap_or_default();
    let line = format!("{name:<22}{:>14}{per_billion:>20}", dollars(month));
    let _ = writeln!(text, "{}", line.trim_end());
}

fn months(count: f64) -> String {
    format!("{count} month{}", if count == 1.0 { "" } else { "s" })
}

/// The whole answer.
pub(super) fn text(answer: &Answer) -> String {
    let (load, cost) = (&answer.load, &answer.cost);
    let mut text = format!(
        "{} events a month in envelopes of {}, peak {} × mean, batches of {} s, archive kept for {}\n\n",
        thousands(load.events_per_month as u64),
        answer.envelope,
        load.peak_to_mean,
        load.batch_window_seconds,
        months(load.retention_months)
    );
    let _ = writeln!(
        text,
        "{:<22}{:>14}{:>20}",
        "dollars", "a month", "a billion events"
    );
    let each = cost.month.named().into_iter().zip(cost.per_billion.named());
    for ((name, month), (_, per_billion)) in each {
        row(&mut text, name, month, Some(per_billion));
    }
    row(
        &mut text,
        "by use",
        cost.month.total,
        Some(cost.per_billion.total),
    );
    row(&mut text, "fixed", cost.fixed_monthly.total, None);
    row(&mut text, "together", answer.month_total, None);
    let shards = thousands(cost.shards as u64);
    let limit = match cost.shard_limit {
        ShardLimit::Bytes => "bytes",
        ShardLimit::Records => "records",
    };
    let _ = match load.stream_mode {
        StreamMode::Provisioned => writeln!(text, "\nshards for the peak: {shards} (by {limit})"),
        StreamMode::OnDemand => writeln!(text, "\nthe stream is on demand"),
    };
    let _ = writeln!(
        text,
        "\nbeside it, a billion events: the platform of 2016 {}; one event per request, record and item {}",
        dollars(answer.beside.platform_2016),
        dollars(answer.beside.naive.total)
    );
    knobs(&mut text, answer);
    sources(&mut text, answer);
    text.pop();
    text
}

fn knobs(text: &mut String, answer: &Answer) {
    if answer.knobs.is_empty() {
        text.push_str("\nno setting saves anything\n");
        return;
    }
    text.push_str("\nwhat would save most, each by itself, dollars a month\n");
    for knob in &answer.knobs {
        let _ = writeln!(
            text,
            "  {:>12}  {}: {} ({})",
            dollars(knob.saves_monthly),
            knob.name,
            knob.change,
            knob.for_what
        );
    }
}

fn sources(text: &mut String, answer: &Answer) {
    let _ = writeln!(
        text,
        "\nprices of {}, us-east-1, arm64; use measured {}",
        answer.prices_as_of, answer.measured_as_of
    );
    if !answer.estimated.is_empty() {
        let _ = writeln!(
            text,
            "estimated, not measured: {}",
            answer.estimated.join("; ")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_have_cents() {
        let said = [0.0, 0.005, 1.999, 129_551.0, 12.3].map(dollars);
        assert_eq!(said, ["0.00", "0.01", "2.00", "129,551.00", "12.30"]);
    }
}
