//! `FrameStream`.

use super::unique;
use std::collections::BTreeSet;
use vernier_ledger::limits::{PUT_RECORDS_BYTES_MAX, PUT_RECORDS_COUNT_MAX, RECORD_BYTES_MAX};
use vernier_ledger::ports::{FrameRecords, FrameStream, NewRecord, PortError};
use vernier_ledger::receipt::Origin;

fn record(key: &str, bytes: usize) -> NewRecord {
    NewRecord {
        partition_key: key.to_owned(),
        data: vec![b'x'; bytes],
    }
}

async fn append_all(stream: &impl FrameStream, records: &[NewRecord]) -> Vec<Origin> {
    let answers = stream.append(records).await;
    assert_eq!(answers.len(), records.len(), "one answer each");
    answers.into_iter().map(|a| a.expect("taken")).collect()
}

pub async fn every_record_has_an_origin_of_its_own(stream: &impl FrameStream) {
    let records: Vec<_> = (0..20)
        .map(|n| record(&format!("lane/{n}"), n + 1))
        .collect();
    let origins = append_all(stream, &records).await;
    assert_eq!(origins.iter().collect::<BTreeSet<_>>().len(), records.len());
}

pub async fn a_partition_key_has_one_shard(stream: &impl FrameStream) {
    let key = unique("key");
    let mut shards = BTreeSet::new();
    for bytes in [1, 10, 100] {
        let origins = append_all(stream, &[record(&key, bytes), record(&key, bytes)]).await;
        shards.extend(origins.into_iter().map(|o| o.shard));
    }
    assert_eq!(shards.len(), 1);
}

pub async fn no_records_have_no_answers(stream: &impl FrameStream) {
    assert_eq!(stream.append(&[]).await, []);
}

pub async fn more_records_than_one_call_takes(stream: &impl FrameStream) {
    let count = 2 * PUT_RECORDS_COUNT_MAX + 3;
    let records: Vec<_> = (0..count)
        .map(|n| record(&format!("lane/{}", n % 9), 5))
        .collect();
    let origins = append_all(stream, &records).await;
    assert_eq!(origins.iter().collect::<BTreeSet<_>>().len(), count);
}

pub async fn more_bytes_than_one_call_takes(stream: &impl FrameStream) {
    let bytes = RECORD_BYTES_MAX - 8;
    let count = PUT_RECORDS_BYTES_MAX / bytes + 2;
    let records: Vec<_> = (0..count)
        .map(|n| record(&format!("lane/{n}"), bytes))
        .collect();
    let origins = append_all(stream, &records).await;
    assert_eq!(origins.iter().collect::<BTreeSet<_>>().len(), count);
}

pub async fn a_record_over_the_limit_is_refused_for_good(stream: &impl FrameStream) {
    let answers = stream
        .append(&[record("lane/0", RECORD_BYTES_MAX + 1)])
        .await;
    assert!(
        matches!(answers[..], [Err(PortError::Fatal(_))]),
        "{answers:?}"
    );
}

pub async fn partition_keys_of_any_script_up_to_256_characters(stream: &impl FrameStream) {
    let longest: String = super::ANY_SCRIPT.chars().cycle().take(256).collect();
    append_all(stream, &[record(&longest, 3), record("ü", 3)]).await;
}

/// Limits of the service that the emulator does not have.
pub async fn other_partition_keys_are_refused_for_good(stream: &impl FrameStream) {
    for refused in ["k".repeat(257), String::new()] {
        let answers = stream.append(&[record(&refused, 3)]).await;
        assert!(
            matches!(answers[..], [Err(PortError::Fatal(_))]),
            "{answers:?}"
        );
    }
}

pub async fn records_are_read_again_from_a_place(stream: &(impl FrameStream + FrameRecords)) {
    let key = unique("key");
    let records: Vec<_> = (0..5).map(|n| record(&key, 10 + n)).collect();
    let origins = append_all(stream, &records).await;
    let shard = &origins[0].shard;
    assert_eq!(stream.shard(&shard.id).as_ref(), Ok(shard));
    for (n, (origin, written)) in origins.iter().zip(&records).enumerate() {
        let read = stream.kept_from(shard, &origin.sequence, 1).await;
        let wanted = vec![(origin.sequence.clone(), written.clone())];
        assert_eq!(read, Ok(wanted), "one from record {n}");
    }
    let all = stream.kept_from(shard, &origins[1].sequence, 1_000).await;
    let all = all.expect("read");
    assert!(all.is_sorted_by_key(|(sequence, _)| sequence.clone()));
    let own = all.into_iter().filter(|(_, r)| r.partition_key == key);
    let own: Vec<_> = own.map(|(_, record)| record).collect();
    assert_eq!(own, records[1..]);
    let gone = stream.shard("shardId-000000009999").expect("a shard's id");
    let elsewhere = stream.kept_from(&gone, &origins[0].sequence, 10).await;
    assert_eq!(elsewhere, Ok(Vec::new()), "a shard that is gone");
}

pub async fn every_shard_that_takes_records_is_listed(stream: &(impl FrameStream + FrameRecords)) {
    let records: Vec<_> = (0..20).map(|n| record(&unique("key"), 10 + n)).collect();
    let origins = append_all(stream, &records).await;
    let listed = stream.listed_shards().await.expect("listed");
    assert!(listed.is_sorted(), "{listed:?}");
    for origin in origins {
        assert!(listed.contains(&origin.shard), "{origin:?} {listed:?}");
    }
}
