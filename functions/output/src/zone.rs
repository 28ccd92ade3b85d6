//! Hours and days as the people of a place count them, from a time zone database of our own.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use vernier_ledger::time::{Millis, TimeRange};
use vernier_web::{ProblemDocument, Request};

const HOUR_SECONDS: i64 = 3_600;
const DAY_SECONDS: i64 = 24 * HOUR_SECONDS;

/// Longest name of a time zone, bytes; the database's longest has 32.
const ZONE_BYTES_MAX: usize = 64;

/// A time zone. It is written and compared by its name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    zone: TimeZone,
    name: String,
}

/// How long a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bucket {
    /// An hour of the zone's clock; cut where the clock is set within it.
    Hour,
    /// A day of the zone's calendar: 23 or 25 hours where the clock is set.
    Day,
}

impl Default for Zone {
    fn default() -> Self {
        Self {
            zone: TimeZone::UTC,
            name: "UTC".to_owned(),
        }
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl TryFrom<String> for Zone {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::named(&name).ok_or(Self::EXPECTED)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name
    }
}

fn timestamp(at: Millis) -> Timestamp {
    let end = if at.0 < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_millisecond(at.0).unwrap_or(end)
}

/// The names of the days of the week, Monday first.
pub(crate) const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// When on a zone's clock events happened: on a day of the week, in an hour of the day, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockHour {
    /// The day of the week, Monday 0; none for every day.
    pub weekday: Option<usize>,
    /// The hour of the day; none for every hour.
    pub hour: Option<usize>,
    /// Whose clock shows them.
    pub zone: Zone,
}

impl ClockHour {
    /// Whether the clock shows it at an instant.
    #[must_use]
    pub fn contains(&self, at: Millis) -> bool {
        let (weekday, hour) = self.zone.weekday_and_hour(at);
        self.weekday.is_none_or(|wanted| wanted == weekday)
            && self.hour.is_none_or(|wanted| wanted == hour)
    }

    /// Reads the parameters `weekday`, `hour` and `zone`; none where neither of the first two is given.
    ///
    /// # Errors
    /// Names the parameter and what it should be.
    pub fn read(request: Request<'_>) -> Result<Option<Self>, ProblemDocument> {
        let weekday = request.query("weekday")?.map(|name| {
            let found = WEEKDAYS
                .iter()
                .position(|day| day.to_ascii_lowercase() == name);
            found.ok_or_else(|| ProblemDocument::parameter("weekday", "expected monday to sunday"))
        });
        let hour = request.query("hour")?.map(|text| {
            let number = (0..24).find(|hour: &usize| hour.to_string() == text);
            number.ok_or_else(|| ProblemDocument::parameter("hour", "expected 0 to 23"))
        });
        let (weekday, hour) = (weekday.transpose()?, hour.transpose()?);
        let zone = Zone::read(request)?;
        let is_asked = weekday.is_some() || hour.is_some();
        Ok(is_asked.then_some(Self {
            weekday,
            hour,
            zone,
        }))
    }
}

impl Zone {
    const EXPECTED: &str = "expected a time zone of the IANA database, such as Europe/Berlin";

    /// Reads the parameter `zone`; UTC where there is none.
    ///
    /// # Errors
    /// Says what the parameter should be.
    pub fn read(request: Request<'_>) -> Result<Self, ProblemDocument> {
        let Some(name) = request.query("zone")? else {
            return Ok(Self::default());
        };
        Self::named(name).ok_or_else(|| ProblemDocument::parameter("zone", Self::EXPECTED))
    }

    /// By its name in the IANA database, such as `Europe/Berlin`; none when there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if name.len() > ZONE_BYTES_MAX {
            return None;
        }
        let zone = TimeZoneDatabase::bundled().get(name).ok()?;
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Some(Self { zone, name })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn offset_seconds(&self, at: Millis) -> i64 {
        i64::from(self.zone.to_offset(timestamp(at)).seconds())
    }

    /// What the zone's clock shows, as seconds since 1970-01-01T00:00 on it.
    fn clock_seconds(&self, at: Millis) -> i64 {
        at.0.div_euclid(1_000) + self.offset_seconds(at)
    }

    /// Day of the week, Monday 0, and hour of the day on the zone's clock.
    #[must_use]
    pub fn weekday_and_hour(&self, at: Millis) -> (usize, usize) {
        let clock = self.clock_seconds(at);
        // 1970-01-01 was a Thursday.
        let weekday = (clock.div_euclid(DAY_SECONDS) + 3).rem_euclid(7);
        let hour = clock.rem_euclid(DAY_SECONDS) / HOUR_SECONDS;
        (
            usize::try_from(weekday).unwrap_or(0),
            usize::try_from(hour).unwrap_or(0),
        )
    }

    /// The beginning of the bucket that holds `from` and of every one after it that begins before
    /// `to`. Where the zone's calendar ends, days are 24 hours long.
    #[must_use]
    pub fn starts(&self, range: TimeRange, bucket: Bucket) -> Vec<Millis> {
        let TimeRange { from, to } = range;
        let mut starts = Vec::new();
        let mut at = match bucket {
            Bucket::Hour => self.hour_of(from),
            Bucket::Day => self.day(from, 0),
        };
        while at < to {
            starts.push(at);
            at = match bucket {
                Bucket::Hour => self.hour_after(at),
                Bucket::Day => self.day(at, 1),
            };
        }
        starts
    }

    fn day(&self, at: Millis, later: i64) -> Millis {
        let within_calendar = || {
            let zoned = Timestamp::from_millisecond(at.0).ok()?;
            let date = zoned.to_zoned(self.zone.clone()).date();
            let date = date.checked_add(jiff::Span::new().days(later)).ok()?;
            let start = date.to_zoned(self.zone.clone()).ok()?;
            Some(Millis(start.timestamp().as_millisecond()))
        };
        within_calendar().unwrap_or_else(|| at.plus_seconds(later * DAY_SECONDS))
    }

    fn hour_of(&self, at: Millis) -> Millis {
        let into = self.clock_seconds(at).rem_euclid(HOUR_SECONDS) * 1_000;
        let start = Millis(at.0 - at.0.rem_euclid(1_000) - into);
        let set = self.zone.preceding(timestamp(Millis(at.0 + 1))).next();
        let set = set.map(|t| Millis(t.timestamp().as_millisecond()));
        match set {
            Some(set) if set > start && self.is_set_at(set) => set,
            _ => start,
        }
    }

    fn hour_after(&self, at: Millis) -> Millis {
        let into = self.clock_seconds(at).rem_euclid(HOUR_SECONDS);
        let end = at.plus_seconds(HOUR_SECONDS - into);
        let set = self.zone.following(timestamp(at)).next();
        let set = set.map(|t| Millis(t.timestamp().as_millisecond()));
        match set {
            Some(set) if set < end && self.is_set_at(set) => set,
            _ => end,
        }
    }

    /// Whether the clock jumps at a change of the zone's rules.
    fn is_set_at(&self, change: Millis) -> bool {
        self.offset_seconds(change) != self.offset_seconds(Millis(change.0 - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Millis {
        Millis::parse_rfc3339(text).expect("a time")
    }

    fn starts(zone: &str, from: &str, to: &str, bucket: Bucket) -> Vec<Millis> {
        let zone = Zone::named(zone).expect("a zone");
        let range = TimeRange {
            from: at(from),
            to: at(to),
        };
        zone.starts(range, bucket)
    }

    #[test]
    fn days_of_23_and_25_hours_are_days() {
        let (from, to) = ("2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z");
        let found = starts("Europe/Berlin", from, to, Bucket::Day);
        let expected = [
            "2026-03-28T00:00:00+01:00",
            "2026-03-29T00:00:00+01:00",
            "2026-03-30T00:00:00+02:00",
        ];
        assert_eq!(found, expected.map(at));
        assert_eq!(found[2].0 - found[1].0, 23 * 3_600_000);
        let (from, to) = ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        let found = starts("Europe/Berlin", from, to, Bucket::Day);
        assert_eq!(found, [at("2026-10-25T00:00:00+02:00")]);
        let found = starts("Europe/Berlin", from, to, Bucket::Hour);
        assert_eq!(found.len(), 25);
    }

    #[test]
    fn the_hour_that_comes_twice_is_one_hour_of_the_day_and_two_buckets() {
        let zone = Zone::named("europe/berlin").expect("a zone");
        assert_eq!(zone.name(), "Europe/Berlin");
        let twice = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"].map(at);
        assert_eq!(twice.map(|t| zone.weekday_and_hour(t)), [(6, 2), (6, 2)]);
        assert_eq!(zone.weekday_and_hour(at("2026-03-29T01:00:00Z")), (6, 3));
        let range = TimeRange {
            from: twice[0],
            to: Millis(twice[1].0 + 1),
        };
        let found = zone.starts(range, Bucket::Hour);
        assert_eq!(
            found,
            ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"].map(at)
        );
    }

    #[test]
    fn a_clock_that_is_set_by_half_an_hour_cuts_its_hour() {
        let found = starts(
            "Australia/Lord_Howe",
            "2026-04-04T14:10:00Z",
            "2026-04-04T16:00:00Z",
            Bucket::Hour,
        );
        let expected = [
            "2026-04-04T14:00:00Z",
            "2026-04-04T15:00:00Z",
            "2026-04-04T15:30:00Z",
        ];
        assert_eq!(found, expected.map(at));
    }

    /// The calendar of the database ends a day before year 9999 does.
    #[test]
    fn buckets_go_on_where_the_calendar_ends() {
        for (from, to) in [
            ("9999-12-29T12:00:00Z", "9999-12-31T23:59:59.999-23:59"),
            ("0000-01-01T00:00:00+23:59", "0000-01-02T00:00:00Z"),
        ] {
            for zone in ["UTC", "Asia/Kathmandu", "America/New_York"] {
                for bucket in [Bucket::Day, Bucket::Hour] {
                    let starts = starts(zone, from, to, bucket);
                    assert!(starts.len() > 1, "{zone}: {starts:?}");
                    assert!(starts[0] <= at(from), "{zone}: {starts:?}");
                    assert!(starts.is_sorted_by(|a, b| a < b), "{zone}: {starts:?}");
                }
                let zone = Zone::named(zone).expect("a zone");
                let (weekday, hour) = zone.weekday_and_hour(at(to));
                assert!(weekday < 7 && hour < 24);
            }
        }
    }

    #[test]
    fn an_hour_of_a_weekday_is_that_of_the_zones_clock() {
        let zone = Zone::named("Europe/Berlin").expect("a zone");
        let sunday_at_two = ClockHour {
            weekday: Some(6),
            hour: Some(2),
            zone,
        };
        let hourly = (0..48).map(|n| at("2026-10-24T12:00:00Z").plus_seconds(n * 3_600));
        let found: Vec<Millis> = hourly.filter(|at| sunday_at_two.contains(*at)).collect();
        assert_eq!(
            found,
            ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"].map(at)
        );
        let text = serde_json::to_string(&sunday_at_two).expect("plain data");
        assert_eq!(
            serde_json::from_str::<ClockHour>(&text).expect("as written"),
            sunday_at_two
        );
    }

    #[test]
    fn unknown_zones_are_none() {
        for name in ["", "Mars/Olympus", "../etc/passwd", &"a".repeat(1_000)] {
            assert!(Zone::named(name).is_none(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn buckets_follow_each_other_and_cover_the_range(
            from in 0i64..4_000_000_000_000, seconds in 1i64..31 * 86_400,
            zone in prop::sample::select(vec![
                "UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu",
                "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns",
            ]),
            bucket in prop::sample::select(vec![Bucket::Hour, Bucket::Day]),
        ) {
            let zone = Zone::named(zone).expect("a zone");
            let (from, to) = (Millis(from), Millis(from + seconds * 1_000));
            let starts = zone.starts(TimeRange { from, to }, bucket);
            prop_assert!(starts[0] <= from && starts.last().is_some_and(|last| *last < to));
            for pair in starts.windows(2) {
                prop_assert!(pair[0] < pair[1]);
                // Straight: what the clock shows, by jiff's own civil times.
                let civil = |t: Millis| timestamp(t).to_zoned(zone.zone.clone());
                let (begin, end) = (civil(pair[0]), civil(Millis(pair[1].0 - 1)));
                match bucket {
                    Bucket::Day => prop_assert_eq!(begin.date(), end.date()),
                    Bucket::Hour => {
                        prop_assert_eq!(begin.date(), end.date());
                        prop_assert_eq!(begin.hour(), end.hour());
                        prop_assert_eq!(begin.offset(), end.offset());
                    }
                }
            }
        }

        #[test]
        fn weekday_and_hour_are_the_calendars(at in -4_000_000_000_000i64..4_000_000_000_000) {
            let zone = Zone::named("America/New_York").expect("a zone");
            let civil = timestamp(Millis(at)).to_zoned(zone.zone.clone());
            let weekday = civil.weekday().to_monday_zero_offset() as usize;
            let found = zone.weekday_and_hour(Millis(at));
            prop_assert_eq!(found, (weekday, civil.hour() as usize));
        }
    }
}
