//! A Kinesis stream of one shard: `PutRecords`, `ListShards`, and PUT units.

use super::Counts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What one PUT unit covers, bytes.
const PUT_UNIT_BYTES: u64 = 25 * 1_024;

/// The shard's id.
pub(super) const SHARD_ID: &str = "shardId-000000000000";

/// A record as it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Of 56 digits, as the service's.
    pub sequence: String,
    /// What it was put under.
    pub partition_key: String,
    /// Its data.
    pub data: Vec<u8>,
}

fn sequence(n: usize) -> String {
    format!("4965903382714902566085596925383615710{n:019}")
}

/// Puts all records of a request.
pub(super) fn put_records(
    records: &mut Vec<StoredRecord>,
    last: &mut usize,
    request: &Value,
    counts: &mut Counts,
) -> Option<Value> {
    counts.count("PutRecords", "");
    let mut answers = Vec::new();
    for entry in request["Records"].as_array()? {
        let data = STANDARD.decode(entry["Data"].as_str()?).ok()?;
        let bytes = data.len() as u64;
        counts.records += 1;
        let partition_key = entry["PartitionKey"].as_str()?;
        counts.record_bytes += bytes + partition_key.len() as u64;
        counts.put_units += bytes.div_ceil(PUT_UNIT_BYTES).max(1);
        *last += 1;
        let sequence = sequence(*last);
        answers.push(json!({ "SequenceNumber": sequence, "ShardId": SHARD_ID }));
        records.push(StoredRecord {
            sequence,
            partition_key: partition_key.to_owned(),
            data,
        });
    }
    Some(json!({ "FailedRecordCount": 0, "Records": answers }))
}

/// The stream's one shard.
pub(super) fn list_shards(counts: &mut Counts) -> Value {
    counts.count("ListShards", "");
    let smallest = sequence(0);
    json!({ "Shards": [{
        "ShardId": SHARD_ID,
        "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "1" },
        "SequenceNumberRange": { "StartingSequenceNumber": smallest },
    }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_counted_by_record() {
        let put = |bytes: usize| json!({ "Data": STANDARD.encode(vec![0; bytes]), "PartitionKey": "t/0" });
        let request = json!({ "Records": [put(1), put(25_600), put(25_601)] });
        let (mut records, mut last, mut counts) = (Vec::new(), 0, Counts::default());
        let answer = put_records(&mut records, &mut last, &request, &mut counts);
        let answer = answer.expect("plain");
        assert_eq!((counts.put_units, counts.records), (4, 3));
        assert_eq!(answer["Records"][2]["SequenceNumber"], records[2].sequence);
        assert!(records[1].sequence < records[2].sequence);
        assert_eq!(records[0].sequence.len(), 56);
    }
}
