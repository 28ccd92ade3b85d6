//! The scaler against a simulated stream, second by second: days, weeks and an exam week, with metrics
//! that come late, changes that take minutes, and ten changes a day at most.

use futures::executor::block_on;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use vernier_cost::Rates;
use vernier_fakes::MemoryTable;
use vernier_ledger::ports::{PortError, Shards, StreamMetrics};
use vernier_ledger::scaling::{Resharding, ScalingLog, StreamLoad, StreamShards};
use vernier_ledger::time::{Millis, Minute};
use vernier_reconcile::scaling::{
    CHANGES_PER_DAY_MAX, Decision, Policy, Reason, Scaler, Seen, changes_within_a_day, decide,
    shard_hours,
};

/// Monday, 2026-11-02T00:00:00Z.
const MONDAY: i64 = 1_793_577_600_000;
const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;

/// A metric can be read so long after its minute is over, seconds.
const METRIC_LATE_SECONDS: i64 = 60;

/// A change takes so long, and all of it comes at its end: longer than the service says for few shards.
const CHANGE_SECONDS: i64 = 150;

/// Bytes of a record: an envelope of 100 events.
const RECORD_BYTES: f64 = 14_000.0;

/// A stream whose load is a function of the second.
struct Simulated {
    /// Bytes that sensors want to write at a second since [`MONDAY`].
    load: Box<dyn Fn(i64) -> f64>,
    second: Cell<i64>,
    shards: Cell<u32>,
    /// The number that comes, and when.
    coming: Cell<Option<(u32, i64)>>,
    /// Bytes written and refused by minute.
    minutes: RefCell<Vec<(f64, f64)>>,
    changes: RefCell<Vec<i64>>,
    /// Seconds in which records were refused.
    refused: Cell<i64>,
    /// The longest time of refusals, seconds; when the newest began, and its last second.
    refused_for: Cell<(i64, i64, i64)>,
    shard_seconds: Cell<f64>,
    bytes: Cell<f64>,
}

type Stream = Rc<Simulated>;

impl Simulated {
    fn new(shards: u32, load: impl Fn(i64) -> f64 + 'static) -> Stream {
        Rc::new(Self {
            load: Box::new(load),
            second: Cell::new(0),
            shards: Cell::new(shards),
            coming: Cell::new(None),
            minutes: RefCell::default(),
            changes: RefCell::default(),
            refused: Cell::new(0),
            refused_for: Cell::new((0, 0, -DAY)),
            shard_seconds: Cell::new(0.0),
            bytes: Cell::new(0.0),
        })
    }

    fn now(&self) -> Millis {
        Millis(MONDAY + self.second.get() * 1_000)
    }

    fn pass_a_second(&self) {
        let second = self.second.get();
        if let Some((shards, _)) = self.coming.get().filter(|(_, at)| *at <= second) {
            self.shards.set(shards);
            self.coming.set(None);
        }
        let wanted = (self.load)(second);
        let taken = wanted.min(f64::from(self.shards.get()) * 1e6);
        let is_refused = wanted > taken;
        if is_refused {
            let (longest, since, last) = self.refused_for.get();
            // One time of refusals, unless half a minute without any lies between.
            let since = if second - last > 30 { second } else { since };
            let longest = longest.max(second - since + 1);
            self.refused_for.set((longest, since, second));
        }
        self.refused.set(self.refused.get() + i64::from(is_refused));
        let mut minutes = self.minutes.borrow_mut();
        if second % MINUTE == 0 {
            minutes.push((0.0, 0.0));
        }
        let minute = minutes.last_mut().expect("a minute has begun");
        minute.0 += taken;
        minute.1 += wanted - taken;
        // While it changes, the service bills the shards that it makes.
        let billed = self
            .coming
            .get()
            .map_or(0, |(n, _)| n)
            .max(self.shards.get());
        self.shard_seconds
            .set(self.shard_seconds.get() + f64::from(billed));
        self.bytes.set(self.bytes.get() + taken);
        self.second.set(second + 1);
    }
}

/// The stream as its ports see it.
struct Port(Stream);

impl StreamMetrics for Port {
    async fn loads(
        &self,
        from: Minute,
        to: Minute,
        step: u32,
    ) -> Result<Vec<StreamLoad>, PortError> {
        let first = MONDAY / 60_000;
        let seen = (self.0.second.get() - METRIC_LATE_SECONDS).div_euclid(MINUTE);
        let minutes = self.0.minutes.borrow();
        let whole = |m: i64| {
            usize::try_from(m - first)
                .ok()
                .filter(|m| (*m as i64) < seen)
        };
        let of = |m: i64| whole(m).and_then(|at| minutes.get(at)).copied();
        let starts = (from.0..to.0).step_by(step as usize);
        let loads = starts.filter_map(|start| {
            let parts: Vec<_> = (start..start + i64::from(step)).filter_map(of).collect();
            let sum = |pick: fn(&(f64, f64)) -> f64| parts.iter().map(pick).sum::<f64>();
            (!parts.is_empty()).then(|| StreamLoad {
                minute: Minute(start),
                minutes: step,
                bytes: sum(|p| p.0),
                records: sum(|p| p.0) / RECORD_BYTES,
                refused: sum(|p| p.1) / RECORD_BYTES,
            })
        });
        Ok(loads.collect())
    }
}

impl Shards for Port {
    async fn shards(&self) -> Result<StreamShards, PortError> {
        Ok(StreamShards {
            open: self.0.shards.get(),
            is_steady: self.0.coming.get().is_none(),
        })
    }

    async fn reshard(&self, to: u32) -> Result<(), PortError> {
        let (now, shards) = (self.0.second.get(), self.0.shards.get());
        assert!(
            to <= shards * 2 && to * 2 >= shards,
            "{shards} to {to}: the service refuses"
        );
        let mut changes = self.0.changes.borrow_mut();
        changes.retain(|at| *at > now - DAY);
        if changes.len() >= CHANGES_PER_DAY_MAX as usize {
            return Err(PortError::Retryable("LimitExceededException".into()));
        }
        changes.push(now);
        self.0.coming.set(Some((to, now + CHANGE_SECONDS)));
        Ok(())
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
struct Played {
    refused_seconds: i64,
    refused_longest: i64,
    changes: u32,
    dollars: f64,
    fixed_dollars: f64,
    on_demand_dollars: f64,
    shards_most: u32,
    peak_to_mean: f64,
}

const POLICY: Policy = Policy {
    shards_min: 1,
    shards_max: 16,
    dollars_per_month_max: 0.0,
};

/// Plays seconds of a load, a run each minute; figures are those from `from` on.
fn play(policy: Policy, (from, to): (i64, i64), load: impl Fn(i64) -> f64 + 'static) -> Played {
    let stream = Simulated::new(policy.shards_min, load);
    let scaler = Scaler {
        metrics: Port(Rc::clone(&stream)),
        shards: Port(Rc::clone(&stream)),
        log: MemoryTable::default(),
        stream: "frames".to_owned(),
        policy,
    };
    let (mut changes, mut most, mut peak) = (0, 0, 0.0_f64);
    for second in 0..to {
        if second == from {
            stream.refused.set(0);
            stream.refused_for.set((0, 0, -DAY));
            stream.shard_seconds.set(0.0);
            stream.bytes.set(0.0);
            (changes, most, peak) = (0, 0, 0.0);
        }
        // The schedule's minute is not the metrics'.
        if second % MINUTE == 20 {
            let decision =
                block_on(scaler.run(stream.now())).expect("the simulation does not fail");
            changes += u32::from(decision.to.is_some());
        }
        peak = peak.max((stream.load)(second));
        stream.pass_a_second();
        most = most.max(stream.shards.get());
    }
    let rates = Rates::built_in().expect("sound");
    let (prices, hours) = (&rates.prices.prices, (to - from) as f64 / 3_600.0);
    let fixed = vernier_cost::shards_for(peak, 0.0, &rates.assumed).0;
    let (gb, shard_hours) = (
        stream.bytes.get() / 1_073_741_824.0,
        stream.shard_seconds.get() / 3_600.0,
    );
    Played {
        refused_seconds: stream.refused.get(),
        refused_longest: stream.refused_for.get().0,
        changes,
        dollars: prices.kinesis_shard_hour.of(shard_hours),
        fixed_dollars: prices.kinesis_shard_hour.of(fixed * hours),
        on_demand_dollars: prices.kinesis_on_demand_stream_hour.of(hours)
            + prices.kinesis_on_demand_gb_in.of(gb)
            + prices.kinesis_on_demand_gb_out.of(gb),
        shards_most: most,
        peak_to_mean: peak * (to - from) as f64 / stream.bytes.get(),
    }
}

fn show(what: &str, played: &Played) {
    eprintln!(
        "{what:38} peak {:.1} x mean; refused {:4} s, {:3} s at a time; {:2} changes, at most {:2} shards; ${:.2}, fixed ${:.2}, on demand ${:.2}",
        played.peak_to_mean,
        played.refused_seconds,
        played.refused_longest,
        played.changes,
        played.shards_most,
        played.dollars,
        played.fixed_dollars,
        played.on_demand_dollars
    );
}

/// From 0 to 1 between two times, along a smooth line.
fn ramp(second: i64, from: i64, to: i64) -> f64 {
    let x = ((second - from) as f64 / (to - from) as f64).clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}

/// Up from one time to another, down again from a third to a fourth.
fn hill(second: i64, [up, top, off, down]: [i64; 4]) -> f64 {
    ramp(second, up, top) - ramp(second, off, down)
}

/// Each second and each minute a little off, the same in each run.
fn noise(second: i64) -> f64 {
    let mix = |n: i64| {
        let mut x = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        x ^= x >> 31;
        x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (x >> 40) as f64 / (1_u64 << 24) as f64 - 0.5
    };
    1.0 + 0.2 * mix(second) + 0.2 * mix(second / MINUTE + 1_000_003)
}

/// A school day: most before noon, evenings at home, hardly a night; weekends a third. Three and a half
/// times the mean at the peak.
fn school_day(second: i64) -> f64 {
    let (day, at) = (second / DAY, second % DAY);
    let classes = hill(at, [7 * HOUR, 9 * HOUR + 30 * MINUTE, 13 * HOUR, 17 * HOUR]);
    let evening = 0.4 * hill(at, [18 * HOUR, 20 * HOUR, 21 * HOUR, 23 * HOUR]);
    let much = if day % 7 >= 5 { 0.33 } else { 1.0 };
    (0.03 + much * (classes + evening)) * noise(second)
}

/// An exam week's day: on top, exams at nine and at two for which all log in within `within` seconds
/// and hand in at the end.
fn exam_day(second: i64, within: i64) -> f64 {
    let at = second % DAY;
    if second / DAY % 7 >= 5 {
        return school_day(second);
    }
    let exam = |start: i64| {
        let crowd = hill(
            at,
            [
                start - within,
                start,
                start + 2 * HOUR,
                start + 2 * HOUR + 10 * MINUTE,
            ],
        );
        let hand_in = 0.4
            * hill(
                at,
                [
                    start + 110 * MINUTE,
                    start + 115 * MINUTE,
                    start + 2 * HOUR,
                    start + 125 * MINUTE,
                ],
            );
        crowd + hand_in
    };
    school_day(second) + 5.0 * (exam(9 * HOUR) + exam(14 * HOUR)) * noise(second)
}

/// Two school weeks, the second counted: the scaler knows what a Monday is.
#[test]
fn school_days_are_never_throttled_and_cost_less() {
    let played = play(POLICY, (WEEK, 2 * WEEK), |s| 3.0e6 * school_day(s));
    show("a school week", &played);
    assert_eq!(played.refused_seconds, 0);
    assert!(played.dollars < 0.8 * played.fixed_dollars, "{played:?}");
    assert!(played.dollars < played.on_demand_dollars, "{played:?}");
    // The first week too, though it knows nothing.
    let first = play(POLICY, (0, WEEK), |s| 3.0e6 * school_day(s));
    show("the first, of which nothing is known", &first);
    assert_eq!(first.refused_seconds, 0);
}

/// Exams after a week of classes: nobody told the scaler. Less than a minute in all of the week is
/// refused, on the first morning.
#[test]
fn an_exam_week_is_throttled_for_less_than_a_minute() {
    let load = |s| {
        if s < WEEK {
            1.0e6 * school_day(s)
        } else {
            1.0e6 * exam_day(s, 30 * MINUTE)
        }
    };
    let played = play(POLICY, (WEEK, 2 * WEEK), load);
    show("exams, log-in within 30 minutes", &played);
    assert!(played.refused_seconds <= MINUTE, "{played:?}");
    assert!(played.dollars < played.fixed_dollars, "{played:?}");
}

/// All within five minutes: faster than a stream can be doubled twice. The first morning is
/// throttled, the next are not, because the day before is remembered; and not even the first, if the
/// operator says what is the least.
#[test]
fn a_sudden_crowd_is_remembered_from_the_first_day_on() {
    let load = |s| {
        if s < WEEK {
            1.0e6 * school_day(s)
        } else {
            1.0e6 * exam_day(s, 5 * MINUTE)
        }
    };
    let first = play(POLICY, (WEEK, WEEK + DAY), load);
    show("all within 5 minutes, first day", &first);
    let later = play(POLICY, (WEEK + DAY, 2 * WEEK), load);
    show("and from the second day on", &later);
    assert!(
        first.refused_longest > MINUTE,
        "then the page may say so: {first:?}"
    );
    assert!(later.refused_longest <= MINUTE, "{later:?}");
    let told = Policy {
        shards_min: 16,
        ..POLICY
    };
    let told = play(told, (WEEK, WEEK + DAY), load);
    show("the first day with ScaleShardsMin 16", &told);
    assert!(told.refused_longest <= MINUTE, "{told:?}");
}

/// A night's noise changes nothing.
#[test]
fn noise_spends_no_change() {
    let played = play(POLICY, (HOUR, 2 * DAY), |s| 0.45e6 * noise(s));
    show("noise", &played);
    assert_eq!(played.changes, 0);
    // Nor between the two marks, where a shard more or less would both do.
    let played = play(
        Policy {
            shards_min: 2,
            ..POLICY
        },
        (HOUR, 2 * DAY),
        |s| 0.9e6 * noise(s),
    );
    assert_eq!(played.changes, 0);
}

/// A month's ceiling holds, whatever comes.
#[test]
fn the_month_costs_no_more_than_it_may() {
    let policy = Policy {
        dollars_per_month_max: 40.0,
        ..POLICY
    };
    // November has 28 days left.
    let played = play(policy, (0, 28 * DAY), |s| 6.0e6 * school_day(s));
    show("four weeks with a ceiling of $40", &played);
    assert!(played.dollars <= 40.0, "{played:?}");
    let free = play(POLICY, (0, 28 * DAY), |s| 6.0e6 * school_day(s));
    show("and without", &free);
    assert!(free.dollars > 40.0 && free.refused_seconds == 0, "{free:?}");
    assert!(
        played.shards_most > 4,
        "what was saved is spent: {played:?}"
    );
}

fn load(minute: i64, megabytes_per_second: f64) -> StreamLoad {
    StreamLoad {
        minute: Minute(minute),
        minutes: 1,
        bytes: megabytes_per_second * 6e7,
        records: 60.0,
        refused: 0.0,
    }
}

fn seen(shards: u32, megabytes_per_second: f64) -> Seen {
    let now = Millis(MONDAY);
    let minute = now.minute().0;
    Seen {
        shards,
        recent: (minute - 60..minute)
            .map(|m| load(m, megabytes_per_second))
            .collect(),
        ahead: Some(Vec::new()),
        now,
    }
}

fn log(times: impl IntoIterator<Item = i64>) -> ScalingLog {
    let at = |seconds: i64| Millis(MONDAY).plus_seconds(-seconds);
    let changes = times.into_iter().map(|seconds| Resharding {
        at: at(seconds),
        from: 2,
        to: 4,
    });
    ScalingLog {
        changes: changes.collect(),
    }
}

#[test]
fn each_reason_has_its_case() {
    let quiet = log([DAY * 2]);
    let decided = |seen: &Seen, log: &ScalingLog| {
        let Decision { to, reason } = decide(&POLICY, seen, log);
        (to, reason)
    };
    assert_eq!(decided(&seen(4, 2.9), &quiet), (None, Reason::Fits));
    assert_eq!(decided(&seen(4, 3.1), &quiet), (Some(8), Reason::Load));
    assert_eq!(decided(&seen(4, 1.2), &quiet), (Some(2), Reason::Idle));
    assert_eq!(decided(&seen(4, 1.4), &quiet), (None, Reason::Fits));
    assert_eq!(decided(&seen(16, 40.0), &quiet), (None, Reason::AtMost));
    assert_eq!(decided(&seen(32, 40.0), &quiet), (Some(16), Reason::Bounds));
    // Too soon after a change; no figures; history not looked at.
    assert_eq!(decided(&seen(4, 0.5), &log([600])), (None, Reason::Fits));
    let blind = Seen {
        recent: Vec::new(),
        ..seen(4, 0.0)
    };
    assert_eq!(decided(&blind, &quiet), (None, Reason::Fits));
    let busy = Seen {
        ahead: None,
        ..seen(4, 0.5)
    };
    assert_eq!(decided(&busy, &quiet), (None, Reason::Fits));
    // In twenty minutes a load came yesterday; in two hours: it only stays.
    let minute = Millis(MONDAY).minute().0;
    let soon = Seen {
        ahead: Some(vec![load(minute + 20, 3.5)]),
        ..seen(4, 0.5)
    };
    assert_eq!(decided(&soon, &quiet), (Some(8), Reason::TimeOfDay));
    let later = Seen {
        ahead: Some(vec![load(minute + 100, 3.5)]),
        ..seen(4, 0.5)
    };
    assert_eq!(decided(&later, &quiet), (None, Reason::Fits));
    // What is refused counts as asked for.
    let mut refusing = seen(4, 2.0);
    refusing.recent[59].refused = 60.0;
    assert_eq!(decided(&refusing, &quiet), (Some(8), Reason::Load));
    // From 2 shards to 16 are three doublings: a halving with four changes left is the last.
    let hours = |count: i64| log((0..count).map(|n| (n + 1) * HOUR).rev());
    assert_eq!(decided(&seen(4, 0.5), &hours(6)), (Some(2), Reason::Idle));
    assert_eq!(
        decided(&seen(4, 0.5), &hours(7)),
        (None, Reason::ChangesKept)
    );
    assert_eq!(decided(&seen(4, 3.5), &hours(9)), (Some(8), Reason::Load));
    assert_eq!(
        decided(&seen(4, 3.5), &hours(10)),
        (None, Reason::NoChangeLeft)
    );
    let dear = Policy {
        dollars_per_month_max: 50.0,
        ..POLICY
    };
    assert_eq!(
        decide(&dear, &seen(4, 3.5), &quiet),
        Decision {
            to: None,
            reason: Reason::TooDear
        }
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the load, the most shards that are allowed can always be reached with the changes that a
    /// day has left, and neither the bounds nor the service's rules are broken (the simulated stream
    /// asserts those).
    #[test]
    fn no_load_uses_up_a_days_changes(
        levels in prop::collection::vec((0.0..40.0_f64, 5_i64..240), 20..80),
        doublings in 1_u32..6,
    ) {
        let policy = Policy { shards_max: 1 << doublings, ..POLICY };
        let mut until = 0;
        let steps: Vec<(i64, f64)> = levels.iter().map(|(level, minutes)| {
            until += minutes * MINUTE;
            (until, level * 1e6)
        }).collect();
        let stream = Simulated::new(1, move |s| {
            let at = steps.partition_point(|(end, _)| *end <= s);
            steps.get(at).map_or(0.0, |(_, level)| *level)
        });
        let log = MemoryTable::default();
        let scaler = Scaler { metrics: Port(Rc::clone(&stream)), shards: Port(Rc::clone(&stream)), log: log.clone(), stream: "frames".to_owned(), policy };
        for second in 0..until {
            if second % MINUTE == 20 {
                prop_assert!(block_on(scaler.run(stream.now())).is_ok(), "the service had to refuse");
                let log = block_on(vernier_ledger::ports::ScalingLogs::scaling_log(&log, "frames")).expect("read");
                let left = CHANGES_PER_DAY_MAX - changes_within_a_day(&log, stream.now());
                let shards = stream.coming.get().map_or(stream.shards.get(), |(n, _)| n);
                prop_assert!(shards << left >= policy.shards_max, "{shards} shards, {left} changes left");
                prop_assert!((policy.shards_min..=policy.shards_max).contains(&shards));
                let hours = shard_hours(&log, Millis(MONDAY), stream.now());
                prop_assert!(hours <= stream.shard_seconds.get() / 3_600.0 + 1.0);
            }
            stream.pass_a_second();
        }
    }
}
