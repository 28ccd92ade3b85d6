//! What is read of live blocks for an answer: no more than it needs, and nothing that is not as it was committed.

use super::compaction::EVENING;
use super::sealing::School;
use serde_json::{Value, json};
use vernier_ledger::disposition::Disposition;
use vernier_ledger::limits::LIVE_READ_BYTES_MAX;
use vernier_ledger::live::ReadError;
use vernier_ledger::time::TimeRange;
use vernier_output::cursor::PageCursor;
use vernier_output::events::{EventsPage, Paging, by_id, page};
use vernier_output::filter_memory::FilterMemory;
use vernier_output::query::{EventQuery, Order, Sort};
use vernier_tests::envelopes::event_with_id;

const USERS: &str = "https://school.example/users/";

pub(super) fn id_of(number: u32) -> String {
    format!("urn:uuid:00000000-0000-4000-8000-{number:012}")
}

/// Events of as many learners.
pub(super) fn events_of(numbers: std::ops::Range<u32>) -> Vec<Value> {
    let events = numbers.map(|number| {
        let mut event = event_with_id(&id_of(number));
        event["actor"]["id"] = json!(format!("{USERS}{number}"));
        event
    });
    events.collect()
}

pub(super) fn query(school: &School, filters: &[(&str, String)]) -> EventQuery {
    let mut query = EventQuery::between(TimeRange {
        from: EVENING,
        to: school.clock.get().plus_seconds(1),
    });
    let filters = filters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()));
    query.filters.extend(filters);
    query
}

/// What an answer took of the bucket.
pub(super) struct Taken {
    pub(super) gets: u64,
    bytes: u64,
}

pub(super) async fn asked(
    school: &School,
    query: &EventQuery,
    limit: usize,
) -> Result<(EventsPage, Taken), ReadError> {
    asked_of(school, query, limit, &FilterMemory::default()).await
}

/// The same of a process that remembers some filters.
pub(super) async fn asked_of(
    school: &School,
    query: &EventQuery,
    limit: usize,
    filters: &FilterMemory,
) -> Result<(EventsPage, Taken), ReadError> {
    let paging = Paging {
        after: None,
        limit,
        now: school.clock.get(),
        signing_key: &[7; 32],
        filters,
        live_bytes_max: LIVE_READ_BYTES_MAX,
    };
    let answer = page(&school.stores, &school.tenant.id, query, paging).await;
    answer.map(|(page, reads)| {
        let (gets, bytes) = (reads.gets, reads.bytes);
        (page, Taken { gets, bytes })
    })
}

/// A school whose clock is where blocks come in chunks.
pub(super) async fn school_with_chunks() -> School {
    let school = School::since(EVENING).await;
    while school.clock.get().0 / 1_000 % 3 == 0 {
        school.pass(1);
    }
    school
}

#[tokio::test]
async fn a_learners_page_reads_the_chunks_that_may_have_the_learner() {
    let school = school_with_chunks().await;
    school.post(&events_of(0..200)).await;
    school.deliver().await;
    let [key] = &school.bucket.keys("segments/")[..] else {
        panic!("one object");
    };
    let object = school.bucket.raw(key).expect("there").len() as u64;
    let all = query(&school, &[]);
    let (found, whole) = asked(&school, &all, 500).await.expect("reads");
    assert_eq!(found.events.len(), 200);
    assert!(whole.bytes > object * 3 / 4, "{} of {object}", whole.bytes);
    let of_one = query(&school, &[("actor", format!("{USERS}7"))]);
    let (found, reads) = asked(&school, &of_one, 500).await.expect("reads");
    assert_eq!(found.events.len(), 1);
    // Index, chunk and filter.
    assert_eq!(reads.gets, 3);
    assert!(reads.bytes < object / 2, "{} of {object}", reads.bytes);
    let of_none = query(&school, &[("id", id_of(999))]);
    let (found, reads) = asked(&school, &of_none, 500).await.expect("reads");
    assert_eq!((found.events.len(), reads.gets), (0, 1), "the filter alone");
}

#[tokio::test]
async fn a_full_page_stops_before_older_blocks() {
    let school = school_with_chunks().await;
    for nth in 0..40 {
        school.post(&events_of(nth * 10..nth * 10 + 10)).await;
        school.deliver().await;
        school.pass(3);
    }
    for order in [Order::Newest, Order::Oldest] {
        let mut all = query(&school, &[]);
        all.order = order;
        let (found, reads) = asked(&school, &all, 3).await.expect("reads");
        assert_eq!(found.events.len(), 3);
        // Four blocks, the filter of each of forty, and a block where a filter took one event for another.
        assert!((44..=46).contains(&reads.gets), "{order:?}: {}", reads.gets);
        assert!(found.next_cursor.is_some());
    }
}

/// An event that a sensor sends again and again lies in many small blocks. Of each the filter, the block as one that may
/// have come first, and the block for the page are read, however many pages' worth of blocks there are.
#[tokio::test]
async fn an_id_of_many_blocks_takes_three_requests_for_each() {
    const BLOCKS: u64 = 90;
    let school = School::since(EVENING).await;
    for _ in 0..BLOCKS {
        school.post(&events_of(5..6)).await;
        school.deliver().await;
        school.pass(1);
    }
    let mut of_id = query(&school, &[("id", id_of(5))]);
    of_id.disposition = None;
    for order in [Order::Newest, Order::Oldest] {
        of_id.order = order;
        let (found, reads) = asked(&school, &of_id, 1_000).await.expect("reads");
        let stored = found.events.iter();
        let stored = stored.filter(|event| event.disposition == Disposition::Stored);
        assert_eq!((found.events.len() as u64, stored.count()), (BLOCKS, 1));
        assert!(
            reads.gets <= 3 * BLOCKS,
            "{order:?}: {} requests",
            reads.gets
        );
    }
}

/// Whoever asks for duplicates alone has every live event looked up: a page ends in a cursor once enough was opened for that,
/// and the pages together have what one that reads everything has.
#[tokio::test]
async fn pages_of_duplicates_end_in_cursors_and_leave_nothing_out() {
    let school = School::since(EVENING).await;
    for nth in 0..40 {
        // Half of the events are in the batch before as well, some in all that come after.
        let mut events = events_of(nth * 5..nth * 5 + 10);
        events.extend(events_of(1..2));
        school.post(&events).await;
        school.deliver().await;
        school.pass(1);
    }
    let mut repeated = query(&school, &[]);
    repeated.disposition = Some(Disposition::Duplicate);
    for (order, sort) in [
        (Order::Newest, Sort::ReceivedAt),
        (Order::Oldest, Sort::ReceivedAt),
        (Order::Newest, Sort::EventTime),
        (Order::Oldest, Sort::EventTime),
    ] {
        (repeated.order, repeated.sort) = (order, sort);
        let (whole, _) = asked(&school, &repeated, 1_000).await.expect("reads");
        let places = |page: &EventsPage| {
            let places = page.events.iter().map(|event| (event.receipt, event.index));
            places.collect::<Vec<_>>()
        };
        assert!(places(&whole).len() > 200);
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let paging = Paging {
                after,
                limit: 1_000,
                now: school.clock.get(),
                signing_key: &[7; 32],
                filters: &FilterMemory::default(),
                live_bytes_max: 1,
            };
            let answer = page(&school.stores, &school.tenant.id, &repeated, paging).await;
            let (page, _) = answer.expect("reads");
            found.extend(places(&page));
            pages += 1;
            let Some(cursor) = page.next_cursor else {
                break;
            };
            after = Some(PageCursor::open(&cursor, &[7; 32]).expect("ours").after);
            assert!(
                pages < 1_000,
                "{order:?} {sort:?}: the pages come to no end"
            );
        }
        assert_eq!(found, places(&whole), "{order:?} {sort:?}");
        assert!(pages > 1, "{order:?} {sort:?}: one page read everything");
    }
}

/// Whatever byte of a segment is another one, an answer is either the same or none.
#[tokio::test]
async fn no_changed_byte_of_a_block_changes_an_answer() {
    let school = school_with_chunks().await;
    school.post(&events_of(0..6)).await;
    school.deliver().await;
    let key = school.bucket.keys("segments/").remove(0);
    let sound = school.bucket.raw(&key).expect("there");
    let queries = [
        query(&school, &[]),
        query(&school, &[("actor", format!("{USERS}3"))]),
        query(&school, &[("id", id_of(3))]),
    ];
    let (from, to) = (EVENING, school.clock.get().plus_seconds(1));
    let answers = async || {
        let mut answers = Vec::new();
        for query in &queries {
            let answer = asked(&school, query, 10).await;
            let events = answer.map(|(page, _)| serde_json::to_value(page.events).expect("JSON"));
            answers.push(events.ok());
        }
        let range = TimeRange { from, to };
        let (tenant, now) = (&school.tenant.id, school.clock.get());
        let (stores, id, filters) = (&school.stores, &id_of(3), &FilterMemory::default());
        let found = by_id(stores, tenant, id, None, range, now, filters).await;
        let event =
            found.map(|found| found.map(|(event, _)| serde_json::to_value(event).expect("JSON")));
        answers.push(event.ok().map(|event| json!(event)));
        answers
    };
    let right = answers().await;
    assert!(right.iter().all(Option::is_some));
    let mut refused = vec![0; right.len()];
    for at in 0..sound.len() {
        let mut changed = sound.clone();
        changed[at] ^= 1;
        school.bucket.place(&key, changed);
        for (nth, (answer, right)) in answers().await.into_iter().zip(&right).enumerate() {
            match answer {
                None => refused[nth] += 1,
                Some(answer) => assert_eq!(Some(&answer), right.as_ref(), "byte {at}"),
            }
        }
    }
    assert!(refused.iter().all(|count| *count > 10), "{refused:?}");
}
