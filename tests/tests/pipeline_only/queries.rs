//! Events read while windows are sealed, compacted and removed under the reader, against a naive scan.

use super::compaction::EVENING;
use super::sealing::School;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::ports::Removal;
use vernier_ledger::segment::Place;
use vernier_ledger::time::{Millis, TimeRange};
use vernier_output::cursor::PageCursor;
use vernier_output::events::{EventView, Paging, page};
use vernier_output::filter_memory::FilterMemory;
use vernier_output::query::{EventQuery, Key, Order, Sort};
use vernier_output::receipts;
use vernier_tests::envelopes::{event_with_id, events, invalid_event};

const KEY: [u8; 32] = [7; 32];
const USERS: &str = "https://school.example/users/";
const SECTIONS: &str = "https://school.example/sections/";

/// What was sent, and how it must end.
pub(super) struct Sent {
    pub(super) place: Place,
    pub(super) event: Value,
    pub(super) disposition: Disposition,
    /// Whether the archive has nothing any more of what the sensor wrote.
    pub(super) is_erased: bool,
    /// Whether it may be sealed after events that were received later.
    came_late: bool,
}

impl Sent {
    fn column(&self, name: &str) -> Option<&str> {
        match name {
            "sensor" => Some("https://school.example/sensors/1"),
            _ if self.is_erased => None,
            "id" | "type" | "action" => self.event[name].as_str(),
            nested => self.event[nested]["id"].as_str(),
        }
    }

    fn event_time(&self) -> Option<Millis> {
        if self.is_erased {
            return None;
        }
        let text = self.event["eventTime"].as_str()?;
        Millis::parse_rfc3339(text).ok()
    }
}

/// A school and what its sensor sent so far.
pub(super) struct History {
    pub(super) school: School,
    pub(super) random: StdRng,
    pub(super) sent: Vec<Sent>,
    /// What a process remembers that answers some of the questions.
    filters: FilterMemory,
}

impl History {
    pub(super) async fn new(seed: u64) -> Self {
        Self {
            school: School::since(EVENING).await,
            random: StdRng::seed_from_u64(seed),
            sent: Vec::new(),
            filters: FilterMemory::default(),
        }
    }

    pub(super) fn one_of(&mut self, count: u32) -> u32 {
        self.random.random_range(0..count)
    }

    fn event(&mut self) -> Value {
        // Nothing repeats what came late: the first that is sealed is the stored one, which may be either then.
        let known = self
            .sent
            .iter()
            .filter(|s| s.disposition == Disposition::Stored && !s.came_late);
        let known: Vec<Value> = known.map(|s| s.event.clone()).collect();
        let which = self.one_of(10);
        if which < 2 && !known.is_empty() {
            let mut again = known[self.random.random_range(0..known.len())].clone();
            if which == 1 {
                again["extensions"] = json!({ "other": self.one_of(1_000) });
            }
            return again;
        }
        if which == 2 {
            return invalid_event();
        }
        let id = format!(
            "urn:uuid:00000000-0000-4000-8000-{:012}",
            self.random.next_u32()
        );
        let mut event = event_with_id(&id);
        event["actor"]["id"] = json!(format!("{USERS}{}", self.one_of(4)));
        let seconds = self.one_of(3_600);
        let at = EVENING.plus_seconds(-i64::from(seconds));
        event["eventTime"] = json!(at.rfc3339());
        if self.one_of(3) == 0 {
            event["action"] = json!("Viewed");
            event["type"] = json!("ViewEvent");
        }
        match self.one_of(4) {
            0 => drop(
                event
                    .as_object_mut()
                    .and_then(|members| members.remove("group")),
            ),
            section => event["group"]["id"] = json!(format!("{SECTIONS}{section}")),
        }
        event
    }

    /// Sends an envelope; `late`: as if it had been on its way since the beginning.
    async fn send(&mut self, late: bool) {
        let count = 1 + self.one_of(6);
        let mut envelope: Vec<Value> = (0..count).map(|_| self.event()).collect();
        if late {
            // What comes late repeats nothing either.
            envelope.retain(|e| self.sent.iter().all(|s| s.event["id"] != e["id"]));
        }
        if envelope.is_empty() {
            return;
        }
        // Which of two is first is plain then.
        self.school.pass(1);
        let at = if late {
            EVENING
        } else {
            self.school.clock.get()
        };
        let receipt = self.school.post_at(at, &envelope).await;
        self.school.deliver().await;
        self.note(receipt, envelope, late);
    }

    fn note(&mut self, receipt: ReceiptId, envelope: Vec<Value>, came_late: bool) {
        for (index, event) in (0..).zip(envelope) {
            let first = self
                .sent
                .iter()
                .find(|s| s.event["id"] == event["id"] && s.disposition == Disposition::Stored);
            let disposition = match first {
                _ if event.get("actor").is_none() => Disposition::Rejected,
                None => Disposition::Stored,
                Some(first) if first.event == event => Disposition::Duplicate,
                Some(_) => Disposition::Conflict,
            };
            self.sent.push(Sent {
                place: (receipt, index),
                event,
                disposition,
                is_erased: false,
                came_late,
            });
        }
    }

    pub(super) async fn seal(&self) {
        self.school.turn().await;
    }

    /// What was committed by now is rolled up.
    async fn roll_up(&self) {
        self.school.pass(31);
        self.school.roll_up().await;
    }

    /// Objects of filters are gone, have other bytes, or are in each other's places.
    fn lose_roll_ups(&mut self) {
        for key in self.school.bucket.keys("filters/") {
            let mut bytes = self.school.bucket.raw(&key).expect("listed");
            match self.one_of(6) {
                0 => self.school.bucket.lose(&key),
                1 => {
                    let at = self.random.random_range(0..bytes.len());
                    bytes[at] ^= 4;
                    self.school.bucket.place(&key, bytes);
                }
                2 => {
                    let others = self.school.bucket.keys("filters/");
                    let other = self.random.random_range(0..others.len());
                    self.school.bucket.place(&others[other], bytes);
                }
                _ => {}
            }
        }
    }

    /// Planner and workers, the ledger's as well.
    pub(super) async fn work(&self) {
        assert_eq!(self.school.work().await.failed, 0);
    }

    /// Something happens to the stores.
    pub(super) async fn change(&mut self) {
        match self.one_of(10) {
            0..=2 => self.send(false).await,
            3 => self.send(true).await,
            4 => self.school.pass(20),
            5 => self.school.pass(70),
            6 => self.seal().await,
            7 => self.roll_up().await,
            8 => self.lose_roll_ups(),
            _ => self.work().await,
        }
    }

    pub(super) fn query(&mut self) -> EventQuery {
        let end = self.school.clock.get().plus_seconds(1);
        let mut query = EventQuery::between(TimeRange {
            from: EVENING,
            to: end,
        });
        if self.one_of(3) == 0 {
            let from = i64::from(self.one_of(400));
            query.from = EVENING.plus_seconds(from);
            query.to = query.from.plus_seconds(1 + i64::from(self.one_of(600)));
        }
        for name in ["actor", "group", "type", "id"] {
            if self.one_of(4) == 0 {
                let value = match name {
                    "actor" => format!("{USERS}{}", self.one_of(5)),
                    "group" => format!("{SECTIONS}{}", self.one_of(5)),
                    "type" => "ViewEvent".to_owned(),
                    _ => match self.sent.last() {
                        Some(last) => last.event["id"].as_str().unwrap_or_default().to_owned(),
                        None => "urn:none".to_owned(),
                    },
                };
                query.filters.push((name.to_owned(), value));
            }
        }
        if self.one_of(3) == 0 {
            let from = EVENING.plus_seconds(-i64::from(self.one_of(3_600)));
            query.event_time = Some((from, from.plus_seconds(1_200)));
        }
        use Disposition::{Conflict, Duplicate, Rejected, Stored};
        let endings = [
            Some(Stored),
            Some(Stored),
            None,
            Some(Duplicate),
            Some(Conflict),
            Some(Rejected),
        ];
        query.disposition = endings[self.random.random_range(0..endings.len())];
        query.sort = [Sort::ReceivedAt, Sort::EventTime][self.random.random_range(0..2)];
        query.order = [Order::Newest, Order::Oldest][self.random.random_range(0..2)];
        query
    }

    pub(super) fn scan(&self, query: &EventQuery) -> Vec<&Sent> {
        let wanted = |s: &&Sent| {
            let at = s.place.0.received_at();
            let in_time = |(from, to)| s.event_time().is_some_and(|at| from <= at && at < to);
            (query.from..query.to).contains(&at)
                && query.event_time.is_none_or(in_time)
                && query.disposition.is_none_or(|d| d == s.disposition)
                && query
                    .filters
                    .iter()
                    .all(|(name, value)| s.column(name) == Some(value))
        };
        let mut found: Vec<(Key, &Sent)> = self
            .sent
            .iter()
            .filter(wanted)
            .map(|s| (query.key_of(s.place, s.event_time()), s))
            .collect();
        found.sort_by_key(|(key, _)| *key);
        if query.order == Order::Newest {
            found.reverse();
        }
        found.into_iter().map(|(_, s)| s).collect()
    }

    /// All pages of a query, while nothing is sent but everything else happens.
    async fn pages(&mut self, query: &EventQuery, limit: usize) -> Vec<EventView> {
        self.pages_while(query, limit, async |history| match history.one_of(5) {
            0 => history.school.pass(45),
            1 => history.seal().await,
            2 => history.work().await,
            3 => history.roll_up().await,
            _ => {}
        })
        .await
    }

    /// All pages of a query; between two of them something happens.
    pub(super) async fn pages_while(
        &mut self,
        query: &EventQuery,
        limit: usize,
        mut between: impl AsyncFnMut(&mut Self),
    ) -> Vec<EventView> {
        let (mut query, mut after, mut all) = (query.clone(), None, Vec::new());
        // A page may end early wherever it has read enough.
        let live_bytes_max = [0, 2_000, u64::MAX][self.random.random_range(0..3)];
        loop {
            let (tenant, nothing) = (&self.school.tenant.id, FilterMemory::default());
            let paging = Paging {
                after,
                limit,
                now: self.school.clock.get(),
                signing_key: &KEY,
                filters: match self.random.random() {
                    true => &self.filters,
                    false => &nothing,
                },
                live_bytes_max,
            };
            let page = page(&self.school.stores, tenant, &query, paging).await;
            let (page, _) = page.expect("within bounds");
            assert!(page.events.len() <= limit);
            all.extend(page.events);
            let Some(cursor) = page.next_cursor else {
                return all;
            };
            let cursor = PageCursor::open(&cursor, &KEY).expect("its own");
            (query, after) = (cursor.query, Some(cursor.after));
            between(self).await;
        }
    }
}

/// Pages are what a scan of everything that was sent finds, whatever is sealed, compacted or removed
/// before and between them.
#[tokio::test]
async fn paged_answers_are_what_a_naive_scan_finds() {
    let (mut asked, mut seen) = (0, BTreeMap::<_, usize>::new());
    for seed in 0..40 {
        let mut history = History::new(seed).await;
        for _ in 0..50 {
            history.change().await;
            if history.one_of(5) != 0 {
                continue;
            }
            let query = history.query();
            let limit = 1 + usize::try_from(history.one_of(7)).expect("small");
            let found = history.pages(&query, limit).await;
            let wanted = history.scan(&query);
            let shown: Vec<Place> = found.iter().map(|v| (v.receipt, v.index)).collect();
            let places: Vec<Place> = wanted.iter().map(|s| s.place).collect();
            assert_eq!(shown, places, "seed {seed}: {query:?}");
            asked += 1;
            for (view, sent) in found.iter().zip(wanted) {
                *seen
                    .entry((sent.disposition, view.provisional))
                    .or_default() += 1;
                let is_live = view.provisional;
                assert_eq!(
                    view.disposition, sent.disposition,
                    "seed {seed}, live {is_live}: {query:?}"
                );
                match &view.event {
                    Some(text) => {
                        let event: Value = serde_json::from_str(text.get()).expect("JSON");
                        assert_eq!(event, sent.event);
                    }
                    None => assert_eq!(sent.disposition, Disposition::Duplicate),
                }
            }
        }
    }
    assert!(asked > 200, "{asked}");
    assert_eq!(seen.len(), 8, "every ending, sealed and not: {seen:?}");
    assert!(seen.values().all(|n| *n > 10), "{seen:?}");
}

/// An event that came late and the one that repeats it: whichever is sealed first is stored, and the other one is its
/// duplicate, also where the late one was received before.
#[tokio::test]
async fn the_first_that_is_sealed_is_stored_whichever_was_received_first() {
    let school = School::since(EVENING).await;
    let event = event_with_id("urn:uuid:00000000-0000-4000-8000-000000000001");
    school.pass(600);
    school.turn().await;
    let repeat = school.post(std::slice::from_ref(&event)).await;
    school.deliver().await;
    school.pass(600);
    school.turn().await;
    let late = school.post_at(EVENING, std::slice::from_ref(&event)).await;
    school.deliver().await;
    let views = async || {
        let (tenant, now) = (&school.tenant.id, school.clock.get());
        let range = TimeRange {
            from: EVENING,
            to: now.plus_seconds(1),
        };
        let paging = Paging {
            after: None,
            limit: 10,
            now,
            signing_key: &KEY,
            filters: &FilterMemory::default(),
            live_bytes_max: u64::MAX,
        };
        let query = EventQuery {
            disposition: None,
            order: Order::Oldest,
            ..EventQuery::between(range)
        };
        let page = page(&school.stores, tenant, &query, paging).await;
        let (page, _) = page.expect("within bounds");
        let views = page.events.into_iter();
        let views = views.map(|v| (v.receipt, v.disposition, v.first.map(|first| first.receipt)));
        views.collect::<Vec<_>>()
    };
    for _ in 0..2 {
        school.pass(600);
        school.turn().await;
    }
    let wanted = vec![
        (late, Disposition::Duplicate, Some(repeat)),
        (repeat, Disposition::Stored, None),
    ];
    assert_eq!(views().await, wanted);
}

/// A receipt tells the same of its events when their segments are gone, and their windows' files too.
#[tokio::test]
async fn a_receipt_outlives_its_segments_and_its_windows_files() {
    let school = School::since(EVENING).await;
    let mut first = events(3);
    first.push(invalid_event());
    first.push(first[0].clone());
    let receipt = school.post(&first).await;
    school.pass(60);
    school.post(&events(2)).await;
    school.deliver().await;
    let view = async || {
        let (tenant, now) = (&school.tenant.id, school.clock.get());
        let view = receipts::view(&school.stores, tenant, receipt, 0, now).await;
        serde_json::to_value(view.expect("reads").expect("there")).expect("JSON")
    };
    let mut live = view().await;
    assert_eq!(live["provisional"], true);
    assert_eq!(live["counts"]["stored"], 3);
    live["provisional"] = json!(false);
    school.pass(600);
    school.turn().await;
    for key in school.bucket.keys("segments/") {
        school.bucket.remove(&key).await.expect("removed");
    }
    assert_eq!(view().await, live);
    for _ in 0..2 {
        school.turn().await;
        school.pass(600);
    }
    assert!(school.bucket.keys("archive/").is_empty());
    assert_eq!(view().await, live);
}
