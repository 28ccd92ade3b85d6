//! All activities of a semester, merged into one order of time without holding them all.

use super::activity::{self, Activity, DAY};
use super::random::Random;
use super::render::Scene;
use super::{CONTEXT, Envelope, Event, SENSOR, Semester, rfc3339};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// The events of a semester in order of time. Made by [`Semester::events`].
#[derive(Debug)]
pub struct Events<'a> {
    semester: &'a Semester,
    /// How many events came out so far.
    index: u64,
    next_week: u64,
    /// Cycles of the weeks begun, by their start.
    waiting: VecDeque<(i64, u64)>,
    /// The next moment of every activity under way: time, cycle, index of the moment.
    moments: BinaryHeap<Reverse<(i64, u64, usize)>>,
    active: BTreeMap<u64, Activity>,
}

impl<'a> Events<'a> {
    pub(super) fn new(semester: &'a Semester) -> Self {
        Self {
            semester,
            index: 0,
            next_week: 0,
            waiting: VecDeque::new(),
            moments: BinaryHeap::new(),
            active: BTreeMap::new(),
        }
    }

    fn week_start(&self, cycle: u64) -> i64 {
        self.semester.term.start + self.semester.plan.cycle(cycle).week as i64 * 7 * DAY
    }

    /// Lists the starts of a week's cycles. The starts are the first choice of each stream, so the
    /// rest of the stream need not be kept.
    fn open_week(&mut self) {
        let mut starts: Vec<(i64, u64)> = self
            .semester
            .plan
            .cycles_of(self.next_week)
            .map(|c| {
                (
                    activity::start(self.week_start(c), &mut Random::new(self.semester.key, c)),
                    c,
                )
            })
            .collect();
        starts.sort_unstable();
        self.waiting.extend(starts);
        self.next_week += 1;
    }

    fn begin(&mut self, cycle: u64) {
        let mut random = Random::new(self.semester.key, cycle);
        let start = activity::start(self.week_start(cycle), &mut random);
        let activity = Activity::play(self.semester.plan.cycle(cycle), start, random);
        if let Some(first) = activity.moments.first() {
            self.moments.push(Reverse((first.at, cycle, 0)));
            self.active.insert(cycle, activity);
        }
    }

    /// Begins every activity that starts no later than the next moment. Weeks do not overlap in
    /// their starts, so a week is listed once the one before has begun.
    fn begin_due(&mut self) {
        loop {
            if self.waiting.is_empty() && self.next_week < self.semester.plan.weeks() {
                self.open_week();
            }
            let now = self.moments.peek().map(|Reverse((at, ..))| *at);
            match (self.waiting.front(), now) {
                (Some((start, cycle)), now) if now.is_none_or(|now| *start <= now) => {
                    let cycle = *cycle;
                    self.waiting.pop_front();
                    self.begin(cycle);
                }
                _ => return,
            }
        }
    }
}

impl Iterator for Events<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.index >= self.semester.params.events {
            return None;
        }
        self.begin_due();
        let Reverse((at, cycle, moment)) = self.moments.pop()?;
        let activity = self.active.get(&cycle)?;
        let (kind, mut node) =
            Scene::new(activity, &self.semester.term).event(&activity.moments[moment]);
        let id = activity.moments[moment].id.clone();
        match activity.moments.get(moment + 1) {
            Some(next) => self.moments.push(Reverse((next.at, cycle, moment + 1))),
            None => drop(self.active.remove(&cycle)),
        }
        let defect = self.semester.defect_at(self.index);
        if let Some(defect) = defect {
            defect.apply(&mut node);
        }
        self.index += 1;
        // A node holds nothing that JSON cannot: text keys, and numbers that are finite.
        let json = serde_json::to_string(&node).ok()?;
        Some(Event {
            id,
            kind,
            time_ms: at,
            json,
            defect,
        })
    }
}

/// The envelopes of a semester. Made by [`Semester::envelopes`].
#[derive(Debug)]
pub struct Envelopes<'a> {
    events: Events<'a>,
    size: usize,
}

impl<'a> Envelopes<'a> {
    pub(super) fn new(semester: &'a Semester) -> Self {
        Self {
            events: Events::new(semester),
            size: semester.params.envelope_events,
        }
    }
}

impl Iterator for Envelopes<'_> {
    type Item = Envelope;

    fn next(&mut self) -> Option<Envelope> {
        let (mut data, mut events, mut invalid, mut last_ms) = (String::new(), 0, 0, 0);
        for event in self.events.by_ref().take(self.size) {
            if events > 0 {
                data.push(',');
            }
            data.push_str(&event.json);
            events += 1;
            invalid += usize::from(event.defect.is_some());
            last_ms = event.time_ms;
        }
        // A sensor sends a moment after the last thing that happened.
        let sent = rfc3339(last_ms + 750);
        let head = format!(
            r#"{{"sensor":"{SENSOR}","sendTime":"{sent}","dataVersion":"{CONTEXT}","data":["#
        );
        (events > 0).then(|| Envelope {
            body: head + &data + "]}",
            events,
            invalid,
        })
    }
}
