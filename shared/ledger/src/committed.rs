//! What became of places of the stream: whether a commit took them, looked up by shard and sequence number.

use crate::account::Coverage;
use crate::block_item::Listing;
use crate::ids::{Sequence, Shard};
use crate::live::earlier_since;
use crate::ports::{Commits, PortError};
use crate::receipt::Origin;
use crate::segment::{SegmentRange, SegmentRecord};
use crate::time::Millis;
use std::collections::{BTreeMap, BTreeSet};

/// Some places of the stream, by shard.
pub type Places<'p> = BTreeMap<&'p Shard, BTreeSet<&'p Sequence>>;

/// What is committed of some places.
#[derive(Debug, Default)]
pub struct Committed {
    /// The ranges of the commits that stored something.
    pub coverage: Coverage,
    /// Those of the commits that left out some of their records, as copies or as what they could not read: that a place
    /// lies in one of them does not say that the commit stored it.
    pub selective: Vec<SegmentRecord>,
}

impl Committed {
    /// The commit that took a place and that may have left it out.
    #[must_use]
    pub fn selective_over(&self, origin: &Origin) -> Option<&SegmentRecord> {
        let covers = |record: &&SegmentRecord| {
            record.shard == origin.shard
                && record.first <= origin.sequence
                && origin.sequence <= record.last
        };
        self.selective.iter().find(covers)
    }
}

/// What is committed of some places, for whoever has read the shards' cursors before. What
/// lies there was not received before `since`.
///
/// One record is read for each commit that took some of the places. Where a shard's records begin behind a place, an
/// earlier version may have committed it: then that version's records are read as well, which are everybody's.
///
/// # Errors
/// Whatever error reading the table gives.
pub async fn coverage_of<T: Commits + Listing>(
    table: &T,
    places: &Places<'_>,
    since: Millis,
    now: Millis,
) -> Result<Committed, PortError> {
    let mut records = Vec::new();
    let mut may_be_earlier = false;
    for (shard, sequences) in places {
        let first = table.records_from(shard, &Sequence::smallest(), 1).await?;
        let oldest = sequences.first().copied();
        may_be_earlier |= first.first().is_none_or(|record| {
            record.position > 0 && oldest.is_some_and(|oldest| *oldest < record.first)
        });
        let mut through: Option<Sequence> = None;
        for sequence in sequences {
            if through.as_ref().is_some_and(|through| *sequence <= through) {
                continue;
            }
            let found = table.records_from(shard, sequence, 1).await?;
            let Some(record) = found.into_iter().next() else {
                break;
            };
            through = Some(record.last.clone());
            records.push(record);
        }
    }
    let mut coverage = Coverage::of(&records);
    if may_be_earlier {
        let earlier = earlier_since(table, since, now).await?;
        coverage.merge(Coverage::of_earlier(&earlier));
    }
    records.retain(|record| record.copies + record.quarantined > 0 && !record.items.is_empty());
    Ok(Committed {
        coverage,
        selective: records,
    })
}

/// Records of a shard that one call reads on the way to an object's, which usually has one: a read unit's worth.
const RECORDS_AT_A_TIME: u32 = 4;

/// The records of the commits that have their blocks in a segment object; none of an object that no commit names, or
/// one of an earlier version does. They follow each other, since a shard has one cursor.
///
/// # Errors
/// Whatever error reading the table gives.
pub async fn records_of_object<T: Commits>(
    table: &T,
    object: &str,
) -> Result<Vec<SegmentRecord>, PortError> {
    let Some(range) = SegmentRange::of_key(object) else {
        return Ok(Vec::new());
    };
    let (mut found, mut from) = (Vec::new(), range.first);
    loop {
        let page = table.records_from(&range.shard, &from, RECORDS_AT_A_TIME);
        let page = page.await?;
        let Some(last) = page.last().map(|record| record.last.clone()) else {
            return Ok(found);
        };
        let is_last = page.len() < RECORDS_AT_A_TIME as usize || last >= range.last;
        for record in page {
            let is_new = found
                .last()
                .is_none_or(|r: &SegmentRecord| r.last < record.last);
            if is_new && record.object.as_deref() == Some(object) {
                found.push(record);
            }
        }
        if is_last {
            return Ok(found);
        }
        from = last;
    }
}
