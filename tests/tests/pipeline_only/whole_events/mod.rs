//! Whatever validation takes comes back exactly as it was sent: from segments, sealed files, results and
//! reports, by every way of asking.

mod asked;
mod generated;

use asked::{Asking, Shown};
use generated::{AnyEvent, Grade, any_event};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use vernier_archive::reader::Part;
use vernier_intake::{Sending, SpreadKeeper};
use vernier_ledger::access::{Identity, Scope, Tenant, TokenInfo};
use vernier_ledger::canonical::Meaning;
use vernier_ledger::clock;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::line::event_key;
use vernier_ledger::ports::Administration;
use vernier_ledger::salt::SaltKey;
use vernier_ledger::time::Millis;
use vernier_tests::bodies::sealing::sealed;
use vernier_tests::memory::{MemoryWorld, open_windows};
use vernier_tests::{Call, Member, World};
use vernier_validation::{Mode, Policy, Profile};

const SECTION: &str = "https://school.example/section";
const LEARNER: &str = "https://school.example/jane";

/// An event that was sent, and what must come of it.
#[derive(Debug)]
struct Sent {
    receipt: ReceiptId,
    index: u32,
    compact: String,
    id: String,
    /// When it happened: also of a rejected event.
    at: Millis,
    attempt: String,
    grade: Option<Grade>,
    disposition: Disposition,
    /// Whether an earlier event of its id has the same bytes: then sealing leaves its text out.
    is_in_first_bytes: bool,
}

impl Sent {
    fn is_accepted(&self) -> bool {
        self.disposition != Disposition::Rejected
    }
}

/// A tenant with a history in the stores.
struct History {
    world: MemoryWorld,
    member: Member,
    tenant: Tenant,
    sent: Vec<Sent>,
    /// Accepted events by what makes them the same event: the first one's text and id.
    first: HashMap<[u8; 32], (String, String)>,
}

impl History {
    async fn new(mode: Mode) -> Self {
        let world = MemoryWorld::new(1);
        let tenant = Tenant {
            mode,
            ..Tenant::new(
                "school".parse().expect("a tenant's name"),
                clock::now().plus_seconds(-240),
            )
        };
        assert_eq!(world.table.create_tenant(&tenant).await, Ok(true));
        let member = world.token("school", &Scope::ALL).await;
        Self {
            world,
            member,
            tenant,
            sent: Vec::new(),
            first: HashMap::new(),
        }
    }

    /// Sends an envelope that is received so many seconds ago, and has it committed.
    async fn send(&mut self, seconds_ago: i64, events: &[AnyEvent]) {
        let at = clock::now().plus_seconds(-seconds_ago);
        let receipt = ReceiptId::generate(at, 0);
        let space = &events[0].space;
        let number = self.sent.len();
        let attempt = |index: usize| format!("attempts/{}", number + index);
        let texts: Vec<String> = (0..)
            .zip(events)
            .map(|(index, event)| event.json(&attempt(index)).spaced(space))
            .collect();
        let body = format!(
            r#"{{"sensor":"https://school.example/sensor","sendTime":"2026-11-20T10:15:01.000Z","dataVersion":"{}","data":[{}]}}"#,
            vernier_tests::envelopes::CONTEXT,
            texts.join(",")
        );
        let accepted = self.accept(&body, receipt).await;
        for (index, (event, accepted)) in events.iter().zip(accepted).enumerate() {
            let attempt = attempt(index);
            let compact = event.json(&attempt).spaced("");
            let disposition = self.disposition(&event.id.text, &compact, accepted);
            let is_in_first_bytes = disposition == Disposition::Duplicate
                && self.first.values().any(|first| first.0 == compact);
            self.sent.push(Sent {
                receipt,
                index: u32::try_from(index).expect("few"),
                compact,
                id: event.id.text.clone(),
                at: event.time.at,
                attempt: format!("https://school.example/{attempt}"),
                grade: event.grade.clone(),
                disposition,
                is_in_first_bytes,
            });
        }
        self.world.deliver().await.expect("committed");
    }

    /// Hands the envelope to the stores; whether each of its events is accepted.
    async fn accept(&self, body: &str, receipt: ReceiptId) -> Vec<bool> {
        let token = TokenInfo {
            token_id: self.member.token_id.clone(),
            tenant: self.tenant.id.clone(),
            sensor: "https://school.example/sensor".to_owned(),
            scopes: Vec::new(),
            learner: None,
            label: None,
            created_at: Millis(0),
            revoked_at: None,
        };
        let identity = Identity {
            token,
            tenant: self.tenant.clone(),
            signing_key: [0; 32],
        };
        let settings = vernier_intake::Settings { receipt_days: 30 };
        let (stores, body) = (&self.world.reconcile.stores, body.as_bytes());
        let windows = open_windows(1, 0);
        let sending = Sending {
            settings,
            windows: &windows,
            spreads: &SpreadKeeper::default(),
            new_salt_key: SaltKey::random,
            clock: || receipt.received_at(),
            budget: Duration::from_secs(5),
        };
        let accepted = vernier_intake::accept(stores, sending, &identity, None, body, receipt);
        let accepted = accepted.await.expect("acknowledged");
        let items = accepted.envelope.items.iter();
        items.map(|item| item.verdict.accepted).collect()
    }

    fn disposition(&mut self, id: &str, compact: &str, accepted: bool) -> Disposition {
        if !accepted {
            return Disposition::Rejected;
        }
        let fingerprint = Fingerprint::of(compact.as_bytes());
        let key = event_key("event", Some(id), &fingerprint.hex());
        let meaning = |text: &str, id: &str| Meaning::of(text, Some(id)).ok();
        match self.first.get(&key) {
            None => {
                self.first.insert(key, (compact.to_owned(), id.to_owned()));
                Disposition::Stored
            }
            Some((first, of)) if meaning(first, of) == meaning(compact, id) => {
                Disposition::Duplicate
            }
            Some(_) => Disposition::Conflict,
        }
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            world: &self.world,
            secret: &self.member.secret,
        }
    }

    /// Every way of asking for events gives the events that were sent.
    async fn assert_events(&self) {
        let asking = self.asking();
        let all = Call::get("/events")
            .query("disposition", "all")
            .query("order", "oldest");
        let mut wanted: Vec<&Sent> = self.sent.iter().collect();
        self.assert_shown(&asking.pages(all.clone(), 3).await, &wanted);
        wanted.sort_by_key(|sent| (sent.at, sent.receipt, sent.index));
        for (order, backwards) in [("oldest", false), ("newest", true)] {
            let stored = Call::get("/events").query("order", order);
            let by_time = stored.query("sort", "event_time");
            let mut wanted = wanted.clone();
            wanted.retain(|sent| sent.disposition == Disposition::Stored);
            if backwards {
                wanted.reverse();
            }
            self.assert_shown(&asking.pages(by_time, 2).await, &wanted);
        }
    }

    /// Every event is found by its instant and by its id.
    async fn assert_each_is_found(&self) {
        let all = Call::get("/events")
            .query("disposition", "all")
            .query("order", "oldest");
        let (mut instants, mut keys) = (HashSet::new(), HashSet::new());
        for sent in &self.sent {
            if instants.insert(sent.at) {
                self.assert_found_at(sent.at, &all).await;
            }
            if keys.insert(event_key("event", Some(&sent.id), "")) {
                self.assert_found_by_id(&sent.id, &all).await;
            }
        }
    }

    async fn assert_found_at(&self, at: Millis, all: &Call) {
        let next = Millis(at.0 + 1).rfc3339();
        if next.parse::<i64>().is_ok() {
            // No text means the instant after the last one.
            return;
        }
        let same_time = |sent: &&Sent| sent.at == at;
        let wanted: Vec<&Sent> = self.sent.iter().filter(same_time).collect();
        let from = clock::now().plus_seconds(-3_600).rfc3339();
        let call = all.clone().query("from", &from);
        let call = call.query("event_from", &at.rfc3339());
        let call = call.query("event_to", &next);
        self.assert_shown(&self.asking().pages(call, 100).await, &wanted);
    }

    /// All spellings of an id are found by one that need not be among them.
    async fn assert_found_by_id(&self, id: &str, all: &Call) {
        if id.len() > 2_048 {
            return;
        }
        let key = |id: &str| event_key("event", Some(id), "");
        let same_id = |sent: &&Sent| key(&sent.id) == key(id);
        let wanted: Vec<&Sent> = self.sent.iter().filter(same_id).collect();
        let call = all.clone().query("id", &respelled(id));
        self.assert_shown(&self.asking().pages(call, 100).await, &wanted);
    }

    fn assert_shown(&self, shown: &[Shown], wanted: &[&Sent]) {
        let places = |shown: &Shown| (shown.receipt.clone(), shown.index);
        let expected = |sent: &&Sent| (sent.receipt.to_string(), sent.index);
        assert_eq!(
            shown.iter().map(places).collect::<Vec<_>>(),
            wanted.iter().map(expected).collect::<Vec<_>>()
        );
        for (shown, sent) in shown.iter().zip(wanted) {
            assert_eq!(shown.disposition, sent.disposition, "{sent:?}");
            // The text of a sealed duplicate in the same bytes is its first's.
            let is_left_out = sent.is_in_first_bytes && !shown.provisional;
            let wanted = (!is_left_out).then_some(sent.compact.as_str());
            assert_eq!(shown.event.as_deref(), wanted);
        }
    }

    /// The rows of sealed files are the events that were sent, with the columns that these have.
    fn assert_rows(&self) {
        let mut found = HashMap::new();
        for prefix in ["archive/", "exceptions/"] {
            for key in self.world.bucket.keys(prefix) {
                let bytes = self.world.bucket.raw(&key).expect("listed");
                let part =
                    Part::open(std::sync::Arc::new(bytes::Bytes::from(bytes))).expect("a part");
                part.for_each(|row| {
                    let text = row.event.map(str::to_owned);
                    let columns = (row.id.map(str::to_owned), row.event_time, row.disposition);
                    let score = row.score.map(f64::to_bits);
                    let maximum = row.score_maximum.map(f64::to_bits);
                    found.insert(row.place(), (columns, text, (score, maximum)));
                    Ok(())
                })
                .expect("reads");
            }
        }
        assert_eq!(found.len(), self.sent.len());
        for sent in &self.sent {
            let (columns, text, scores) = &found[&(sent.receipt, sent.index)];
            let wanted = (!sent.is_in_first_bytes).then_some(sent.compact.as_str());
            assert_eq!(text.as_deref(), wanted);
            let wanted = (Some(sent.id.clone()), Some(sent.at), sent.disposition);
            assert_eq!(*columns, wanted, "{}", sent.compact);
            if sent.is_accepted() {
                let grade = sent.grade.as_ref();
                let wanted = (
                    grade.map(|grade| grade.given.double.to_bits()),
                    grade.map(|grade| grade.maximum().to_bits()),
                );
                assert_eq!(*scores, wanted, "{}", sent.compact);
            }
        }
    }

    /// The reports say of each attempt what its events said, and the history is in the order in which
    /// they count.
    async fn assert_reports(&self) {
        let graded = |sent: &&Sent| sent.grade.is_some() && sent.is_accepted();
        let graded: Vec<&Sent> = self.sent.iter().filter(graded).collect();
        let shown = self.asking().attempts(SECTION, LEARNER).await;
        let mut attempts: Vec<&str> = graded.iter().map(|sent| sent.attempt.as_str()).collect();
        attempts.sort_unstable();
        attempts.dedup();
        assert_eq!(shown.len(), attempts.len());
        for sent in &graded {
            let grade = sent.grade.as_ref().expect("graded");
            let view = &shown[&sent.attempt];
            let double = |name: &str| view[name].as_f64().map(f64::to_bits);
            let wanted = [grade.given.double, grade.maximum()].map(|n| Some(n.to_bits()));
            assert_eq!([double("score"), double("maximum")], wanted, "{view}");
            assert_eq!(view["count"], grade.count, "{view}");
            let times = [&sent.at, &grade.started_at.at, &grade.ended_at.at];
            let names = ["scored_at", "started_at", "submitted_at"];
            for (name, at) in names.into_iter().zip(times) {
                assert_eq!(view[name], at.rfc3339(), "{view}");
            }
            let seconds = grade.duration_millis as f64 / 1_000.0;
            assert_eq!(view["time_spent_seconds"].as_f64(), Some(seconds));
        }
        self.assert_history(&graded).await;
    }

    async fn assert_history(&self, graded: &[&Sent]) {
        let changes = self.asking().changes(SECTION, LEARNER).await;
        let mut wanted: Vec<(String, u64)> = graded
            .iter()
            .filter(|sent| sent.disposition != Disposition::Duplicate)
            .map(|sent| (sent.receipt.to_string(), u64::from(sent.index)))
            .collect();
        let place = |change: &serde_json::Value| {
            let receipt = change["receipt"].as_str().expect("a receipt").to_owned();
            (receipt, change["index"].as_u64().expect("a number"))
        };
        let mut found: Vec<(String, u64)> = changes.iter().map(place).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
        let counts_at = |change: &serde_json::Value| {
            let time = |name: &str| {
                let text = change[name].as_str().expect("a time");
                Millis::parse_rfc3339(text).expect("a time")
            };
            let at = time("event_time");
            (!at.is_ahead_of(time("received_at")), at)
        };
        assert!(changes.iter().map(counts_at).is_sorted(), "{changes:#?}");
    }
}

/// The id with the letters of its other case, where they are a UUID's.
fn respelled(id: &str) -> String {
    let capitals = id.to_ascii_uppercase();
    let is_same = event_key("event", Some(&capitals), "") == event_key("event", Some(id), "");
    if is_same { capitals } else { id.to_owned() }
}

/// Three envelopes of two windows and of a backfill; the later ones repeat what came before.
async fn play(mode: Mode, events: Vec<AnyEvent>) {
    let mut history = History::new(mode).await;
    let again: Vec<AnyEvent> = events.iter().map(AnyEvent::respelled).collect();
    let (first, rest) = events.split_at(events.len().div_ceil(2));
    history.send(200, first).await;
    let mut second = rest.to_vec();
    second.push(again[0].clone());
    history.send(100, &second).await;
    history.assert_events().await;
    history.assert_each_is_found().await;
    history.assert_reports().await;
    sealed(&history.world, &history.member, history.sent.len() as u64).await;
    history.send(0, &[again, events].concat()).await;
    history.assert_events().await;
    let report = sealed(&history.world, &history.member, history.sent.len() as u64).await;
    assert_eq!(report.findings, []);
    history.assert_rows();
    history.assert_events().await;
    history.assert_each_is_found().await;
    history.assert_reports().await;
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(future);
}

/// Histories of one run in each mode.
fn cases() -> u32 {
    let asked = std::env::var("VERNIER_WHOLE_EVENT_CASES").ok();
    asked.map_or(8, |text| text.parse().expect("a number"))
}

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases())
    }
}

fn any_events() -> impl Strategy<Value = Vec<AnyEvent>> {
    prop::collection::vec(any_event(), 1..5)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_lenient_mode_takes_comes_back_as_sent(events in any_events()) {
        block_on(play(Mode::Lenient, events));
    }

    #[test]
    fn what_strict_mode_takes_comes_back_as_sent(events in any_events()) {
        block_on(play(Mode::Strict, events));
    }
}

proptest! {
    /// Lenient mode rejects none of these events but for a number beyond the range of doubles: what the
    /// property above plays are not rejected events alone.
    #[test]
    fn lenient_mode_takes_what_is_played(event in any_event()) {
        let body = event.json("attempt").spaced(&event.space);
        let policy = Policy::new(Mode::Lenient, Profile::Generic);
        let read = vernier_validation::read_document(body.as_bytes(), &policy).expect("JSON");
        let verdict = &read.items[0].verdict;
        prop_assert_eq!(verdict.accepted, event.is_finite(), "{}: {:?}", body, verdict);
    }
}
