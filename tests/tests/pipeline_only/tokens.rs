//! What requests with tokens that nobody has cost: no reads beyond a bound, on every function with an API.

use super::logs::Log;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vernier_ledger::access::{NewToken, UNKNOWN_TOKENS_PER_MINUTE};
use vernier_tests::envelopes::{bytes, events};
use vernier_tests::memory::MemoryWorld;
use vernier_tests::{Answer, Call, World};
use vernier_validation::{Mode, Profile};

/// A route of each function that authenticates.
fn calls() -> [Call; 3] {
    let post = Call::post(bytes(&events(1)));
    [post, Call::get("/me"), Call::get("/windows")]
}

/// Counts the reads of the fakes from now on.
fn counted(world: &MemoryWorld) -> Arc<AtomicUsize> {
    let reads = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&reads);
    world.faults.plan(move |operation, _| {
        if operation == vernier_fakes::Operation::Read {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        None
    });
    reads
}

#[tokio::test]
async fn made_up_tokens_are_refused_without_a_read() {
    let world = MemoryWorld::default();
    let reads = counted(&world);
    for n in 0..100 {
        for call in calls() {
            let answer = world.call(call.token(&format!("vrn_{n}"))).await;
            assert_eq!(answer.status, 401);
        }
    }
    assert_eq!(reads.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn well_formed_tokens_are_looked_up_so_many_times_and_known_ones_always() {
    let world = MemoryWorld::default();
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let log = Log::default();
    let guard = log.begin();
    for call in calls() {
        let known = call.clone().token(&member.secret);
        assert_eq!(world.call(known.clone()).await.status, 200);
        let reads = counted(&world);
        let mut answers: Vec<Answer> = Vec::new();
        for _ in 0..3 * UNKNOWN_TOKENS_PER_MINUTE {
            let secret = NewToken::generate().secret;
            answers.push(world.call(call.clone().token(&secret)).await);
        }
        let looked_up = UNKNOWN_TOKENS_PER_MINUTE as usize;
        let refused: Vec<_> = answers.iter().filter(|a| a.status == 429).collect();
        // A slow machine gets one back while this runs.
        let read = reads.load(Ordering::Relaxed);
        assert!((looked_up..looked_up + 10).contains(&read), "{read}");
        assert_eq!(refused.len(), answers.len() - read);
        let kind = "urn:vernier:problem:too-many-unknown-tokens";
        for answer in refused {
            assert_eq!(answer.json()["type"], kind);
            let seconds: u32 = answer.header("retry-after").parse().expect("a number");
            assert!((1..=60).contains(&seconds), "{seconds}");
        }
        assert_eq!(world.call(known).await.status, 200);
    }
    drop(guard);
    let lines = log.with("unknown tokens not looked up");
    assert!((3..20).contains(&lines.len()), "{lines:?}");
    assert!(
        lines.iter().all(|l| l["refused"].as_u64() >= Some(1)),
        "{lines:?}"
    );
    assert!(!log.text().contains("vrn_"));
}
