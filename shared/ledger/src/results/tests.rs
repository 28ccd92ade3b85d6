use super::*;
use crate::ids::ReceiptId;
use crate::line::{self, LineHead, LineResult, Verdict};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// An event that speaks of a result, as small numbers: few keys, few times, few ids, so that they
/// meet.
#[derive(Debug, Clone)]
struct Said {
    tenant: u8,
    section: Option<u8>,
    learner: u8,
    attempt: Option<u8>,
    at: i64,
    id: Option<u8>,
    /// Decides the fingerprint and, like a real event's content, everything that is said.
    content: u8,
}

fn said() -> impl Strategy<Value = Said> {
    let place = (
        0u8..2,
        proptest::option::of(0u8..2),
        0u8..3,
        proptest::option::of(0u8..2),
    );
    let event = (-1i64..3, proptest::option::of(0u8..3), any::<u8>());
    (place, event).prop_map(
        |((tenant, section, learner, attempt), (at, id, content))| Said {
            tenant,
            section,
            learner,
            attempt,
            at,
            id,
            content,
        },
    )
}

impl Said {
    fn tenant(&self) -> TenantId {
        format!("t{}", self.tenant).parse().expect("a name")
    }

    fn line(&self) -> Vec<u8> {
        let event = format!(r#"{{"result":{}}}"#, self.content);
        let id = self.id.map(|id| format!("id-{id}"));
        let receipt = ReceiptId::from_parts(Millis(1), 0, [1; 8]);
        let mut head = line::tests::head(receipt, 0, "", &event);
        head.id = id.map(Into::into);
        head.time = Some(Millis(self.at).rfc3339().into());
        head.group = self.section.map(|n| format!("section-{n}").into());
        let has = |bit: u8| self.content & (1 << bit) != 0;
        head.action = has(0).then(|| format!("action-{}", self.content).into());
        head.result = Some(LineResult {
            assignment: Some("quiz".into()),
            learner: format!("learner-{}", self.learner).into(),
            attempt: self.attempt.map(|n| format!("attempt-{n}").into()),
            count: has(1).then_some(u64::from(self.content)),
            given: has(2).then_some(f64::from(self.content) / 7.0),
            cleared: has(6) && !has(2),
            maximum: has(3).then_some(10.1),
            started_at: has(4).then(|| Millis(i64::from(self.content)).rfc3339().into()),
            duration_millis: has(5).then_some(i64::from(self.content)),
            ..LineResult::default()
        });
        let mut text = Vec::new();
        line::write_line(&head, &event, &mut text).expect("a line");
        text
    }
}

/// What a table holds.
type State = BTreeMap<(TenantId, ResultKey), Registers>;

fn write(table: &mut State, changes: Changes) {
    for write in changes.into_writes() {
        let stored = table.entry((write.tenant, write.key)).or_default();
        // As the adapter does it: only what is newer is written.
        let newer = write.registers.newer_than(stored);
        let mut whole = stored.clone();
        whole.merge(write.registers);
        stored.merge(newer);
        assert_eq!(*stored, whole);
    }
}

fn straight(events: &[Said]) -> State {
    let mut table = State::new();
    for event in events {
        let mut changes = Changes::default();
        assert_eq!(changes.add_lines(&event.tenant(), &event.line()), 0);
        write(&mut table, changes);
    }
    table
}

proptest! {
    /// Invariant 4: any order, duplication and batching gives what a straight single pass gives.
    #[test]
    fn order_duplication_and_batches_do_not_matter(
        events in proptest::collection::vec(said(), 1..30),
        picks in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..80),
    ) {
        // Every event at least once, in an order of its own, many of them again.
        let mut stream: Vec<(&Said, bool)> =
            picks.iter().map(|(at, cut)| (at.get(&events), *cut)).collect();
        stream.extend(events.iter().rev().map(|event| (event, false)));
        let (mut table, mut batch) = (State::new(), Changes::default());
        for (event, cut) in stream {
            prop_assert_eq!(batch.add_lines(&event.tenant(), &event.line()), 0);
            if cut {
                write(&mut table, std::mem::take(&mut batch));
            }
        }
        write(&mut table, batch);
        prop_assert_eq!(table, straight(&events));
    }

    #[test]
    fn merging_is_a_join(a in said(), b in said(), c in said()) {
        let registers = |said: &Said| {
            let line = said.line();
            let change = Change::of_line(line.trim_ascii_end(), &mut Vec::new());
            change.expect("a line").expect("a change").registers
        };
        let joined = |parts: &[&Registers]| {
            let mut sum = Registers::default();
            parts.iter().for_each(|part| sum.merge((*part).clone()));
            sum
        };
        let (a, b, c) = (registers(&a), registers(&b), registers(&c));
        prop_assert_eq!(joined(&[&a, &b]), joined(&[&b, &a]));
        prop_assert_eq!(joined(&[&joined(&[&a, &b]), &c]), joined(&[&a, &joined(&[&b, &c])]));
        prop_assert_eq!(joined(&[&a, &a]), a.clone());
        prop_assert!(a.newer_than(&joined(&[&a, &b])).is_empty());
    }

    #[test]
    fn a_stored_score_is_the_score(given in any::<f64>().prop_filter("JSON has no others", |n| n.is_finite())) {
        let score = Score { given: Some(given), maximum: Some(given / 3.0), by: None };
        let text = serde_json::to_string(&score).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Score>(&text).expect("a score"), score);
    }
}

/// The events of these tests are received at 2026-09-01T09:15:01.123Z.
const RECEIVED_AT: Millis = Millis(1_788_254_101_123);

/// The result column of a head made by `change`, as a change.
fn change_of(change: impl FnOnce(&mut LineHead<'_>)) -> Option<Change> {
    let receipt = ReceiptId::from_parts(RECEIVED_AT, 0, [1; 8]);
    let mut head = line::tests::head(receipt, 0, "urn:x", "{}");
    head.time = Some("2026-09-01T09:15:00.123Z".into());
    head.group = Some("bio-1".into());
    head.action = Some("Graded".into());
    head.result = Some(LineResult {
        assignment: Some("quiz".into()),
        learner: "jane".into(),
        given: Some(0.1),
        ..LineResult::default()
    });
    change(&mut head);
    let mut text = Vec::new();
    line::write_line(&head, "{}", &mut text).expect("a line");
    Change::of_line(text.trim_ascii_end(), &mut Vec::new()).expect("a line")
}

#[test]
fn a_line_is_a_change_of_its_result() {
    let change = change_of(|_| ()).expect("a change");
    assert_eq!(
        change.key,
        ResultKey {
            section: Some("bio-1".into()),
            learner: "jane".into(),
            assignment: Some("quiz".into()),
            attempt: None,
        }
    );
    let score = change.registers.score.expect("a score");
    assert_eq!(score.value.given, Some(0.1));
    assert_eq!(score.cause.event_id().as_deref(), Some("urn:x"));
    assert_eq!(score.cause.event_time(), Millis(1_788_254_100_123));
    let status = change.registers.status.expect("a status");
    assert_eq!(
        (status.value.action.as_str(), status.cause),
        ("Graded", score.cause)
    );
    assert_eq!(change.registers.started, None);
    let by_content = change_of(|head| head.kind = "opaque".into()).expect("a change");
    let cause = by_content.registers.status.expect("a status").cause;
    assert_eq!(cause.fingerprint(), Some(Fingerprint::of(b"{}")));
}

#[test]
fn what_is_no_result_changes_nothing() {
    assert_eq!(change_of(|head| head.result = None), None);
    assert_eq!(change_of(|head| head.verdict = Verdict::Rejected), None);
    assert_eq!(change_of(|head| head.time = None), None);
    let long = |length| "x".repeat(length);
    assert_eq!(
        change_of(|head| head.group = Some(long(1_025).into())),
        None
    );
    assert_eq!(change_of(|head| head.action = Some(long(257).into())), None);
    assert!(change_of(|head| head.group = Some(long(1_024).into())).is_some());
    // Nothing in the column but whose it would be.
    let mut changes = Changes::default();
    let silent = change_of(|head| {
        head.action = None;
        head.result = Some(LineResult {
            attempt: Some("a".into()),
            learner: "jane".into(),
            ..LineResult::default()
        });
    });
    changes.add(&"t".parse().expect("a name"), silent.expect("a change"));
    assert_eq!(changes.into_writes(), []);
}

/// What a clock says that is ahead by more than its tolerance yields to every other event, whenever it is
/// sent again.
#[test]
fn an_event_of_the_future_yields_to_every_other() {
    let at = |head: &mut LineHead<'_>, seconds: i64| {
        head.time = Some(RECEIVED_AT.plus_seconds(seconds).rfc3339().into());
    };
    let is_ahead = |change: Option<Change>| {
        let score = change.expect("a change").registers.score;
        score.expect("a score").cause.is_of_clock_ahead()
    };
    assert!(!is_ahead(change_of(|head| at(head, 300))));
    assert!(is_ahead(change_of(|head| at(head, 301))));
    for time in ["9999-12-31T23:59:59.999Z", "253402300799999"] {
        assert!(is_ahead(change_of(|head| head.time = Some(time.into()))));
    }
    // Replayed a year later it is not ahead of the new receipt, but still of its first one.
    let first = ReceiptId::from_parts(RECEIVED_AT, 0, [1; 8]);
    let again = |head: &mut LineHead<'_>| {
        head.receipt = ReceiptId::from_parts(RECEIVED_AT.plus_seconds(31_536_000), 0, [2; 8]);
        at(head, 86_400);
    };
    assert!(!is_ahead(change_of(again)));
    assert!(is_ahead(change_of(|head| {
        again(head);
        head.first = Some((first, 0));
    })));
}

/// A time inside the column that cannot be read is none; the rest of the result counts.
#[test]
fn an_unreadable_time_of_an_attempt_is_none() {
    let change = change_of(|head| {
        let result = head.result.as_mut().expect("a result");
        result.started_at = Some("yesterday".into());
        result.submitted_at = Some("253402300799999".into());
    });
    let registers = change.expect("a change").registers;
    assert_eq!(registers.started, None);
    assert!(registers.score.is_some());
    let end = registers.submitted.expect("an end").value.at;
    assert_eq!(end, Some(Millis(253_402_300_799_999)));
}

/// A later grade without a score leaves none; a regrade sets one again, an older grade does not.
#[test]
fn a_cleared_score_wins_over_earlier_grades_alone() {
    let said = |given: Option<f64>, minute: u8| {
        let time = format!("2026-09-01T09:{minute:02}:00.000Z");
        let change = change_of(|head| {
            head.time = Some(time.into());
            let result = head.result.as_mut().expect("a result");
            (result.given, result.cleared) = (given, given.is_none());
        });
        change.expect("a change").registers
    };
    let [first, cleared, again] = [said(Some(8.0), 1), said(None, 2), said(Some(9.0), 3)];
    let after = |order: &[&Registers]| {
        let mut sum = Registers::default();
        order.iter().for_each(|part| sum.merge((*part).clone()));
        sum.score.map(|score| score.value.given)
    };
    for order in [[&first, &cleared], [&cleared, &first]] {
        assert_eq!(after(&order), Some(None));
    }
    for order in [[&again, &cleared, &first], [&first, &again, &cleared]] {
        assert_eq!(after(&order), Some(Some(9.0)));
    }
    let stored = r#"{"given":0.1}"#;
    let old: Score = serde_json::from_str(stored).expect("a score as it was stored before");
    assert_eq!(serde_json::to_string(&old).expect("JSON"), stored);
}

/// Invariant 5: a column that cannot be read is counted, and the others are read.
#[test]
fn a_misshapen_column_holds_nothing_up() {
    let said = Said {
        tenant: 0,
        section: None,
        learner: 0,
        attempt: None,
        at: 0,
        id: None,
        content: 255,
    };
    let good = said.line();
    let bad = String::from_utf8(good.clone())
        .expect("UTF-8")
        .replace("\"learner\":\"learner-0\"", "\"learner\":7");
    let lines = [bad.as_bytes(), &good, b"no line\n"].concat();
    let mut changes = Changes::default();
    assert_eq!(changes.add_lines(&said.tenant(), &lines), 2);
    assert_eq!(changes.into_writes().len(), 1);
}

/// A crowded section and a quiet one: the quiet one's writes are not behind the crowd's.
#[test]
fn partitions_take_turns() {
    let tenant: TenantId = "school".parse().expect("a name");
    let mut changes = Changes::default();
    let registers = change_of(|_| ()).expect("a change").registers;
    for (section, learners) in [("crowded", 4_000), ("quiet", 3)] {
        for learner in 0..learners {
            let key = ResultKey {
                section: Some(section.into()),
                learner: format!("learner-{learner}"),
                assignment: Some("exam".into()),
                attempt: None,
            };
            let registers = registers.clone();
            let change = Change {
                key,
                registers,
                is_played_back: false,
            };
            changes.add(&tenant, change);
        }
    }
    let writes = changes.into_writes();
    assert_eq!(writes.len(), 4_003);
    let quiet = |write: &ResultWrite| write.key.section.as_deref() == Some("quiet");
    let last = writes.iter().rposition(quiet).expect("there are three");
    // At most three turns of 16 crowded and 3 quiet partitions.
    assert!(last < 3 * (usize::from(RESULT_SLOTS) + 3), "{last}");
    let mut slots = BTreeMap::<u8, usize>::new();
    for write in &writes {
        *slots
            .entry(ResultKey::slot_of(&write.key.learner))
            .or_default() += 1;
    }
    assert_eq!(slots.len(), usize::from(RESULT_SLOTS));
    assert!(slots.values().all(|n| (150..350).contains(n)), "{slots:?}");
}
