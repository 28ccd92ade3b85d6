//! All of the live store's events of a range: one by one where that is not too much to read, and by the counts of the
//! blocks' indexes where it is.

use super::pieces::{index_of, selected_bytes};
use super::{Live, Passing, span, wanted_of};
use crate::metered::Metered;
use crate::query::{EventQuery, Sort};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::sync::Arc;
use vernier_ledger::chunks::{BlockIndex, Counts, Wanted};
use vernier_ledger::disposition::{Disposition, Dispositions};
use vernier_ledger::limits::{LIVE_READ_BYTES_MAX, READS_IN_FLIGHT_MAX, SEGMENTS_READ_MAX};
use vernier_ledger::line::LineHead;
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::stores::Stores;
use vernier_ledger::time::Millis;

/// What takes the events of a scan.
pub(crate) trait Sink {
    /// Takes one event that passes the query, and how it ended as far as that is decided.
    fn add(&mut self, head: &LineHead<'_>, event: &[u8], disposition: Disposition);

    /// Whether counts will do in the place of the events of a block. `received` has the instants at which the first and
    /// the last of these events were received.
    fn takes_counts(&self, received: (Millis, Millis)) -> bool;

    /// Takes the counts of such a block.
    fn add_counts(&mut self, received: (Millis, Millis), counts: &Counts);
}

/// How a scan went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scan {
    /// All that was received before this instant was given, and nothing that was received later; none where all was.
    pub(crate) through: Option<Millis>,
    /// Whether what was sent again was given again: counts know nothing of other blocks, and where they are taken the
    /// other events are not looked up either.
    pub(crate) is_as_received: bool,
}

impl Scan {
    /// The latest received-at of what was given, where `newest` is that of all there is.
    pub(crate) fn last(&self, newest: Option<Millis>) -> Option<Millis> {
        let through = self.through.map(|through| Millis(through.0 - 1));
        newest.map(|newest| through.map_or(newest, |through| through.min(newest)))
    }
}

/// A block of a scan, with its index where that was read.
struct Scanned {
    block: usize,
    received: (Millis, Millis),
    index: Option<BlockIndex>,
    /// Bytes that reading its events takes.
    bytes: u64,
}

impl Live<'_> {
    /// Gives every event of the range that is not sealed and, where there is a query, passes it; without a query only which
    /// are rejected is said of them. Beyond `bytes_max` of blocks counts are given in the place of events, and what has
    /// none is left out, from an instant on.
    ///
    /// # Errors
    /// The bucket's; fatal when a block is damaged.
    pub(crate) async fn scan<S: Stores>(
        &mut self,
        stores: &Metered<'_, S>,
        query: Option<&EventQuery>,
        bytes_max: u64,
        sink: &mut impl Sink,
    ) -> Result<Scan, PortError> {
        let wanted = query.map(wanted_of).unwrap_or_default();
        let (mut blocks, mut through) = self.scanned(stores, &wanted, bytes_max).await?;
        let bytes: u64 = blocks.iter().map(|scanned| scanned.bytes).sum();
        let is_as_received = bytes > bytes_max;
        if is_as_received {
            let cut = self.count(&mut blocks, query, bytes_max, sink);
            through = cut.or(through);
        }
        let blocks = blocks.into_iter().map(|s| (s.block, s.index)).collect();
        let pieces = self.fetch(stores, blocks, &wanted).await?;
        let extent = self.extent;
        let passing = Passing {
            blocks: Arc::clone(&self.lookback.blocks),
            pieces: &pieces,
            passes: |head: &LineHead<'_>| {
                let at = head.receipt.received_at();
                extent.is_live(at)
                    && through.is_none_or(|through| at < through)
                    && query.is_none_or(|query| query.matches(head).is_some())
            },
        };
        let undecided = Dispositions::default();
        let known = match query.is_some() && !is_as_received {
            true => self.lookback.dispositions(stores, &passing).await?,
            false => &undecided,
        };
        super::lookback::Lines::for_each(&passing, &mut |_, head, event| {
            sink.add(head, event, known.of(head));
        })?;
        Ok(Scan {
            through,
            is_as_received,
        })
    }

    /// The unsealed blocks with what reading them takes, in the order in which their first events were received; as many
    /// as one request may read the indexes of, and where the first of the others begins.
    async fn scanned<O: Objects>(
        &self,
        objects: &O,
        wanted: &Wanted,
        bytes_max: u64,
    ) -> Result<(Vec<Scanned>, Option<Millis>), PortError> {
        let received = |number: usize| span(self.block(number), Sort::ReceivedAt);
        let mut numbers = self.unsealed.clone();
        numbers.sort_by_key(|number| received(*number));
        let whole: u64 = numbers.iter().map(|n| self.block(*n).bytes).sum();
        let is_by_index = wanted.is_selective() || whole > bytes_max;
        let mut left = LIVE_READ_BYTES_MAX;
        let fits = |number: &&usize| {
            let index = self.block(**number).index.as_ref().filter(|_| is_by_index);
            let taken = left.checked_sub(index.map_or(0, |index| index.bytes));
            taken.map(|taken| left = taken).is_some()
        };
        let length = numbers.iter().take(SEGMENTS_READ_MAX).take_while(fits);
        let length = length.count();
        let cut = numbers.get(length).map(|number| received(*number).0);
        numbers.truncate(length);
        let blocks = stream::iter(numbers)
            .map(async |block| {
                let live = &self.lookback.blocks[block];
                let place = live.block.index.as_ref().filter(|_| is_by_index);
                let index = match place {
                    Some(place) => Some(index_of(objects, live, place).await?),
                    None => None,
                };
                Ok::<_, PortError>(Scanned {
                    block,
                    received: received(block),
                    bytes: index
                        .as_ref()
                        .map_or(live.block.bytes, |index| selected_bytes(index, wanted)),
                    index,
                })
            })
            .buffered(READS_IN_FLIGHT_MAX)
            .try_collect()
            .await?;
        Ok((blocks, cut))
    }

    /// Gives the counts of those blocks of which they will do, and leaves the others as far as one request may read
    /// them. Answers where the first of those begins that are left out.
    fn count(
        &self,
        blocks: &mut Vec<Scanned>,
        query: Option<&EventQuery>,
        bytes_max: u64,
        sink: &mut impl Sink,
    ) -> Option<Millis> {
        let is_counted = |scanned: &Scanned, cut: Option<Millis>| {
            let (first, last) = scanned.received;
            let minutes = &self.block(scanned.block).minutes;
            scanned.index.is_some()
                && query.is_none_or(|query| query.from <= first && last < query.to)
                && cut.is_none_or(|cut| last < cut)
                && minutes
                    .iter()
                    .all(|m| self.extent.is_live(m.minute.start()))
                && sink.takes_counts(scanned.received)
        };
        let (mut left, mut cut) = (bytes_max, None);
        for scanned in blocks.iter().filter(|scanned| !is_counted(scanned, None)) {
            match left.checked_sub(scanned.bytes) {
                Some(taken) => left = taken,
                None => {
                    cut = Some(scanned.received.0);
                    break;
                }
            }
        }
        blocks.retain(|scanned| cut.is_none_or(|cut| scanned.received.0 < cut));
        let is_counted: Vec<bool> = blocks.iter().map(|s| is_counted(s, cut)).collect();
        let mut is_counted = is_counted.into_iter();
        blocks.retain(|scanned| {
            let is_counted = is_counted.next().unwrap_or(false);
            if let Some(index) = scanned.index.as_ref().filter(|_| is_counted) {
                sink.add_counts(scanned.received, &index.counts);
            }
            !is_counted
        });
        cut
    }
}
