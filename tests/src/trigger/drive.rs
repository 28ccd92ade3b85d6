//! Runs a trigger around a function, all shards at once.

use super::{Answer, Invocation, Trigger};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use std::time::Duration;
use vernier_ledger::ids::Shard;

/// Delivers until nothing is left: every batch that is due goes to `function`, shards side by side;
/// when none is, the clock moves to the next that will be. After each answer `between` may
/// interfere: put records, split shards, rewind.
///
/// The future ends when the trigger has nothing more to deliver.
pub async fn run<F>(trigger: &mut Trigger, function: F, mut between: impl FnMut(&mut Trigger))
where
    F: AsyncFn(&Invocation) -> Answer,
{
    let call = async |invocation: Invocation| -> (Shard, Answer) {
        let answer = function(&invocation).await;
        (invocation.shard, answer)
    };
    let mut under_way = FuturesUnordered::new();
    loop {
        for invocation in trigger.due() {
            under_way.push(call(invocation));
        }
        if let Some((shard, answer)) = under_way.next().await {
            trigger.complete(&shard, &answer);
            between(trigger);
        } else {
            let Some(at) = trigger.due_at() else { return };
            let wait = u64::try_from(at.0 - trigger.stream().now().0).unwrap_or(0);
            trigger.stream().advance(Duration::from_millis(wait));
        }
    }
}
