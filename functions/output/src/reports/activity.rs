//! When people are active: events by weekday and hour.

use super::{Cell, Report, Seen, Sheet, Zone};
use crate::zone::WEEKDAYS;
use serde::Serialize;
use vernier_ledger::chunks::{Counts, SectionCounts};
use vernier_ledger::disposition::Disposition;

/// Counts stored events by when they happened (else were received) on a zone's clock.
#[derive(Debug)]
pub struct Activity {
    zone: Zone,
    events: [[u64; 24]; 7],
}

/// The counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActivityReport {
    /// The zone's name.
    pub zone: String,
    /// By day of the week, Monday first, and hour of the day.
    pub events: [[u64; 24]; 7],
    /// Their sum.
    pub total: u64,
}

impl Activity {
    /// Nothing so far.
    #[must_use]
    pub const fn new(zone: Zone) -> Self {
        let events = [[0; 24]; 7];
        Self { zone, events }
    }

    /// Counts one.
    pub fn add(&mut self, seen: &Seen<'_>) {
        if seen.disposition == Disposition::Stored {
            let (weekday, hour) = self.zone.weekday_and_hour(seen.at());
            self.events[weekday][hour] += 1;
        }
    }

    /// Takes the counts of a section's events.
    pub(crate) fn add_counts(&mut self, counts: &Counts, section: &SectionCounts) {
        for counted in counts.of(section) {
            let (weekday, hour) = self.zone.weekday_and_hour(counted.quarter);
            self.events[weekday][hour] += counted.events;
        }
    }

    /// What there was.
    #[must_use]
    pub fn finish(self) -> ActivityReport {
        ActivityReport {
            zone: self.zone.name().to_owned(),
            total: self.events.iter().flatten().sum(),
            events: self.events,
        }
    }
}

impl Report for ActivityReport {
    fn sheet(&self) -> Sheet {
        let mut sheet = Sheet::new(["weekday", "hour", "events"]);
        for (weekday, hours) in WEEKDAYS.iter().zip(&self.events) {
            for (hour, events) in (0u64..).zip(hours) {
                sheet.row([Cell::from(*weekday), hour.into(), (*events).into()]);
            }
        }
        sheet
    }
}
