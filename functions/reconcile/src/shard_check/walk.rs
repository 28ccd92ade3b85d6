//! One shard's records, one after the other.

use super::Fault;
use super::expected::Positions;
use crate::sweeping::has_lost_its_items;
use std::collections::BTreeSet;
use vernier_ledger::block_item::{BlockItem, Listing};
use vernier_ledger::checkpoint::{ShardMark, ShardMarks};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::ports::{Blocks, Commits, PortError};
use vernier_ledger::segment::{ItemHash, SegmentRecord};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;

/// Records of one read: with 98 items each half a megabyte.
const RECORDS_AT_A_TIME: u32 = 25;

/// How far back the record of an earlier version is looked for that a chain goes on from, seconds: as long as segments
/// live, and a day.
const EARLIER_SECONDS_MAX: i64 = 31 * 86_400;

/// A mark that stands is written again after so long, seconds, so that its TTL never ends.
const MARK_SECONDS: i64 = 86_400;

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walked {
    /// Every record that a checkpoint names was looked at.
    Whole,
    /// The time was over.
    CutOff,
}

/// A record's place and hash.
#[derive(Debug, Clone, Copy)]
struct Link<'l> {
    position: u64,
    hash: &'l str,
}

/// A walk along one shard's records.
pub(super) struct Walk<'w, S> {
    stores: &'w S,
    shard: &'w Shard,
    expected: &'w Positions,
    /// Where the walk began; none where nobody walked before.
    began: Option<ShardMark>,
    /// The last record that was looked at.
    reached: Option<ShardMark>,
    pub(super) records: u64,
    pub(super) faults: Vec<Fault>,
}

impl<'w, S: ReconcileStores> Walk<'w, S> {
    /// Begins at the shard's mark, before the first record where it has none.
    pub(super) async fn of(
        stores: &'w S,
        shard: &'w Shard,
        expected: &'w Positions,
    ) -> Result<Self, PortError> {
        let began = stores.table().shard_mark(shard).await?;
        Ok(Self {
            stores,
            shard,
            expected,
            reached: began.clone(),
            began,
            records: 0,
            faults: Vec::new(),
        })
    }

    /// Looks at every record through the last one that a checkpoint names.
    pub(super) async fn walk_through(
        &mut self,
        clock: impl Fn() -> Millis,
        until: Millis,
    ) -> Result<Walked, PortError> {
        let Some((&end, hashes)) = self.expected.last_key_value() else {
            return Ok(Walked::Whole);
        };
        self.compare_with_the_mark();
        while self.reached.as_ref().is_none_or(|r| r.position < end) {
            if clock() >= until {
                return Ok(Walked::CutOff);
            }
            let from = self.reached.as_ref().map(|reached| reached.last.clone());
            let from = from.unwrap_or_else(Sequence::smallest);
            let page = self.stores.table();
            let page = page.records_from(self.shard, &from, RECORDS_AT_A_TIME);
            let mut is_moving = false;
            for record in page.await? {
                let position = record.position;
                is_moving |= self.look_at(record).await?;
                if position >= end {
                    break;
                }
            }
            if !is_moving {
                self.end_at(end, hashes, clock()).await?;
            }
        }
        Ok(Walked::Whole)
    }

    /// What checkpoints say of the record at the mark.
    fn compare_with_the_mark(&mut self) {
        let Some(mark) = &self.began else { return };
        let said = self.expected.get(&mark.position).into_iter().flatten();
        if said.into_iter().any(|said| said.hex() != mark.hash) {
            let what = "another record than before is there".to_owned();
            self.faults.push(fault(self.shard, mark.position, what));
        }
    }

    /// Looks at the next record; whether it was one behind those that were looked at.
    async fn look_at(&mut self, record: SegmentRecord) -> Result<bool, PortError> {
        let (position, hash) = (record.position, record.hash());
        if let Some(reached) = &self.reached
            && position <= reached.position
        {
            if position == reached.position && hash != reached.hash {
                let what = "the record was changed after it was checked".to_owned();
                self.faults.push(fault(self.shard, position, what));
            }
            return Ok(false);
        }
        self.records += 1;
        self.look_at_the_link(&record).await?;
        let said = self.expected.get(&position).into_iter().flatten();
        if said.into_iter().any(|said| said.hex() != hash) {
            let what = "a checkpoint has another record there".to_owned();
            self.faults.push(fault(self.shard, position, what));
        }
        self.look_at_the_items(&record).await?;
        self.reached = Some(ShardMark {
            shard: self.shard.clone(),
            position,
            hash,
            last: record.last,
            checked_at: record.committed_at,
        });
        Ok(true)
    }

    /// Whether the record follows the one before, or the last one of an earlier version.
    async fn look_at_the_link(&mut self, record: &SegmentRecord) -> Result<(), PortError> {
        let next = self.reached.as_ref().map_or(0, |r| r.position + 1);
        let before = self.reached.as_ref().map(|reached| reached.hash.as_str());
        let previous = record.previous.as_deref();
        if record.position == next && previous == before {
            return Ok(());
        }
        if let Some(position) = record.position.checked_sub(1)
            && let Some(hash) = previous
            && self
                .is_earlier(Link { position, hash }, record.committed_at)
                .await?
        {
            return Ok(());
        }
        let what = match record.position.saturating_sub(next) {
            0 => "the next record names another one before it".to_owned(),
            count => format!("{count} records are gone"),
        };
        self.faults.push(fault(self.shard, next, what));
        Ok(())
    }

    /// Whether a record of an earlier version, committed before an instant, stands there.
    async fn is_earlier(&self, link: Link<'_>, before: Millis) -> Result<bool, PortError> {
        let (mut to, mut seconds) = (before, 60);
        let end = before.plus_seconds(-EARLIER_SECONDS_MAX);
        while to > end {
            let from = to.plus_seconds(-seconds);
            let earlier = self.stores.table().earlier_records(from, to).await?;
            let mut of_shard = earlier.iter().filter(|r| r.shard == *self.shard);
            if of_shard.any(|r| r.position == link.position && r.hash() == link.hash) {
                return Ok(true);
            }
            // Usually it was committed a moment before.
            (to, seconds) = (Millis(from.0 - 1), 3_600.min(2 * seconds));
        }
        Ok(false)
    }

    /// Whether each item that the record names is there under its hash.
    async fn look_at_the_items(&mut self, record: &SegmentRecord) -> Result<(), PortError> {
        let items = self.stores.table().record_items(record).await?;
        for (named, item) in record.items.iter().zip(items) {
            if item.as_ref().and_then(BlockItem::hash).as_ref() == Some(named) {
                continue;
            }
            let ItemHash { tenant, minute, .. } = named;
            let what = match item {
                Some(_) => "changed",
                None if has_lost_its_items(self.stores.table(), tenant).await? => continue,
                None => "gone",
            };
            let what = format!(
                "the block item of {tenant} from minute {} on is {what}",
                minute.0
            );
            self.faults.push(fault(self.shard, record.position, what));
        }
        Ok(())
    }

    /// The shard's records end before a checkpoint's. Where nobody walked before, its last record may be
    /// one of an earlier version.
    async fn end_at(
        &mut self,
        end: u64,
        hashes: &BTreeSet<Fingerprint>,
        now: Millis,
    ) -> Result<(), PortError> {
        let next = self.reached.as_ref().map_or(0, |r| r.position + 1);
        let hash = hashes.first().map(Fingerprint::hex).unwrap_or_default();
        let link = Link {
            position: end,
            hash: &hash,
        };
        if !self.is_earlier(link, now).await? {
            let what = format!("{} records are gone", end + 1 - next);
            self.faults.push(fault(self.shard, next, what));
        }
        let last = self.reached.take().map(|reached| reached.last);
        self.reached = Some(ShardMark {
            shard: self.shard.clone(),
            position: end,
            hash,
            last: last.unwrap_or_else(Sequence::smallest),
            checked_at: now,
        });
        Ok(())
    }

    /// Keeps how far the walk came.
    pub(super) async fn keep(&mut self, now: Millis) -> Result<(), PortError> {
        let Some(reached) = self.reached.take() else {
            return Ok(());
        };
        let old = now.plus_seconds(-MARK_SECONDS);
        let stands = self.began.as_ref().is_some_and(|began| {
            (began.position, &began.hash) == (reached.position, &reached.hash)
                && began.checked_at > old
        });
        if stands {
            return Ok(());
        }
        let mark = ShardMark {
            checked_at: now,
            ..reached
        };
        self.stores.table().save_shard_mark(&mark).await
    }
}

fn fault(shard: &Shard, position: u64, what: String) -> Fault {
    Fault {
        shard: shard.id.clone(),
        position,
        what,
    }
}
