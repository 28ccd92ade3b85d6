//! The documented statements about partial answers (for the pages see documented.rs).

use crate::script::{batches, delivered, failures, numbers, ok};
use serde_json::json;
use vernier_tests::trigger::{Answer, Mapping};

fn partial(bisect: bool) -> Mapping {
    Mapping {
        report_batch_item_failures: true,
        bisect_batch_on_function_error: bisect,
        maximum_retry_attempts: Some(3),
        ..Mapping::default()
    }
}

/// [partial] The lowest failed sequence number is the checkpoint: from it on all is tried again.
#[tokio::test]
async fn the_lowest_failure_is_the_checkpoint() {
    let stream = numbers(6);
    let answer = |_: &[usize], calls| {
        if calls == 0 {
            failures(&stream, &[4, 2, 5])
        } else {
            ok()
        }
    };
    let (_, log) = delivered(&stream, partial(false), answer).await;
    assert_eq!(batches(&log), [&[0, 1, 2, 3, 4, 5][..], &[2, 3, 4, 5]]);
}

/// [partial] With bisecting the batch is split at the checkpoint, and only the rest is tried again.
#[tokio::test]
async fn bisecting_splits_at_the_checkpoint() {
    let stream = numbers(6);
    let answer = |n: &[usize], _: usize| {
        if n.contains(&3) {
            failures(&stream, &[3])
        } else {
            ok()
        }
    };
    let (trigger, log) = delivered(&stream, partial(true), answer).await;
    let expected = [
        &[0, 1, 2, 3, 4, 5][..],
        &[3, 4, 5],
        &[3, 4],
        &[3],
        &[3],
        &[3],
        &[3],
        &[5],
    ];
    let mut seen = batches(&log);
    seen.retain(|b| *b != [4]);
    assert_eq!(seen, expected, "then it is halved until it is alone");
    assert_eq!(trigger.discarded().len(), 1);
}

/// [partial] An empty or missing list, and an empty or missing answer, are successes.
#[tokio::test]
async fn an_answer_without_failures_is_a_success() {
    for value in [
        json!({"batchItemFailures": []}),
        json!({"batchItemFailures": null}),
        json!({}),
        json!(null),
    ] {
        let stream = numbers(3);
        let answer = |_: &[usize], _: usize| Answer::Returned(value.clone());
        let (_, log) = delivered(&stream, partial(false), answer).await;
        assert_eq!(log.len(), 1, "{value}");
    }
}

/// [partial] An identifier that is empty, null or misnamed makes the whole batch fail.
#[tokio::test]
async fn a_bad_identifier_is_a_failure_of_the_batch() {
    for item in [
        json!({"itemIdentifier": ""}),
        json!({"itemIdentifier": null}),
        json!({"id": "1"}),
    ] {
        let stream = numbers(3);
        let answer = |_: &[usize], calls| match calls {
            0 => Answer::Returned(json!({ "batchItemFailures": [item] })),
            _ => ok(),
        };
        let (_, log) = delivered(&stream, partial(false), answer).await;
        assert_eq!(batches(&log), [&[0, 1, 2][..]; 2], "{item}");
    }
}

/// [partial] Unless the mapping asks for partial answers, what the function returns is not looked at.
#[tokio::test]
async fn partial_answers_must_be_asked_for() {
    let stream = numbers(3);
    let answer = |_: &[usize], _: usize| failures(&stream, &[0]);
    let (_, log) = delivered(&stream, Mapping::default(), answer).await;
    assert_eq!(log.len(), 1, "taken for a success");
}
