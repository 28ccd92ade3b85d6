//! Segment records in memory.

use std::collections::BTreeMap;
use vernier_ledger::ids::Shard;
use vernier_ledger::segment::SegmentRecord;

/// Segment records in the order of their commits, and which of them are a shard's.
#[derive(Debug, Default)]
pub(crate) struct Records {
    all: Vec<SegmentRecord>,
    places: BTreeMap<Shard, Vec<usize>>,
}

impl Records {
    pub(crate) fn push(&mut self, record: SegmentRecord) {
        let places = self.places.entry(record.shard.clone()).or_default();
        places.push(self.all.len());
        self.all.push(record);
    }

    /// Those after the first `count`.
    pub(crate) fn after(&self, count: usize) -> &[SegmentRecord] {
        self.all.get(count..).unwrap_or_default()
    }

    /// Those of a shard.
    pub(crate) fn of_shard(&self, shard: &Shard) -> impl Iterator<Item = &SegmentRecord> {
        let places = self.places.get(shard).into_iter().flatten();
        places.map(|place| &self.all[*place])
    }

    /// Those of a shard, to be changed in all but whose they are.
    pub(crate) fn of_shard_mut(
        &mut self,
        shard: &Shard,
    ) -> impl Iterator<Item = &mut SegmentRecord> {
        let all = self.all.iter_mut();
        all.filter(move |record| record.shard == *shard)
    }

    /// Takes out those after the first `count`.
    pub(crate) fn take_after(&mut self, count: usize) -> Vec<SegmentRecord> {
        let taken = self.all.split_off(count.min(self.all.len()));
        self.find_places();
        taken
    }

    /// Removes the record of a commit.
    pub(crate) fn remove(&mut self, shard: &Shard, position: u64) {
        self.all
            .retain(|r| r.shard != *shard || r.position != position);
        self.find_places();
    }

    fn find_places(&mut self) {
        self.places.clear();
        for (place, record) in self.all.iter().enumerate() {
            let places = self.places.entry(record.shard.clone()).or_default();
            places.push(place);
        }
    }
}
