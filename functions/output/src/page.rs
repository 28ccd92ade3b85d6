//! A page of events as it comes together, from wherever they lie and in whatever order.

use crate::cursor::PageCursor;
use crate::events::EventView;
use crate::query::{EventQuery, Key, Order};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use vernier_archive::search::Hit;
use vernier_archive::stored::Found;
use vernier_ledger::limits::{PAGE_BYTES_MAX, READS_IN_FLIGHT_MAX};
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::segment::Place;

/// Events that are read at a time at most, bytes by their row groups' average.
const READ_BYTES: u64 = 16 * 1024 * 1024;

/// An event of the page: read, or where it lies.
#[derive(Debug)]
enum Entry {
    Read(EventView),
    Sealed(Arc<Found>, Hit),
}

/// What was found so far, no more than a page and one.
#[derive(Debug)]
pub(crate) struct Gathering<'q> {
    query: &'q EventQuery,
    after: Option<Key>,
    limit: usize,
    found: BTreeMap<Key, Entry>,
    /// Where the search ended before it was over.
    ended: Option<Key>,
}

impl<'q> Gathering<'q> {
    pub(crate) const fn new(query: &'q EventQuery, after: Option<Key>, limit: usize) -> Self {
        Self {
            query,
            after,
            limit,
            found: BTreeMap::new(),
            ended: None,
        }
    }

    /// What is asked for.
    pub(crate) const fn query(&self) -> &'q EventQuery {
        self.query
    }

    /// Events that are gathered at most: those of the page and one.
    pub(crate) const fn size(&self) -> usize {
        self.limit + 1
    }

    /// Whether a key comes before another in the query's order.
    pub(crate) fn precedes(&self, a: Key, b: Key) -> bool {
        match self.query.order {
            Order::Oldest => a < b,
            Order::Newest => a > b,
        }
    }

    /// Whether a key belongs to an earlier page.
    pub(crate) fn is_behind(&self, key: Key) -> bool {
        self.after.is_some_and(|after| !self.precedes(after, key))
    }

    /// Whether an event with this key would come onto the page.
    pub(crate) fn takes(&self, key: Key) -> bool {
        !self.is_behind(key) && !self.is_full_before(key)
    }

    /// Takes an event of the live store.
    pub(crate) fn offer(&mut self, key: Key, view: EventView) {
        self.insert(key, Entry::Read(view));
    }

    /// Takes the rows that were found in a sealed file.
    pub(crate) fn offer_found(&mut self, found: Found) {
        let found = Arc::new(found);
        for hit in &found.hits {
            let key = self.query.key_of(hit.place, hit.event_time);
            if self.takes(key) {
                self.insert(key, Entry::Sealed(Arc::clone(&found), *hit));
            }
        }
    }

    /// Of two at one place the last counts.
    fn insert(&mut self, key: Key, entry: Entry) {
        self.found.insert(key, entry);
        // One more than the page, to know whether another follows.
        if self.found.len() > self.limit + 1 {
            match self.query.order {
                Order::Oldest => self.found.pop_last(),
                Order::Newest => self.found.pop_first(),
            };
        }
    }

    /// Whether nothing from a key on can come onto the page any more.
    pub(crate) fn is_full_before(&self, key: Key) -> bool {
        if self.ended.is_some_and(|ended| !self.precedes(key, ended)) {
            return true;
        }
        let last = match self.query.order {
            Order::Oldest => self.found.last_key_value(),
            Order::Newest => self.found.first_key_value(),
        };
        self.found.len() > self.limit && last.is_some_and(|(last, _)| self.precedes(*last, key))
    }

    /// Ends the search at a key, or where it ended before that: an event with this key is the last of the page, and the
    /// next page goes on behind it.
    pub(crate) fn end_at(&mut self, key: Key) {
        if self.ended.is_none_or(|ended| self.precedes(key, ended)) {
            self.ended = Some(key);
        }
    }

    /// The page, and the cursor to the next one.
    ///
    /// # Errors
    /// The store's, where an event lies sealed or on its own.
    pub(crate) async fn finish<O: Objects>(
        self,
        objects: &O,
        key: &[u8; 32],
    ) -> Result<(Vec<EventView>, Option<String>), PortError> {
        let (query, ended, order, limit) = (self.query, self.ended, self.query.order, self.limit);
        let mut found = self.found;
        if let Some(ended) = ended {
            found.retain(|key, _| match order {
                Order::Oldest => *key <= ended,
                Order::Newest => *key >= ended,
            });
        }
        let total = found.len();
        let mut entries: Vec<(Key, Entry)> = found.into_iter().collect();
        if order == Order::Newest {
            entries.reverse();
        }
        entries.truncate(limit);
        let (events, last) = read_as_fit(objects, entries).await?;
        let after = last.filter(|_| events.len() < total).or(ended);
        let cursor = after.map(|after| {
            let query = query.clone();
            PageCursor { query, after }.seal(key)
        });
        Ok((events, cursor))
    }
}

/// Reads as many as fit the page by bytes, at least one, and answers the last one's key.
async fn read_as_fit<O: Objects>(
    objects: &O,
    entries: Vec<(Key, Entry)>,
) -> Result<(Vec<EventView>, Option<Key>), PortError> {
    let (mut events, mut last, mut bytes) = (Vec::new(), None, 0);
    let mut entries = entries.into_iter().peekable();
    while entries.peek().is_some() {
        let mut batch = Vec::new();
        let mut expected = 0;
        while expected < READ_BYTES
            && let Some((key, entry)) = entries.next()
        {
            expected += match &entry {
                Entry::Read(view) => view.bytes() as u64,
                Entry::Sealed(found, hit) => found.row_bytes(hit),
            };
            batch.push((key, entry));
        }
        for (key, mut event) in read(objects, batch).await? {
            event.resolve(objects).await?;
            bytes += event.bytes();
            if bytes > PAGE_BYTES_MAX && !events.is_empty() {
                return Ok((events, last));
            }
            events.push(event);
            last = Some(key);
        }
    }
    Ok((events, last))
}

/// Reads those that are not: the rows of a file together, several files at once.
async fn read<O: Objects>(
    objects: &O,
    batch: Vec<(Key, Entry)>,
) -> Result<Vec<(Key, EventView)>, PortError> {
    let keys: Vec<(Key, Place)> = batch.iter().map(|(key, _)| (*key, key.1)).collect();
    let mut views: BTreeMap<Place, EventView> = BTreeMap::new();
    let mut files: Vec<(Arc<Found>, Vec<Hit>)> = Vec::new();
    for (key, entry) in batch {
        match entry {
            Entry::Read(view) => {
                views.insert(key.1, view);
            }
            Entry::Sealed(found, hit) => {
                match files
                    .iter_mut()
                    .find(|(known, _)| Arc::ptr_eq(known, &found))
                {
                    Some((_, hits)) => hits.push(hit),
                    None => files.push((found, vec![hit])),
                }
            }
        }
    }
    let read: Vec<Vec<Option<EventView>>> = stream::iter(files)
        .map(async |(found, mut hits)| {
            hits.sort_by_key(|hit| (hit.group, hit.row));
            found.rows(objects, &hits, EventView::of_row).await
        })
        .buffered(READS_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    for view in read.into_iter().flatten().flatten() {
        views.insert((view.receipt, view.index), view);
    }
    let found = keys
        .into_iter()
        .filter_map(|(key, place)| Some((key, views.remove(&place)?)));
    Ok(found.collect())
}
