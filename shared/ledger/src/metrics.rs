//! Metrics as lines of the log, in CloudWatch's embedded metric format: what the log costs is all that
//! writing them costs, and no call is made.
//!
//! A metric is kept by name for the whole stack, without dimensions: each further value of a dimension
//! would be a metric more, at $0.30 a month, and tenants are nobody's business who may read metrics. What
//! a line knows beyond its metrics (shard, counts) stands beside them, for queries of the log.

use crate::Invariant;
use crate::time::Millis;
use serde_json::{Map, Value, json};
use std::fmt;
use std::io::Write as _;

/// What is measured, once for a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// Events of acknowledged envelopes. Not in a line of its own: a metric filter of the template reads
    /// it off input's line for each envelope, which would otherwise have to be 190 bytes longer.
    EventsReceived,
    /// Unknown tokens that were refused and not looked up. A metric filter reads it off the line that the
    /// process writes of them, at most one in ten seconds.
    UnknownTokensRefused,
    /// Events of acknowledged envelopes with a time that nobody can read, so that a column is without its
    /// value. Read off a line of input's too, which only such envelopes have.
    TimesUnreadable,
    /// Envelopes that were refused because a rate of their tenant was spent. Read by a metric filter, as
    /// `EventsReceived` is.
    EnvelopesOverRate,
    /// Envelopes of tenants with rates that passed because the counters did not answer. Read by a metric filter too.
    EnvelopesUnchecked,
    /// How often a throttled tenant got more lanes or more keys on the stream. Read by metric filters off the line that
    /// whoever sent for it writes.
    SpreadsGrown,
    /// Events that a segment record accounts for.
    EventsCommitted,
    /// Seconds from an event's receipt until it can be read, of the oldest in a batch.
    FreshnessSeconds,
    /// Seconds between the receipt of a frame by input's clock and its arrival by the stream's, at most in a batch; of
    /// frames that input or a playback sent, not of those that were brought back.
    ClockSkewSeconds,
    /// Records of the stream that were no frames.
    RecordsQuarantined,
    /// Events of sealed windows that are stored.
    EventsStored,
    /// The same event again.
    EventsDuplicate,
    /// The same id with other content.
    EventsConflict,
    /// Events that failed validation.
    EventsRejected,
    /// Windows over which received and stored differ, as seen by a worker.
    WindowsIncomplete,
    /// Windows that are due and not sealed, as seen by a worker.
    WindowsHeld,
    /// Windows that the chain passed over, days that cannot be compacted, segments that are past their
    /// time and not sealed, as seen by a worker.
    WindowsOverdue,
    /// Seconds since the end of the last window that is sealed, of a tenant whose chain is held back or behind.
    SealLagSeconds,
    /// Seconds that the oldest entry of all work lists has been due, as seen by each run of the planner.
    WorkOverdueSeconds,
    /// Batches at the trigger's failure destination that a worker looked at.
    FailedBatches,
    /// Frames that a worker put on the stream again.
    FramesBroughtBack,
    /// Frames that neither a segment nor the stream has, as seen by a worker: only their sender can send
    /// them again.
    FramesGone,
    /// Slices that a worker gave up because the stream function stored them in none of their tries.
    SlicesGivenUp,
    /// Records of shards, block items and checkpoints that are gone or changed, as seen by the check of the shards.
    ShardFaults,
}

/// A unit, by CloudWatch's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of something.
    Count,
    /// Time.
    Seconds,
}

impl Metric {
    /// All of them, in the order of the data's way.
    pub const ALL: [Self; 24] = [
        Self::EventsReceived,
        Self::UnknownTokensRefused,
        Self::TimesUnreadable,
        Self::EnvelopesOverRate,
        Self::EnvelopesUnchecked,
        Self::SpreadsGrown,
        Self::EventsCommitted,
        Self::FreshnessSeconds,
        Self::ClockSkewSeconds,
        Self::RecordsQuarantined,
        Self::EventsStored,
        Self::EventsDuplicate,
        Self::EventsConflict,
        Self::EventsRejected,
        Self::WindowsIncomplete,
        Self::WindowsHeld,
        Self::WindowsOverdue,
        Self::SealLagSeconds,
        Self::WorkOverdueSeconds,
        Self::FailedBatches,
        Self::FramesBroughtBack,
        Self::FramesGone,
        Self::SlicesGivenUp,
        Self::ShardFaults,
    ];

    /// Its name in CloudWatch.
    #[must_use]
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// Its unit.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::FreshnessSeconds
            | Self::ClockSkewSeconds
            | Self::SealLagSeconds
            | Self::WorkOverdueSeconds => Unit::Seconds,
            _ => Unit::Count,
        }
    }

    /// The promise that it watches.
    #[must_use]
    pub const fn invariant(self) -> Invariant {
        match self {
            Self::EventsReceived => Invariant::DurableBeforeAck,
            Self::UnknownTokensRefused => Invariant::Bounded,
            Self::EnvelopesOverRate | Self::EnvelopesUnchecked | Self::SpreadsGrown => {
                Invariant::TenantsAreWalls
            }
            Self::EventsStored
            | Self::EventsDuplicate
            | Self::EventsConflict
            | Self::EventsRejected => Invariant::OneDispositionEach,
            Self::EventsCommitted
            | Self::ClockSkewSeconds
            | Self::WindowsIncomplete
            | Self::FramesGone => Invariant::Complete,
            Self::FramesBroughtBack => Invariant::ExactlyOnceEffects,
            Self::FreshnessSeconds
            | Self::RecordsQuarantined
            | Self::FailedBatches
            | Self::SlicesGivenUp
            | Self::TimesUnreadable => Invariant::NothingUnreadable,
            Self::WindowsHeld
            | Self::WindowsOverdue
            | Self::SealLagSeconds
            | Self::WorkOverdueSeconds
            | Self::ShardFaults => Invariant::TamperEvident,
        }
    }
}

/// One line: values of metrics, and what else is to be known of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    at: Millis,
    values: Vec<(Metric, f64)>,
    properties: Map<String, Value>,
}

impl Line {
    /// A line of an instant, with the words that it is found by.
    #[must_use]
    pub fn new(at: Millis, message: &str) -> Self {
        Self {
            at,
            values: Vec::new(),
            properties: Map::new(),
        }
        .with("message", message)
    }

    /// With a number of something.
    #[must_use]
    pub fn count(self, metric: Metric, number: u64) -> Self {
        // Counts stay far below 2^53.
        #[allow(clippy::cast_precision_loss)]
        self.value(metric, number as f64)
    }

    /// With a time in milliseconds, which the line says in seconds.
    #[must_use]
    pub fn millis(self, metric: Metric, millis: u64) -> Self {
        #[allow(clippy::cast_precision_loss)]
        self.value(metric, millis as f64 / 1_000.0)
    }

    fn value(mut self, metric: Metric, value: f64) -> Self {
        self.values.push((metric, value));
        self
    }

    /// With something that is no metric: never of an event, a person or a token.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.properties.insert(name.to_owned(), value.into());
        self
    }

    /// The line in the embedded metric format (Amazon CloudWatch User Guide, "Specification: Embedded
    /// metric format"): the root has a member for each metric, and `_aws` says which of them are metrics.
    #[must_use]
    pub fn to_json(&self, namespace: &str) -> Value {
        let metrics: Vec<Value> = self
            .values
            .iter()
            .map(|(metric, _)| {
                json!({ "Name": metric.name(), "Unit": format!("{:?}", metric.unit()) })
            })
            .collect();
        let mut root = self.properties.clone();
        for (metric, value) in &self.values {
            root.insert(metric.name(), number(*value));
        }
        root.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": self.at.0,
                "CloudWatchMetrics": [{
                    "Namespace": namespace,
                    // One set, and nothing in it: a metric of the stack.
                    "Dimensions": [[]],
                    "Metrics": metrics,
                }],
            }),
        );
        Value::Object(root)
    }
}

/// A whole number without a fraction: shorter, and as the sender counted.
fn number(value: f64) -> Value {
    #[allow(clippy::cast_possible_truncation)]
    if value.fract() == 0.0 && value.abs() < 9e15 {
        json!(value as i64)
    } else {
        json!(value)
    }
}

type Sink = Box<dyn Fn(&str) + Send + Sync>;

/// Where lines go, and under which name their metrics are kept.
pub struct Metrics {
    namespace: String,
    sink: Sink,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Metrics {
    /// The name where none is given.
    pub const NAMESPACE: &'static str = "Vernier";

    /// To standard output, which is a Lambda function's log. Whatever the log's filter leaves out, these
    /// lines are in it.
    #[must_use]
    pub fn to_log(namespace: String) -> Self {
        Self::to(namespace, |line| {
            // In one write, so that no other line comes in between; a closed log is nobody's failure.
            let _ = std::io::stdout().lock().write_all(line.as_bytes());
        })
    }

    /// To anything that takes a line with its line feed.
    #[must_use]
    pub fn to(namespace: String, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            namespace,
            sink: Box::new(sink),
        }
    }

    /// Writes a line.
    pub fn write(&self, line: &Line) {
        (self.sink)(&format!("{}\n", line.to_json(&self.namespace)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex};

    fn line() -> Line {
        Line::new(Millis(1_764_000_000_123), "batch committed")
            .count(Metric::EventsCommitted, 1_200)
            .count(Metric::RecordsQuarantined, 0)
            .millis(Metric::FreshnessSeconds, 1_250)
            .with("shard", "shardId-000000000000")
    }

    #[test]
    fn a_line_is_what_the_format_asks_for() {
        let expected = json!({
            "_aws": {
                "Timestamp": 1_764_000_000_123_i64,
                "CloudWatchMetrics": [{
                    "Namespace": "Vernier/school",
                    "Dimensions": [[]],
                    "Metrics": [
                        { "Name": "EventsCommitted", "Unit": "Count" },
                        { "Name": "RecordsQuarantined", "Unit": "Count" },
                        { "Name": "FreshnessSeconds", "Unit": "Seconds" },
                    ],
                }],
            },
            "EventsCommitted": 1200,
            "RecordsQuarantined": 0,
            "FreshnessSeconds": 1.25,
            "message": "batch committed",
            "shard": "shardId-000000000000",
        });
        assert_eq!(line().to_json("Vernier/school"), expected);
    }

    /// The format's own bounds: a hundred metrics in a directive, names of 1 to 1,024 characters, a
    /// number behind every name, the set of dimensions empty.
    #[test]
    fn the_fullest_line_keeps_the_bounds() {
        let all = Metric::ALL
            .iter()
            .fold(Line::new(Millis(1), "x"), |line, m| {
                line.count(*m, u64::MAX >> 12)
            });
        let json = all.to_json(Metrics::NAMESPACE);
        let directive = &json["_aws"]["CloudWatchMetrics"][0];
        let metrics = directive["Metrics"].as_array().expect("metrics");
        assert!(metrics.len() == Metric::ALL.len() && metrics.len() <= 100);
        let names: BTreeSet<&str> = metrics.iter().filter_map(|m| m["Name"].as_str()).collect();
        assert_eq!(names.len(), metrics.len(), "each once");
        for name in names {
            assert!(json[name].is_u64(), "{name} is {}", json[name]);
            assert!((1..=1_024).contains(&name.len()));
        }
        assert_eq!(directive["Dimensions"], json!([[]]));
        assert!(json.to_string().len() < 256 * 1024);
    }

    #[test]
    fn a_line_is_written_whole() {
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let sink = Arc::clone(&seen);
        let metrics = Metrics::to("Vernier/x".to_owned(), move |line| {
            sink.lock().expect("unpoisoned").push(line.to_owned());
        });
        metrics.write(&line());
        let seen = seen.lock().expect("unpoisoned");
        let [text] = &seen[..] else {
            panic!("{seen:?}")
        };
        assert!(text.ends_with('\n') && text.matches('\n').count() == 1);
        let read: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(read, line().to_json("Vernier/x"));
    }

    #[test]
    fn every_promise_that_can_be_watched_has_a_metric() {
        let watched: BTreeSet<Invariant> = Metric::ALL.iter().map(|m| m.invariant()).collect();
        // Every promise has one.
        let left: Vec<Invariant> = Invariant::ALL
            .into_iter()
            .filter(|i| !watched.contains(i))
            .collect();
        assert_eq!(left, []);
    }
}
