//! The real stream handler as the trigger's function, in the test's own process.

use super::event::kinesis_event;
use super::{Answer, Invocation};
use crate::memory::stream_memory;
use lambda_runtime::{Context as Invoked, LambdaEvent};
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use vernier_ledger::metrics::Metrics;
use vernier_ledger::ports::Objects;
use vernier_ledger::stores::{LedgerTable, StoreSet, Stores};
use vernier_stream::context::Context;
use vernier_stream::{Settings, handler};

/// A context over these stores, whose metrics nobody reads.
pub fn context<T: LedgerTable, O: Objects>(table: T, objects: O) -> Context<StoreSet<T, O>> {
    Context {
        stores: StoreSet::new(table, objects),
        settings: Settings::keeping(90),
        memory: stream_memory(15, 300),
        metrics: Metrics::to(Metrics::NAMESPACE.to_owned(), |_| {}),
    }
}

/// Calls the handler with the event of a batch and 20 seconds to its deadline.
///
/// # Panics
/// When the event cannot be read as one.
pub async fn invoke<S: Stores>(context: &Context<S>, invocation: &Invocation) -> Answer {
    let event = kinesis_event(&invocation.shard, &invocation.records);
    // Through text, as between service and function.
    let event = serde_json::from_str(&event.to_string()).expect("a Kinesis event");
    let deadline = SystemTime::now() + Duration::from_secs(20);
    let since = deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut invoked = Invoked::default();
    invoked.deadline = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    match handler::handle(context, LambdaEvent::new(event, invoked)).await {
        Ok(()) => Answer::Returned(Value::Null),
        Err(_) => Answer::FunctionError,
    }
}
