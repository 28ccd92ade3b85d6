//! How fast a shard is read and written by recovery: about half of what it has, so that input and the trigger keep the rest.

use std::cell::Cell;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use vernier_ledger::ids::Sequence;
use vernier_ledger::ports::NewRecord;

/// Time between two reads of a shard at least, milliseconds: it takes five reads a second, of which the trigger makes one.
const READ_MILLIS: u64 = 500;

/// What a shard gives to recovery in a second, bytes: half of its 2 MB/s.
const READ_BYTES_PER_SECOND: u64 = 1_000_000;

/// What recovery puts onto a shard in a second, records: half of its 1,000.
const APPEND_RECORDS_PER_SECOND: u64 = 500;

/// The same in bytes: half of its 1 MB/s.
const APPEND_BYTES_PER_SECOND: u64 = 500_000;

/// When a shard may be read and written again.
#[derive(Debug)]
pub(crate) struct Pace {
    read_at: Cell<Instant>,
    append_at: Cell<Instant>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        let now = Cell::new(Instant::now());
        Self {
            read_at: now.clone(),
            append_at: now,
        }
    }

    pub(super) async fn until_read(&self) {
        sleep_until(self.read_at.get()).await;
    }

    pub(super) fn note_read(&self, records: &[(Sequence, NewRecord)]) {
        let millis = bytes(records) * 1_000 / READ_BYTES_PER_SECOND;
        let wait = Duration::from_millis(millis.max(READ_MILLIS));
        self.read_at.set(Instant::now() + wait);
    }

    pub(super) async fn until_append(&self) {
        sleep_until(self.append_at.get()).await;
    }

    pub(super) fn note_append(&self, records: &[(Sequence, NewRecord)]) {
        let by_count = records.len() as u64 * 1_000 / APPEND_RECORDS_PER_SECOND;
        let by_bytes = bytes(records) * 1_000 / APPEND_BYTES_PER_SECOND;
        let wait = Duration::from_millis(by_count.max(by_bytes));
        self.append_at.set(Instant::now() + wait);
    }
}

fn bytes(records: &[(Sequence, NewRecord)]) -> u64 {
    records
        .iter()
        .map(|(_, record)| record.data.len() as u64)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: usize, bytes: usize) -> Vec<(Sequence, NewRecord)> {
        let record = NewRecord {
            partition_key: "school/0".into(),
            data: vec![0; bytes],
        };
        vec![(Sequence::smallest(), record); count]
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_is_read_twice_a_second_and_written_to_half_of_what_it_takes() {
        let (pace, begin) = (Pace::new(), Instant::now());
        for _ in 0..5 {
            pace.until_read().await;
            pace.note_read(&records(1, 10));
        }
        assert_eq!(begin.elapsed().as_millis() / 100, 20, "four waits");
        for records in [records(500, 10), records(3, 1_000_000)] {
            pace.until_append().await;
            pace.note_append(&records);
        }
        pace.until_append().await;
        assert_eq!(begin.elapsed().as_millis() / 1_000, 2 + 1 + 6);
    }
}
