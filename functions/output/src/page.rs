//! A page of events as it comes together, from wherever they lie and in whatever order.

use crate::cursor::PageCursor;
use crate::events::EventView;
use crate::query::{EventQuery, Order};
use std::collections::BTreeMap;
use vernier_ledger::limits::PAGE_BYTES_MAX;
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::segment::Place;

/// What was found so far, no more than a page and one.
#[derive(Debug)]
pub(crate) struct Gathering<'q> {
    pub(crate) query: &'q EventQuery,
    after: Option<Place>,
    limit: usize,
    found: BTreeMap<Place, EventView>,
    /// Where the search ended before it was over.
    ended: Option<Place>,
}

impl<'q> Gathering<'q> {
    pub(crate) const fn new(query: &'q EventQuery, after: Option<Place>, limit: usize) -> Self {
        Self {
            query,
            after,
            limit,
            found: BTreeMap::new(),
            ended: None,
        }
    }

    /// Whether a place comes before another in the query's order.
    fn precedes(&self, a: Place, b: Place) -> bool {
        match self.query.order {
            Order::Oldest => a < b,
            Order::Newest => a > b,
        }
    }

    /// Whether a place belongs to an earlier page.
    pub(crate) fn is_behind(&self, place: Place) -> bool {
        self.after.is_some_and(|after| !self.precedes(after, place))
    }

    /// Takes an event; of two at one place the last counts.
    pub(crate) fn offer(&mut self, view: EventView) {
        let place = (view.receipt, view.index);
        self.found.insert(place, view);
        // One more than the page, to know whether another follows.
        if self.found.len() > self.limit + 1 {
            match self.query.order {
                Order::Oldest => self.found.pop_last(),
                Order::Newest => self.found.pop_first(),
            };
        }
    }

    /// Whether nothing from a place on can come onto the page any more.
    pub(crate) fn is_full_before(&self, place: Place) -> bool {
        let last = match self.query.order {
            Order::Oldest => self.found.last_key_value(),
            Order::Newest => self.found.first_key_value(),
        };
        self.found.len() > self.limit && last.is_some_and(|(last, _)| self.precedes(*last, place))
    }

    /// Ends the search at a place: the next page goes on from there.
    pub(crate) fn end_at(&mut self, place: Place) {
        self.ended = Some(place);
    }

    /// The page, and the cursor to the next one.
    ///
    /// # Errors
    /// The store's, where an event lies on its own.
    pub(crate) async fn finish<O: Objects>(
        self,
        objects: &O,
        key: &[u8; 32],
    ) -> Result<(Vec<EventView>, Option<String>), PortError> {
        let (query, ended, order) = (self.query, self.ended, self.query.order);
        let mut found = self.found;
        if let Some(ended) = ended {
            found.retain(|place, _| match order {
                Order::Oldest => *place < ended,
                Order::Newest => *place > ended,
            });
        }
        let ordered: Vec<EventView> = match order {
            Order::Oldest => found.into_values().collect(),
            Order::Newest => found.into_values().rev().collect(),
        };
        let total = ordered.len();
        let mut events = cut(ordered, self.limit);
        let last = events.last().map(|last| (last.receipt, last.index));
        let after = last.filter(|_| events.len() < total).or(ended);
        let cursor = after.map(|after| {
            let query = query.clone();
            PageCursor { query, after }.seal(key)
        });
        for event in &mut events {
            event.resolve(objects).await?;
        }
        Ok((events, cursor))
    }
}

/// As many as fit the page by count and bytes; at least one.
fn cut(ordered: Vec<EventView>, limit: usize) -> Vec<EventView> {
    let mut bytes = 0;
    let mut first = true;
    ordered
        .into_iter()
        .take(limit)
        .take_while(|view| {
            bytes += view.bytes();
            std::mem::take(&mut first) || bytes <= PAGE_BYTES_MAX
        })
        .collect()
}
