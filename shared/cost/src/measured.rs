//! What runs used, measured at two sizes of envelope, and what lies between.

use crate::{Assumptions, Usage};
use serde::Deserialize;

/// The built-in figures.
const MEASURED: &str = include_str!("../measured/reference.json");

/// Usage of two kinds of envelope. JSON: also the part `usage` of the bench's report.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Measured {
    /// The day of the measurement.
    #[serde(default)]
    pub as_of: String,
    /// On what, how.
    #[serde(default)]
    pub note: String,
    /// What is estimated and not measured.
    #[serde(default)]
    pub estimated: Vec<String>,
    /// Envelopes of one event.
    pub envelope_1: Usage,
    /// Envelopes of 100.
    pub envelope_100: Usage,
}

impl Measured {
    /// The figures that are built in.
    ///
    /// # Errors
    /// The file beside the code is not what it should be; a test reads it.
    pub fn built_in() -> Result<Self, serde_json::Error> {
        serde_json::from_str(MEASURED)
    }

    /// What events in envelopes of `size` use: of every amount a part for each envelope and a part for
    /// each event, so that both measured sizes come out as they were measured. No amount is less than
    /// nothing. Records and PUT units follow from the bytes.
    #[must_use]
    pub fn at(&self, size: f64, assumed: &Assumptions) -> Usage {
        let (one, many) = (
            self.per_event(&self.envelope_1),
            self.per_event(&self.envelope_100),
        );
        let (n, m) = (
            1.0 / self.envelope_1.events_per_envelope,
            1.0 / self.envelope_100.events_per_envelope,
        );
        let between = |a: f64, b: f64| {
            let of_event = (b * n - a * m) / (n - m);
            let of_envelope = (a - of_event) / n;
            if of_event < 0.0 && 1.0 / size < m {
                // What even falls with each event: by envelope alone, where nothing was measured.
                return b / m / size;
            }
            (of_event + of_envelope / size).max(0.0)
        };
        // The second's memory: it is configured, not used up.
        let mut usage = many.zip(&one, |b, a| between(a, b));
        usage.events = 1.0;
        usage.events_per_envelope = size;
        usage.raw_bytes_per_event = many.raw_bytes_per_event;
        if size != self.envelope_1.events_per_envelope
            && size != self.envelope_100.events_per_envelope
        {
            let slices = (size * usage.raw_bytes_per_event / assumed.frame_text_bytes.value).ceil();
            let records = slices.max(1.0) / size;
            let units = usage.kinesis.bytes / records / assumed.put_unit_bytes.value;
            usage.kinesis.records = records;
            usage.kinesis.put_units = records * units.ceil().max(1.0);
        }
        usage
    }

    fn per_event(&self, usage: &Usage) -> Usage {
        usage.times(1.0 / usage.events)
    }
}
