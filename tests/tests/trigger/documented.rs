//! The documented statements, one test each, in our words. Pages of the AWS Lambda Developer Guide
//! unless another is named:
//!
//! - [polling] How Lambda processes records from Amazon Kinesis Data Streams
//! - [discarded] Retain discarded batch records for a Kinesis Data Streams event source in Lambda
//! - [partial] Configuring partial batch response with Kinesis Data Streams and Lambda
//! - [parameters] Lambda parameters for Amazon Kinesis Data Streams event source mappings
//! - [resharding] Amazon Kinesis Data Streams Developer Guide: Reshard a stream

use crate::script::{
    START, batches, deliver, delivered, fail_if, numbers, ok, put, put_padded, stream,
};
use aws_lambda_events::kinesis::KinesisEvent;
use serde_json::{Value, json};
use std::time::Duration;
use vernier_ledger::ids::Shard;
use vernier_tests::trigger::event::kinesis_event;
use vernier_tests::trigger::{Answer, Mapping, SimStream, StartingPosition, Trigger};

const HOUR: Duration = Duration::from_secs(3_600);

/// [parameters] Batches of 100, no window, no bisecting, no bound on tries or age.
#[test]
fn the_defaults() {
    let mapping = Mapping::default();
    assert_eq!(
        (mapping.batch_size, mapping.maximum_batching_window_seconds),
        (100, 0)
    );
    assert_eq!(mapping.maximum_retry_attempts, None);
    assert_eq!(mapping.maximum_record_age_seconds, None);
    assert!(!mapping.bisect_batch_on_function_error && !mapping.report_batch_item_failures);
}

/// [polling] A batch comes from one shard; records of a shard come in order, batch by batch.
#[tokio::test]
async fn a_batch_is_of_one_shard_and_in_order() {
    let stream = stream(3);
    (0..50).for_each(|n| put(&stream, &format!("key {}", n % 7), n));
    let mapping = Mapping {
        batch_size: 4,
        ..Mapping::default()
    };
    let (_, log) = delivered(&stream, mapping, |_, _| ok()).await;
    let mut all = Vec::new();
    for shard in stream.shards() {
        let of_shard = log.iter().filter(|(s, _, _)| *s == shard);
        let numbers: Vec<usize> = of_shard.flat_map(|(_, n, _)| n.clone()).collect();
        assert!(numbers.is_sorted(), "{shard}: {numbers:?}");
        all.extend(numbers);
    }
    all.sort_unstable();
    assert!(all.into_iter().eq(0..50));
}

/// [polling] Without a window the function is invoked as soon as there are records, be it one.
#[test]
fn one_record_is_a_batch() {
    let stream = numbers(1);
    let mut trigger = Trigger::new(stream, Mapping::default());
    assert_eq!(trigger.due()[0].records.len(), 1);
}

/// [polling] With a window the batch waits until it is full, or until the window is over.
#[test]
fn a_window_gathers_records() {
    let stream = numbers(2);
    let mapping = Mapping {
        batch_size: 3,
        maximum_batching_window_seconds: 10,
        ..Mapping::default()
    };
    let mut trigger = Trigger::new(stream.clone(), mapping);
    assert!(
        trigger.due().is_empty(),
        "two of three, and the window is young"
    );
    stream.advance(Duration::from_secs(9));
    assert!(trigger.due().is_empty());
    stream.advance(Duration::from_secs(1));
    let due = trigger.due();
    assert_eq!(due[0].records.len(), 2, "the window is over");
    trigger.complete(&due[0].shard, &ok());
    assert!(trigger.due().is_empty());
    (2..5).for_each(|n| put(&stream, "k", n));
    assert_eq!(trigger.due()[0].records.len(), 3, "full: no waiting");
}

/// [polling] A batch ends before its payload is over 6 MB, data counted as base64.
#[tokio::test]
async fn a_payload_has_six_megabytes() {
    let stream = stream(1);
    (0..10).for_each(|n| put_padded(&stream, "k", n, 1_000_000));
    let mapping = Mapping {
        maximum_batching_window_seconds: 300,
        ..Mapping::default()
    };
    let (_, log) = delivered(&stream, mapping, |_, _| ok()).await;
    assert_eq!(batches(&log), [&[0, 1, 2, 3][..], &[4, 5, 6, 7], &[8, 9]]);
    let shard = &stream.shards()[0];
    let event = kinesis_event(shard, &stream.range(shard, 0..4)).to_string();
    assert!(
        (5_000_000..6 * 1_024 * 1_024).contains(&event.len()),
        "{}",
        event.len()
    );
    assert_eq!(log[0].2, 0, "a batch that can hold no more does not wait");
}

/// [polling] One batch of a shard at a time (ParallelizationFactor 1), shards side by side.
#[test]
fn shards_go_side_by_side_and_each_batch_by_batch() {
    let stream = stream(2);
    (0..40).for_each(|n| put(&stream, &format!("key {n}"), n));
    let mapping = Mapping {
        batch_size: 2,
        ..Mapping::default()
    };
    let mut trigger = Trigger::new(stream, mapping);
    let first = trigger.due();
    assert_eq!(first.len(), 2);
    assert!(trigger.due().is_empty(), "both are under way");
    trigger.complete(&first[1].shard, &ok());
    let next = trigger.due();
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].shard, first[1].shard);
}

/// [discarded] A failing batch holds up its shard, and only that.
#[tokio::test]
async fn a_failing_batch_holds_up_its_shard_alone() {
    let stream = stream(2);
    (0..20).for_each(|n| put(&stream, &format!("key {n}"), n));
    let bad = {
        let shard = &stream.shards()[0];
        let first = stream.range(shard, 0..1);
        String::from_utf8_lossy(&first[0].data)
            .trim()
            .parse::<usize>()
            .expect("a number")
    };
    let mapping = Mapping {
        batch_size: 1,
        ..Mapping::default()
    };
    let (trigger, log) = delivered(&stream, mapping, |n, calls| {
        fail_if(n == [bad] && calls < 60)
    })
    .await;
    let until_it_worked = log
        .iter()
        .rposition(|(_, n, _)| n[..] == [bad])
        .expect("tried");
    let of = |shard: &Shard, log: &[(Shard, Vec<usize>, i64)]| {
        log.iter()
            .filter(|(s, _, _)| s == shard)
            .map(|(_, n, _)| n[0])
            .collect::<Vec<_>>()
    };
    let (blocked, free) = (&stream.shards()[0], &stream.shards()[1]);
    assert!(
        of(blocked, &log[..until_it_worked])
            .iter()
            .all(|n| *n == bad)
    );
    assert_eq!(of(free, &log[..until_it_worked]).len(), stream.len(free));
    assert_eq!(
        of(blocked, &log[until_it_worked..]).len(),
        stream.len(blocked)
    );
    assert_eq!(trigger.counts().discarded, 0);
}

/// [discarded], [parameters] With -1 a batch is tried again until its records leave the stream.
#[tokio::test]
async fn without_a_bound_a_batch_is_tried_until_its_records_expire() {
    let stream = numbers(3);
    let (trigger, log) = delivered(&stream, Mapping::default(), |_, _| Answer::FunctionError).await;
    let last = log.last().expect("tried").2;
    assert!((23 * 3_600..=24 * 3_600).contains(&last), "after {last} s");
    let counts = trigger.counts();
    assert_eq!((counts.expired, counts.discarded), (3, 0));
    assert_eq!(trigger.discarded().len(), 0);
}

/// [discarded], [parameters] Retries are tries after the first; then the batch is given up and the
/// next one comes.
#[tokio::test]
async fn retries_come_after_the_first_try() {
    for retries in [0, 1, 5] {
        let stream = numbers(4);
        let mapping = Mapping {
            batch_size: 2,
            maximum_retry_attempts: Some(retries),
            ..Mapping::default()
        };
        let (trigger, log) = delivered(&stream, mapping, |n, _| fail_if(n[0] == 0)).await;
        let mut expected = vec![&[0, 1][..]; retries as usize + 1];
        expected.push(&[2, 3]);
        assert_eq!(batches(&log), expected);
        let [discarded] = trigger.discarded() else {
            panic!("one batch is given up")
        };
        let context = &discarded.record["requestContext"];
        assert_eq!(context["condition"], "RetryAttemptsExhausted");
        assert_eq!(context["approximateInvokeCount"], retries + 1);
    }
}

/// [discarded] Bisecting splits a failed batch in two and tries the halves one after the other, so
/// that a bad record ends alone; splitting uses up no retry.
#[tokio::test]
async fn bisecting_isolates_a_record_and_uses_up_no_retry() {
    let stream = numbers(8);
    let mapping = Mapping {
        bisect_batch_on_function_error: true,
        maximum_retry_attempts: Some(1),
        ..Mapping::default()
    };
    let (trigger, log) = delivered(&stream, mapping, |n, _| fail_if(n.contains(&5))).await;
    let expected = [
        &[0, 1, 2, 3, 4, 5, 6, 7][..],
        &[0, 1, 2, 3],
        &[4, 5, 6, 7],
        &[4, 5],
        &[4],
        &[5],
        &[5],
        &[6, 7],
    ];
    assert_eq!(batches(&log), expected);
    assert_eq!(trigger.counts().bisections, 3);
    let [discarded] = trigger.discarded() else {
        panic!("one record is given up")
    };
    assert_eq!(discarded.record["KinesisBatchInfo"]["batchSize"], 1);
}

/// [discarded], [parameters] A record over the maximum age is not sent; younger ones of its batch
/// are.
#[tokio::test]
async fn records_over_the_maximum_age_are_not_sent() {
    let stream = numbers(2);
    stream.advance(Duration::from_secs(61));
    put(&stream, "k", 2);
    let mapping = Mapping {
        maximum_record_age_seconds: Some(60),
        ..Mapping::default()
    };
    let (trigger, log) = delivered(&stream, mapping, |_, _| ok()).await;
    assert_eq!(batches(&log), [&[2][..]]);
    let [discarded] = trigger.discarded() else {
        panic!("given up")
    };
    assert_eq!(
        discarded.record["requestContext"]["condition"],
        "RecordAgeExceeded"
    );
    assert_eq!(
        discarded.record["requestContext"]["approximateInvokeCount"],
        0
    );
    assert_eq!(discarded.record["KinesisBatchInfo"]["batchSize"], 2);
}

/// [discarded] Tries end when the maximum age is reached, whatever retries are left.
#[tokio::test]
async fn the_maximum_age_ends_retries() {
    let stream = numbers(2);
    let mapping = Mapping {
        maximum_record_age_seconds: Some(120),
        ..Mapping::default()
    };
    let (trigger, log) = delivered(&stream, mapping, |_, _| Answer::FunctionError).await;
    assert!(
        log.len() > 3 && log.iter().all(|(_, _, at)| *at <= 120),
        "{log:?}"
    );
    assert_eq!(trigger.discarded().len(), 1);
}

/// [discarded] When the function cannot be invoked (throttled), tries go on until the records are
/// too old; they are no retries.
#[tokio::test]
async fn a_throttled_function_uses_up_no_retry() {
    let stream = numbers(2);
    let mapping = Mapping {
        maximum_retry_attempts: Some(0),
        bisect_batch_on_function_error: true,
        ..Mapping::default()
    };
    let answer = |_: &[usize], calls| if calls < 9 { Answer::NotInvoked } else { ok() };
    let (trigger, log) = delivered(&stream, mapping, answer).await;
    assert_eq!(batches(&log), vec![&[0, 1][..]; 10], "whole, ten times");
    assert_eq!(trigger.discarded().len(), 0);

    let stream = numbers(2);
    let mapping = Mapping {
        maximum_record_age_seconds: Some(60),
        ..mapping
    };
    let (trigger, _) = delivered(&stream, mapping, |_, _| Answer::NotInvoked).await;
    assert_eq!(trigger.discarded().len(), 1);
}

/// [discarded] At an S3 destination lies a JSON document with the invocation's metadata and, as
/// text, the whole event; its key holds mapping, shard, date, time and a random UUID.
#[tokio::test]
async fn the_destination_is_given_the_whole_event() {
    let stream = numbers(3);
    stream.advance(HOUR * 3 + Duration::from_secs(7));
    let mapping = Mapping {
        maximum_retry_attempts: Some(0),
        ..Mapping::default()
    };
    let (trigger, _) = delivered(&stream, mapping, |_, _| Answer::FunctionError).await;
    let [discarded] = trigger.discarded() else {
        panic!("given up")
    };
    let (key, uuid) = discarded.key.split_at(discarded.key.len() - 36);
    let head = format!(
        "aws/lambda/{}",
        vernier_tests::trigger::destination::MAPPING_ID
    );
    assert_eq!(
        key,
        format!("{head}/shardId-000000000000/2026/11/21/2026-11-21T11.00.07-")
    );
    assert!(uuid.parse::<uuid::Uuid>().is_ok(), "{uuid}");

    let shard = &stream.shards()[0];
    let records = stream.range(shard, 0..3);
    let record = &discarded.record;
    let batch = json!({
        "shardId": "shardId-000000000000",
        "startSequenceNumber": records[0].sequence.as_str(),
        "endSequenceNumber": records[2].sequence.as_str(),
        "approximateArrivalOfFirstRecord": "2026-11-21T08:00:00.000Z",
        "approximateArrivalOfLastRecord": "2026-11-21T08:00:00.000Z",
        "batchSize": 3,
        "streamArn": "arn:aws:kinesis:us-east-1:000000000000:stream/frames",
    });
    assert_eq!(record["KinesisBatchInfo"], batch);
    assert_eq!(record["version"], "1.0");
    assert_eq!(record["timestamp"], "2026-11-21T11:00:07.000Z");
    assert_eq!(record["responseContext"]["functionError"], "Unhandled");
    let payload: Value =
        serde_json::from_str(record["payload"].as_str().expect("text")).expect("JSON");
    assert_eq!(payload, kinesis_event(shard, &records));
}

/// [polling] The event has the records' data as base64, their sequence numbers, partition keys and
/// arrival times, and names shard and stream.
#[test]
fn the_event_is_what_functions_expect() {
    let stream = stream(1);
    put(&stream, "schlüssel", 7);
    let shard = &stream.shards()[0];
    let records = stream.range(shard, 0..1);
    let event: KinesisEvent =
        serde_json::from_value(kinesis_event(shard, &records)).expect("a Kinesis event");
    let record = &event.records[0];
    assert_eq!(record.kinesis.data.0, b"7\n");
    assert_eq!(record.kinesis.partition_key, "schlüssel");
    assert_eq!(record.kinesis.sequence_number, records[0].sequence.as_str());
    assert_eq!(
        record
            .kinesis
            .approximate_arrival_timestamp
            .timestamp_millis(),
        START.0
    );
    let id = format!("shardId-000000000000:{}", records[0].sequence);
    assert_eq!(record.event_id.as_deref(), Some(id.as_str()));
    let arn = record.event_source_arn.as_deref();
    assert_eq!(
        arn,
        Some("arn:aws:kinesis:us-east-1:000000000000:stream/frames")
    );
}

/// [parameters] A mapping starts at the oldest record or after the newest.
#[tokio::test]
async fn the_starting_position() {
    for (starting_position, expected) in [
        (StartingPosition::TrimHorizon, &[0, 1, 2][..]),
        (StartingPosition::Latest, &[2]),
    ] {
        let stream = numbers(2);
        let mapping = Mapping {
            starting_position,
            ..Mapping::default()
        };
        let mut trigger = Trigger::new(stream.clone(), mapping);
        put(&stream, "k", 2);
        let log = deliver(&mut trigger, |_, _| ok()).await;
        assert_eq!(batches(&log), [expected]);
    }
}

/// Where each shard's first and last call stand in the log.
fn span(log: &[(Shard, Vec<usize>, i64)], shard: &Shard) -> (usize, usize) {
    let of = |(s, _, _): &&(Shard, Vec<usize>, i64)| s == shard;
    let at = |n: Option<usize>| n.expect("the shard was read");
    let first = log.iter().position(|l| of(&l));
    (at(first), at(log.iter().rposition(|l| of(&l))))
}

fn put_many(stream: &SimStream, numbers: std::ops::Range<usize>) {
    numbers.for_each(|n| put(stream, &format!("key {n}"), n));
}

/// [resharding] A split or merge closes the parents; what follows goes to the children, and these
/// are read after their parents' end, also where the parent's batch fails for long.
#[tokio::test]
async fn children_are_read_after_their_parents() {
    let stream = stream(1);
    put_many(&stream, 0..20);
    let parent = stream.shards()[0].clone();
    stream.split(&parent);
    put_many(&stream, 20..60);
    let [low, high] = stream.open_shards().try_into().expect("two children");
    stream.merge(&low, &high);
    put_many(&stream, 60..80);
    let merged = stream.open_shards()[0].clone();
    assert_eq!(stream.len(&parent), 20, "a closed shard takes nothing");
    assert_eq!(stream.parents(&merged), [low.clone(), high.clone()]);

    let mapping = Mapping {
        batch_size: 3,
        ..Mapping::default()
    };
    let (_, log) = delivered(&stream, mapping, |n, calls| {
        fail_if((n.contains(&19) && calls < 20) || (n.contains(&59) && calls < 50))
    })
    .await;
    for (parent, child) in [
        (&parent, &low),
        (&parent, &high),
        (&low, &merged),
        (&high, &merged),
    ] {
        assert!(
            span(&log, parent).1 < span(&log, child).0,
            "{parent} before {child}"
        );
    }
    let mut all: Vec<usize> = log.iter().flat_map(|(_, n, _)| n.clone()).collect();
    all.sort_unstable();
    all.dedup();
    assert!(all.into_iter().eq(0..80));
}

/// [resharding] Children that come after the mapping are read from their beginning, wherever the
/// mapping started.
#[tokio::test]
async fn later_children_are_read_from_their_beginning() {
    let stream = numbers(5);
    let mapping = Mapping {
        starting_position: StartingPosition::Latest,
        ..Mapping::default()
    };
    let mut trigger = Trigger::new(stream.clone(), mapping);
    stream.split(&stream.shards()[0]);
    put_many(&stream, 5..25);
    let log = deliver(&mut trigger, |_, _| ok()).await;
    let mut all: Vec<usize> = log.iter().flat_map(|(_, n, _)| n.clone()).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(5..25));
}

/// [polling] Each record comes at least once: what succeeded may come again, and with other bounds.
#[tokio::test]
async fn what_succeeded_may_come_again() {
    let stream = numbers(7);
    let mapping = Mapping {
        batch_size: 3,
        ..Mapping::default()
    };
    let mut trigger = Trigger::new(stream.clone(), mapping);
    let first = deliver(&mut trigger, |_, _| ok()).await;
    trigger.rewind(&stream.shards()[0], 5);
    let again = deliver(&mut trigger, |_, _| ok()).await;
    assert_eq!(batches(&first), [&[0, 1, 2][..], &[3, 4, 5], &[6]]);
    assert_eq!(batches(&again), [&[2, 3, 4][..], &[5, 6]]);
    assert_eq!(trigger.counts().rewinds, 1);
}
