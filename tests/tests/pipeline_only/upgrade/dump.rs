//! Table, bucket and stream in files, one item, object or record a line.

use super::deployment::{Deployment, Sent};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use vernier_fakes::ShardRecords;
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::ports::{Inventory, NewRecord};
use vernier_ledger::time::Millis;

/// One object of the bucket.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct DumpedObject {
    key: String,
    written_at: Millis,
    /// Base64 of its bytes.
    data: String,
}

/// One record that the stream still has.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct DumpedRecord {
    shard: Shard,
    sequence: Sequence,
    partition_key: String,
    /// Base64 of its bytes.
    data: String,
}

/// What the stores of a release held at an instant, and which envelopes it had acknowledged by then.
#[derive(Debug, PartialEq)]
pub(super) struct Dump {
    now: Millis,
    /// Items of the table in DynamoDB's JSON.
    items: Vec<Value>,
    objects: Vec<DumpedObject>,
    records: Vec<DumpedRecord>,
    sent: Vec<Sent>,
}

/// The folder of the dumps that are kept.
pub(super) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn lines_of<T: Serialize>(values: &[T]) -> String {
    let line = |value: &T| serde_json::to_string(value).expect("plain data") + "\n";
    values.iter().map(line).collect()
}

fn read_lines<T: DeserializeOwned>(folder: &Path, name: &str) -> Vec<T> {
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    text.lines().map(read).collect()
}

fn bytes_of(data: &str) -> Vec<u8> {
    STANDARD.decode(data).expect("base64")
}

impl Dump {
    /// Takes everything that the stores hold.
    pub(super) async fn of(deployment: &Deployment) -> Self {
        let bucket = &deployment.bucket;
        let listed = bucket.all_listed("").await.expect("listed");
        let object = |object: vernier_ledger::ports::ListedObject| DumpedObject {
            data: STANDARD.encode(bucket.raw(&object.key).expect("listed")),
            key: object.key,
            written_at: object.written_at,
        };
        let mut records = Vec::new();
        for (shard, of_shard) in deployment.stream.records() {
            records.extend(of_shard.into_iter().map(|(sequence, record)| DumpedRecord {
                shard: shard.clone(),
                sequence,
                partition_key: record.partition_key,
                data: STANDARD.encode(record.data),
            }));
        }
        Self {
            now: deployment.clock.get(),
            items: deployment.stub.items(),
            objects: listed.into_iter().map(object).collect(),
            records,
            sent: deployment.sent.borrow().clone(),
        }
    }

    /// Writes the dump into a folder.
    pub(super) fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("a folder");
        for (name, text) in [
            ("clock.jsonl", lines_of(&[self.now])),
            ("table.jsonl", lines_of(&self.items)),
            ("bucket.jsonl", lines_of(&self.objects)),
            ("stream.jsonl", lines_of(&self.records)),
            ("sent.jsonl", lines_of(&self.sent)),
        ] {
            std::fs::write(folder.join(name), text).expect("written");
        }
    }

    /// Reads the dump of a folder.
    pub(super) fn read(folder: &Path) -> Self {
        let clock: Vec<Millis> = read_lines(folder, "clock.jsonl");
        Self {
            now: clock[0],
            items: read_lines(folder, "table.jsonl"),
            objects: read_lines(folder, "bucket.jsonl"),
            records: read_lines(folder, "stream.jsonl"),
            sent: read_lines(folder, "sent.jsonl"),
        }
    }

    /// Stores that hold it, with processes that have seen nothing yet.
    pub(super) async fn load(self) -> Deployment {
        let deployment = Deployment::new(self.items, self.now).await;
        for object in self.objects {
            deployment.bucket.set_clock(object.written_at);
            deployment.bucket.place(&object.key, bytes_of(&object.data));
        }
        let mut records = ShardRecords::new();
        for record in self.records {
            let of_shard = records.entry(record.shard).or_default();
            let data = bytes_of(&record.data);
            let partition_key = record.partition_key;
            of_shard.push((
                record.sequence,
                NewRecord {
                    partition_key,
                    data,
                },
            ));
        }
        deployment.stream.place(&records);
        deployment.sent.replace(self.sent);
        deployment.set_clock(self.now);
        deployment
    }
}
