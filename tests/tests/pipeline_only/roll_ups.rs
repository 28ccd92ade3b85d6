//! Filters that are rolled up: answers read less, and are the same whatever becomes of a roll-up.

use super::ends_within;
use super::live_blocks::{asked, asked_of, events_of, id_of, query, school_with_chunks};
use super::sealing::School;
use serde_json::Value;
use std::ops::Range;
use std::pin::pin;
use vernier_fakes::{Fault, Operation};
use vernier_ledger::chunks::Marks;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::TenantId;
use vernier_ledger::roll_up::RollUp;
use vernier_ledger::work::{Cause, Owner, WorkEntry};
use vernier_output::filter_memory::FilterMemory;
use vernier_output::query::{EventQuery, Order};

/// A batch every three seconds, each in chunks; every fourth repeats events of the one before.
async fn batches(school: &School, numbers: Range<u32>) {
    for nth in numbers {
        let first = nth * 10 - if nth % 4 == 3 { 2 } else { 0 };
        school.post(&events_of(first..first + 10)).await;
        school.deliver().await;
        school.pass(3);
    }
}

/// The entries of the tenant's filters.
fn entries(school: &School) -> Vec<WorkEntry> {
    let owner = Owner::of_filters(&school.tenant.id);
    let all = school.table.all_work().into_iter();
    let own = all.filter(|(of, _)| *of == owner);
    own.map(|(_, entry)| entry).collect()
}

fn roll_ups(school: &School) -> Vec<RollUp> {
    school.table.all_roll_ups(&school.tenant.id)
}

/// Queries whose answers look for what came before.
fn queries(school: &School) -> Vec<EventQuery> {
    let mut all = query(school, &[]);
    all.disposition = None;
    let mut oldest = all.clone();
    oldest.order = Order::Oldest;
    let mut repeated = all.clone();
    repeated.disposition = Some(Disposition::Duplicate);
    let mut by_id = all.clone();
    by_id.filters.push(("id".to_owned(), id_of(28)));
    let mut of_none = all.clone();
    of_none.filters.push(("id".to_owned(), id_of(999_999)));
    vec![all, oldest, repeated, by_id, of_none]
}

/// The answers, and how many requests they took together.
async fn answers(school: &School) -> (Vec<Value>, u64) {
    let (mut answers, mut gets) = (Vec::new(), 0);
    for query in queries(school) {
        let (page, taken) = asked(school, &query, 40).await.expect("reads");
        gets += taken.gets;
        answers.push(serde_json::to_value(page.events).expect("JSON"));
    }
    (answers, gets)
}

#[tokio::test]
async fn a_page_reads_few_objects_where_filters_are_rolled_up() {
    let school = school_with_chunks().await;
    batches(&school, 0..40).await;
    let mut newest = query(&school, &[]);
    newest.order = Order::Newest;
    let (before, taken) = asked(&school, &newest, 3).await.expect("reads");
    assert!(taken.gets >= 44, "a filter of each: {}", taken.gets);
    school.pass(30);
    let turn = school.roll_up().await;
    let slices = roll_ups(&school).len();
    assert_eq!(turn.rolled_up.filters, 40);
    assert_eq!(turn.rolled_up.objects as usize, slices);
    let (page, taken) = asked(&school, &newest, 3).await.expect("reads");
    // Four blocks, an object for five minutes, and a block where a filter took one event for another.
    assert!(
        taken.gets <= 6 + slices as u64 && slices <= 2,
        "{} for {slices} slices",
        taken.gets
    );
    let events =
        |page: vernier_output::events::EventsPage| serde_json::to_value(page.events).expect("JSON");
    assert_eq!(events(page), events(before));
}

#[tokio::test]
async fn a_roll_up_grows_until_nothing_comes() {
    let school = school_with_chunks().await;
    assert_eq!(entries(&school), []);
    batches(&school, 0..2).await;
    let put = entries(&school);
    assert_eq!(put.len(), 1, "one for five minutes");
    assert_eq!(put[0].key.cause, Cause::RollUp);
    assert_eq!(school.roll_up().await.due, 0, "what comes is gathered");
    for (filters, more) in [(2, 2..5), (3, 0..0)] {
        school.pass(30);
        assert_eq!(school.roll_up().await.rolled_up.filters, filters);
        batches(&school, more).await;
    }
    let [roll_up] = &roll_ups(&school)[..] else {
        panic!("one for five minutes");
    };
    let [object] = &roll_up.objects[..] else {
        panic!("one object, which was written anew");
    };
    assert_eq!(object.frames.count(), 5);
    assert_eq!(
        school.bucket.keys("filters/").len(),
        2,
        "the older one stays"
    );
    assert_eq!(entries(&school).len(), 1, "it is looked at again");
    school.pass(30);
    assert_eq!(school.roll_up().await.done, 1);
    assert_eq!(entries(&school), [], "nothing came");
    batches(&school, 5..6).await;
    assert_eq!(entries(&school).len(), 1, "something comes");
}

/// The entry is put behind the commit, so that nothing depends on it.
#[tokio::test]
async fn a_batch_is_committed_though_its_filters_have_no_entry() {
    let school = school_with_chunks().await;
    let plan = |of, _| (of == Operation::PutIndex).then_some(Fault::Denied);
    school.post(&events_of(0..10)).await;
    school.faults.plan(plan);
    school.deliver().await;
    assert_eq!(school.table.all_records().len(), 1);
    assert_eq!(entries(&school), []);
    school.faults.plan(|_, _| None);
    school.pass(3);
    batches(&school, 1..2).await;
    assert_eq!(entries(&school).len(), 1, "the next commit has it put");
}

/// A tenant whose blocks have no index costs no entry; where some have one, the others' filters are made.
#[tokio::test]
async fn filters_of_small_blocks_are_made_beside_large_ones() {
    let school = school_with_chunks().await;
    while school.clock.get().0 / 1_000 % 3 != 0 {
        school.pass(1);
    }
    for nth in 0..5 {
        school.post(&events_of(nth..nth + 1)).await;
        school.deliver().await;
        school.pass(3);
    }
    assert_eq!(entries(&school), []);
    school.pass(1);
    batches(&school, 1..4).await;
    let (before, many) = answers(&school).await;
    school.pass(30);
    assert_eq!(school.roll_up().await.rolled_up.filters, 8);
    assert_eq!(roll_ups(&school)[0].made.len(), 5);
    let (after, few) = answers(&school).await;
    assert_eq!(after, before);
    assert!(few < many, "{few} instead of {many}");
}

/// Once each batch of blocks was decided by itself: the blocks with the same id were read again for each.
#[tokio::test]
async fn blocks_with_one_id_are_read_once_for_a_page() {
    for in_chunks in [true, false] {
        let school = school_with_chunks().await;
        while (school.clock.get().0 / 1_000 % 3 != 0) != in_chunks {
            school.pass(1);
        }
        for nth in 0..60 {
            let events = [events_of(7..8), events_of(nth * 10 + 10..nth * 10 + 20)].concat();
            school.post(&events).await;
            school.deliver().await;
            school.pass(3);
        }
        let mut by_id = query(&school, &[("id", id_of(7))]);
        by_id.disposition = None;
        by_id.order = Order::Oldest;
        let (page, taken) = asked(&school, &by_id, 100).await.expect("reads");
        assert_eq!(page.events.len(), 60);
        // Each block and, where it has one, its filter.
        let most = if in_chunks { 120 } else { 60 };
        assert!(taken.gets <= most, "{in_chunks}: {}", taken.gets);
    }
}

type Trouble = fn(&School, &TenantId, &[RollUp]);

/// What can become of roll-ups; the last ones are handed in as they were after the first turn.
const TROUBLES: [(&str, Trouble); 7] = [
    ("an item is gone", |school, tenant, _| {
        for roll_up in roll_ups(school) {
            school.table.place_roll_up(tenant, roll_up.slice(), None);
        }
    }),
    ("objects are gone", |school, _, _| {
        for key in school.bucket.keys("filters/") {
            school.bucket.lose(&key);
        }
    }),
    ("an item is an old one", |school, tenant, old| {
        for roll_up in old {
            let slice = roll_up.slice();
            school
                .table
                .place_roll_up(tenant, slice, Some(roll_up.clone()));
        }
    }),
    ("an object is named twice", |school, tenant, _| {
        for mut roll_up in roll_ups(school) {
            roll_up.objects.extend_from_within(..);
            let slice = roll_up.slice();
            school.table.place_roll_up(tenant, slice, Some(roll_up));
        }
    }),
    ("an object has what another should have", |school, _, _| {
        let keys = school.bucket.keys("filters/");
        let bytes: Vec<Vec<u8>> = keys.iter().filter_map(|k| school.bucket.raw(k)).collect();
        for (key, bytes) in keys.iter().zip(bytes.iter().cycle().skip(1)) {
            school.bucket.place(key, bytes.clone());
        }
    }),
    ("an object has filters that know nothing", |school, _, _| {
        for key in school.bucket.keys("filters/") {
            let mut bytes = school.bucket.raw(&key).expect("there");
            // The count of each filter's keys.
            let starts: Vec<usize> = frame_starts(&bytes);
            starts.iter().for_each(|at| bytes[at + 8..at + 12].fill(0));
            school.bucket.place(&key, bytes);
        }
    }),
    (
        "an item names filters that its object has not",
        |school, tenant, _| {
            for mut roll_up in roll_ups(school) {
                let all: Vec<Marks> = roll_up.objects.iter().map(|o| o.frames.clone()).collect();
                school.bucket.place(&roll_up.objects[0].key, Vec::new());
                roll_up.objects[0].frames = all.last().expect("one").clone();
                let slice = roll_up.slice();
                school.table.place_roll_up(tenant, slice, Some(roll_up));
            }
        },
    ),
];

/// Where the frames of an object begin.
fn frame_starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 8 <= bytes.len() {
        starts.push(at);
        let length = bytes[at + 4..at + 8].try_into().expect("four bytes");
        at += 8 + u32::from_le_bytes(length) as usize;
    }
    starts
}

/// Invariant 4: a roll-up decides nothing.
#[tokio::test]
async fn an_answer_is_the_same_whatever_becomes_of_a_roll_up() {
    for (what, trouble) in TROUBLES {
        let school = school_with_chunks().await;
        batches(&school, 0..6).await;
        school.pass(30);
        school.roll_up().await;
        let old = roll_ups(&school);
        batches(&school, 6..12).await;
        let (right, many) = answers(&school).await;
        school.pass(30);
        assert_eq!(school.roll_up().await.rolled_up.filters, 6);
        let (rolled, few) = answers(&school).await;
        assert_eq!(rolled, right);
        assert!(few < many, "{few} instead of {many}");
        trouble(&school, &school.tenant.id, &old);
        assert_eq!(answers(&school).await.0, right, "{what}");
        // What is missing is rolled up again, by the next turn or the one after it.
        batches(&school, 12..13).await;
        school.pass(60);
        school.roll_up().await;
        let (after, _) = answers(&school).await;
        school
            .table
            .place_roll_up(&school.tenant.id, roll_ups(&school)[0].slice(), None);
        assert_eq!(after, answers(&school).await.0, "{what}");
    }
}

/// Whatever byte of an object of filters is another one, an answer is the same.
#[tokio::test]
async fn no_changed_byte_of_a_roll_up_changes_an_answer() {
    let school = school_with_chunks().await;
    batches(&school, 0..4).await;
    school.pass(30);
    school.roll_up().await;
    let (right, _) = answers(&school).await;
    let key = school.bucket.keys("filters/").remove(0);
    let sound = school.bucket.raw(&key).expect("there");
    for at in 0..sound.len() {
        let mut changed = sound.clone();
        changed[at] ^= 1;
        school.bucket.place(&key, changed);
        assert_eq!(answers(&school).await.0, right, "byte {at}");
    }
}

/// Wherever a worker is killed, and whatever fails, answers are the same, and the next turn rolls up what is left.
#[tokio::test]
async fn a_turn_that_ends_anywhere_leaves_answers_as_they_are() {
    let mut polls = 1;
    loop {
        let school = school_with_chunks().await;
        batches(&school, 0..4).await;
        let (right, _) = answers(&school).await;
        school.pass(30);
        school.faults.interleave(7);
        {
            let mut run = pin!(school.roll_up());
            if ends_within(run.as_mut(), polls) {
                break;
            }
        }
        assert_eq!(answers(&school).await.0, right, "after {polls} polls");
        school.pass(30);
        school.roll_up().await;
        assert_eq!(roll_ups(&school)[0].objects[0].frames.count(), 4);
        assert_eq!(answers(&school).await.0, right, "after {polls} polls");
        polls += 1;
    }
    assert!(polls > 5, "{polls}");
    for operation in [Operation::KeepRollUp, Operation::PutObject] {
        for fault in Fault::ALL {
            let school = school_with_chunks().await;
            batches(&school, 0..4).await;
            let (right, _) = answers(&school).await;
            school.pass(30);
            let plan = move |of, nth| (of == operation && nth == 0).then_some(fault);
            school.faults.plan(plan);
            let turn = school.turn_of_filters().await;
            assert_eq!(turn.failed, 1, "{operation:?} {fault:?}");
            assert_eq!(answers(&school).await.0, right);
            school.pass(60);
            school.roll_up().await;
            assert_eq!(roll_ups(&school)[0].objects[0].frames.count(), 4);
            assert_eq!(answers(&school).await.0, right);
        }
    }
}

/// Readers take what the bucket or the table does not give for not rolled up.
#[tokio::test]
async fn a_roll_up_that_cannot_be_read_is_as_if_it_were_not_there() {
    let school = school_with_chunks().await;
    batches(&school, 0..4).await;
    let (right, many) = answers(&school).await;
    school.pass(30);
    school.roll_up().await;
    school.table.place_roll_up(
        &school.tenant.id,
        roll_ups(&school)[0].slice(),
        roll_ups(&school).into_iter().next().map(|mut roll_up| {
            "filters/none".clone_into(&mut roll_up.objects[0].key);
            roll_up
        }),
    );
    let (after, gets) = answers(&school).await;
    assert_eq!(after, right);
    assert!(gets > many, "it was tried: {gets}, {many}");
}

/// A page that is asked for again and again reads the filters of new blocks, by themselves or rolled up.
#[tokio::test]
async fn a_page_that_is_asked_for_again_reads_filters_of_new_blocks_alone() {
    let school = school_with_chunks().await;
    let filters = FilterMemory::default();
    batches(&school, 0..20).await;
    let ask = async |filters: &FilterMemory| {
        let newest = query(&school, &[]);
        let (page, taken) = asked_of(&school, &newest, 3, filters).await.expect("reads");
        let events = serde_json::to_value(page.events).expect("JSON");
        (events, taken.gets)
    };
    let (_, gets) = ask(&filters).await;
    assert!(gets >= 24, "four blocks and twenty filters: {gets}");
    let (before, gets) = ask(&filters).await;
    // Blocks of the page, and one where a filter took one event for another.
    assert!(gets <= 6, "{gets}");
    batches(&school, 20..22).await;
    let (after, gets) = ask(&filters).await;
    assert!(gets <= 8, "{gets}");
    assert_ne!(after, before);
    school.pass(30);
    school.roll_up().await;
    let (again, gets) = ask(&filters).await;
    assert!(
        gets <= 6,
        "what is remembered is not read rolled up either: {gets}"
    );
    assert_eq!(again, after);
    assert_eq!(ask(&FilterMemory::default()).await.0, after);
}
