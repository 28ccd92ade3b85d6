//! What a send came to.

use super::report::{Outcome, Row};
use crate::command::output;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

/// Refusals and rejections that are told one by one.
const EXAMPLES_MAX: usize = 20;

/// Envelopes and events, added up.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Totals {
    pub(super) envelopes: u64,
    pub(super) acknowledged: u64,
    pub(super) refused: u64,
    pub(super) unsent: u64,
    pub(super) events: u64,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) bytes: u64,
    pub(super) bytes_sent: u64,
    pub(super) retries: u64,
}

impl Totals {
    fn add(&mut self, row: &Row) {
        self.envelopes += 1;
        match row.outcome {
            Outcome::Acknowledged => self.acknowledged += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Unsent => self.unsent += 1,
        }
        let counts = row.counts.unwrap_or_default();
        self.events += counts.received;
        self.accepted += counts.accepted;
        self.rejected += counts.rejected;
        self.bytes += row.bytes;
        self.bytes_sent += row.bytes_sent * u64::from(row.attempts);
        self.retries += u64::from(row.attempts.saturating_sub(1));
    }
}

/// Events that broke a rule, with one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Rule {
    rule: String,
    events: u64,
    message: String,
    /// File (and line), then the JSON pointer into that envelope.
    example: String,
}

/// What a send came to.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    /// This run.
    #[serde(flatten)]
    pub(super) totals: Totals,
    /// Envelopes that the report had an answer to already.
    pub(super) skipped: u64,
    /// All final answers of the report, from earlier runs.
    pub(super) earlier: Totals,
    /// Why the run stopped before its end.
    pub(super) stopped: Option<String>,
    pub(super) seconds: f64,
    pub(super) events_per_second: f64,
    /// Rules that rejected events broke, over all runs of the report.
    pub(super) rules: Vec<Rule>,
    /// Envelopes that were refused or not answered, the first ones.
    pub(super) refusals: Vec<String>,
    #[serde(skip)]
    by_rule: BTreeMap<String, Rule>,
}

impl Summary {
    /// Takes a line of an earlier run.
    pub(super) fn add_earlier(&mut self, row: &Row) {
        if row.is_final() {
            self.earlier.add(row);
            self.explain(row);
        }
    }

    /// Takes a line of this run.
    pub(super) fn add(&mut self, row: &Row) {
        self.totals.add(row);
        self.explain(row);
    }

    fn explain(&mut self, row: &Row) {
        if row.outcome != Outcome::Acknowledged && self.refusals.len() < EXAMPLES_MAX {
            let text = |name: &str| {
                row.problem
                    .as_ref()
                    .and_then(|p| p.get(name))
                    .and_then(Value::as_str)
            };
            let status = row.status.map(|s| format!("{s} ")).unwrap_or_default();
            let title = text("title")
                .or_else(|| text("message"))
                .unwrap_or("no reason given");
            let detail = text("detail").map(|d| format!(": {d}")).unwrap_or_default();
            self.refusals
                .push(format!("{}: {status}{title}{detail}", row.place()));
        }
        for event in row
            .events
            .as_ref()
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            self.explain_event(row, event);
        }
    }

    fn explain_event(&mut self, row: &Row, event: &Value) {
        if event.get("verdict").and_then(Value::as_str) != Some("rejected") {
            return;
        }
        let problems = event.get("problems").and_then(Value::as_array);
        let mut seen = BTreeSet::new();
        for problem in problems.into_iter().flatten() {
            let text = |name: &str| {
                problem
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            if !seen.insert(text("rule")) {
                continue;
            }
            let index = event.get("index").and_then(Value::as_u64).unwrap_or(0);
            let rule = self
                .by_rule
                .entry(text("rule").to_owned())
                .or_insert_with(|| Rule {
                    rule: text("rule").to_owned(),
                    events: 0,
                    message: text("message").to_owned(),
                    example: format!("{} /data/{index}{}", row.place(), text("pointer")),
                });
            rule.events += 1;
        }
    }

    /// Closes the account.
    pub(super) fn finish(&mut self, elapsed: Duration) {
        self.seconds = (elapsed.as_secs_f64() * 1e3).round() / 1e3;
        self.events_per_second =
            (self.totals.events as f64 / elapsed.as_secs_f64().max(1e-3)).round();
        self.rules = std::mem::take(&mut self.by_rule).into_values().collect();
        self.rules
            .sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.rule.cmp(&b.rule)));
    }

    /// Something was refused or rejected, now or in an earlier run.
    pub(super) fn has_findings(&self) -> bool {
        [&self.totals, &self.earlier]
            .iter()
            .any(|t| t.refused + t.rejected > 0)
    }

    /// Not every envelope has its answer.
    pub(super) fn is_unfinished(&self) -> bool {
        self.stopped.is_some() || self.totals.unsent > 0
    }

    /// The summary for people.
    pub(super) fn text(&self) -> String {
        use output::thousands as n;
        let t = &self.totals;
        let mut text = String::new();
        let mut line = |s: String| {
            let _infallible = writeln!(text, "{s}");
        };
        line(format!(
            "envelopes  {} sent: {} acknowledged, {} refused, {} without an answer; {} retries",
            n(t.envelopes),
            n(t.acknowledged),
            n(t.refused),
            n(t.unsent),
            n(t.retries)
        ));
        if self.skipped > 0 {
            line(format!(
                "           {} skipped: the report has their answers",
                n(self.skipped)
            ));
        }
        line(format!(
            "events     {} sent: {} accepted, {} rejected",
            n(t.events),
            n(t.accepted),
            n(t.rejected)
        ));
        if self.earlier.envelopes > 0 {
            let e = &self.earlier;
            line(format!(
                "           {} sent in earlier runs: {} accepted, {} rejected",
                n(e.events),
                n(e.accepted),
                n(e.rejected)
            ));
        }
        line(format!(
            "time       {:.1} s, {} events/s, {} ({} on the wire)",
            self.seconds,
            n(self.events_per_second as u64),
            output::bytes(t.bytes),
            output::bytes(t.bytes_sent)
        ));
        for refusal in &self.refusals {
            line(format!("  {refusal}"));
        }
        if !self.rules.is_empty() {
            let rows: Vec<Vec<String>> = self
                .rules
                .iter()
                .map(|r| {
                    vec![
                        n(r.events),
                        r.rule.clone(),
                        r.example.clone(),
                        r.message.clone(),
                    ]
                })
                .collect();
            line("rejected events by rule".to_owned());
            line(output::table(
                &["events", "rule", "example", "message"],
                &rows,
            ));
        } else if t.rejected > 0 {
            line("(--report or --verdicts tells why events were rejected)".to_owned());
        }
        text.truncate(text.trim_end().len());
        text
    }
}
