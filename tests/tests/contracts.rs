//! Contract tests of the ports, on the fakes; the emulator tier runs the same bodies on AWS.

use vernier_fakes::{
    Faults, MemoryBucket, MemoryKey, MemoryQueue, MemoryStream, MemoryTable, MemoryTopic,
};
use vernier_ledger::time::Millis;
use vernier_tests::contracts;
use vernier_tests::trigger::SimStream;

fn stream() -> MemoryStream {
    MemoryStream::new(2, Faults::default())
}

fn table() -> MemoryTable {
    MemoryTable::default()
}

fn queue() -> MemoryQueue {
    MemoryQueue::default()
}

fn objects() -> MemoryBucket {
    MemoryBucket::default()
}

fn key() -> MemoryKey {
    MemoryKey::new(Faults::default())
}

fn notices() -> MemoryTopic {
    MemoryTopic::default()
}

macro_rules! on_the_fakes {
    ($($subject:ident $module:ident::$name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            contracts::$module::$name(&$subject()).await;
        }
    )*};
}

vernier_tests::for_each_contract!(on_the_fakes);

/// What the service refuses and the emulator does not: the fakes keep to the service.
#[tokio::test]
async fn limits_that_only_the_service_has() {
    contracts::frame_stream::other_partition_keys_are_refused_for_good(&stream()).await;
    contracts::objects::a_longer_key_is_refused_for_good(&objects()).await;
}

/// The trigger's own stream keeps the same promises.
#[tokio::test]
async fn the_simulated_stream_is_a_stream() {
    use contracts::frame_stream as bodies;
    let stream = SimStream::new("frames", 3, Millis(0));
    bodies::every_record_has_an_origin_of_its_own(&stream).await;
    bodies::a_partition_key_has_one_shard(&stream).await;
    bodies::no_records_have_no_answers(&stream).await;
    bodies::more_records_than_one_call_takes(&stream).await;
    bodies::more_bytes_than_one_call_takes(&stream).await;
    bodies::a_record_over_the_limit_is_refused_for_good(&stream).await;
    bodies::partition_keys_of_any_script_up_to_256_characters(&stream).await;
}
