//! Scripted functions: records are numbers, and each call is logged.

use serde_json::{Value, json};
use std::cell::RefCell;
use vernier_ledger::ids::Shard;
use vernier_ledger::ports::NewRecord;
use vernier_ledger::time::Millis;
use vernier_tests::trigger::{Answer, Invocation, Mapping, SimStream, Trigger, drive};

/// 2026-11-21T08:00:00Z.
pub(crate) const START: Millis = Millis(1_795_248_000_000);

pub(crate) fn stream(shards: u64) -> SimStream {
    SimStream::new("frames", shards, START)
}

/// Puts a number on a stream; the same key goes to the same shard.
pub(crate) fn put(stream: &SimStream, key: &str, number: usize) {
    put_padded(stream, key, number, 0);
}

/// The same with so many bytes behind the number.
pub(crate) fn put_padded(stream: &SimStream, key: &str, number: usize, bytes: usize) {
    let mut data = format!("{number}\n").into_bytes();
    data.resize(data.len() + bytes, b'.');
    stream.put(&NewRecord {
        partition_key: key.to_owned(),
        data,
    });
}

/// One shard with these numbers.
pub(crate) fn numbers(count: usize) -> SimStream {
    let stream = stream(1);
    (0..count).for_each(|n| put(&stream, "k", n));
    stream
}

/// The numbers of a batch.
pub(crate) fn of(invocation: &Invocation) -> Vec<usize> {
    let number = |data: &[u8]| {
        let text = String::from_utf8_lossy(data);
        text.lines()
            .next()
            .and_then(|l| l.parse().ok())
            .expect("a number")
    };
    invocation.records.iter().map(|r| number(&r.data)).collect()
}

/// What a function was called with: shard, numbers, seconds since the start.
pub(crate) type Log = Vec<(Shard, Vec<usize>, i64)>;

/// Delivers everything there is; gives back the calls.
pub(crate) async fn deliver(
    trigger: &mut Trigger,
    answer: impl Fn(&[usize], usize) -> Answer,
) -> Log {
    let log: RefCell<Log> = RefCell::default();
    let stream = trigger.stream().clone();
    let function = async |invocation: &Invocation| {
        let numbers = of(invocation);
        let at = (stream.now().0 - START.0) / 1_000;
        let calls = log.borrow().len();
        log.borrow_mut()
            .push((invocation.shard.clone(), numbers.clone(), at));
        answer(&numbers, calls)
    };
    drive::run(trigger, function, |_| {}).await;
    log.into_inner()
}

/// The numbers of each call.
pub(crate) fn batches(log: &Log) -> Vec<&[usize]> {
    log.iter().map(|(_, numbers, _)| &numbers[..]).collect()
}

pub(crate) async fn delivered(
    stream: &SimStream,
    mapping: Mapping,
    answer: impl Fn(&[usize], usize) -> Answer,
) -> (Trigger, Log) {
    let mut trigger = Trigger::new(stream.clone(), mapping);
    let log = deliver(&mut trigger, answer).await;
    (trigger, log)
}

pub(crate) fn ok() -> Answer {
    Answer::Returned(Value::Null)
}

pub(crate) fn fail_if(failed: bool) -> Answer {
    if failed { Answer::FunctionError } else { ok() }
}

/// A partial answer that names the records with these numbers of a one-shard stream.
pub(crate) fn failures(stream: &SimStream, numbers: &[usize]) -> Answer {
    let shard = &stream.shards()[0];
    let records = stream.range(shard, 0..stream.len(shard));
    let item = |n: &usize| json!({ "itemIdentifier": records[*n].sequence.as_str() });
    Answer::Returned(json!({ "batchItemFailures": numbers.iter().map(item).collect::<Vec<_>>() }))
}
