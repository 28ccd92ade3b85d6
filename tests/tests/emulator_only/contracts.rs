//! Contract tests of the ports on AWS: the bodies that the fakes keep as well.

use aws_sdk_sqs::types::QueueAttributeName;
use uuid::Uuid;
use vernier_aws::{Bucket, KinesisStream, KmsKey, Queue, Table, Topic};
use vernier_ledger::ports::PortError;
use vernier_ledger::work::{Nudge, NudgeQueue};
use vernier_tests::contracts;
use vernier_tests::contracts::work::FarEnd;
use vernier_tests::deployed::variable;

async fn stream() -> KinesisStream {
    KinesisStream::new(
        &vernier_aws::config().await.expect("AWS_CA_BUNDLE is read"),
        variable("VERNIER_STREAM"),
    )
}

async fn table() -> Table {
    Table::new(
        &vernier_aws::config().await.expect("AWS_CA_BUNDLE is read"),
        variable("VERNIER_TABLE"),
    )
}

/// A queue as the stack's is, without the stack's workers at its far end.
struct OwnQueue {
    sqs: aws_sdk_sqs::Client,
    url: String,
    sending: Queue,
}

async fn queue() -> OwnQueue {
    let config = vernier_aws::config().await.expect("AWS_CA_BUNDLE is read");
    let sqs = aws_sdk_sqs::Client::new(&config);
    let name = format!("contract-{}.fifo", Uuid::new_v4().simple());
    let made = sqs
        .create_queue()
        .queue_name(name)
        .attributes(QueueAttributeName::FifoQueue, "true")
        .send()
        .await
        .expect("a queue is made");
    let url = made.queue_url.expect("it has a URL");
    OwnQueue {
        sending: Queue::new(&config, &url),
        sqs,
        url,
    }
}

impl NudgeQueue for OwnQueue {
    async fn send(&self, nudges: &[Nudge]) -> Vec<Result<(), PortError>> {
        self.sending.send(nudges).await
    }
}

impl FarEnd for OwnQueue {
    type Handle = String;

    async fn receive(&self) -> Option<(Nudge, String)> {
        let request = self.sqs.receive_message().queue_url(&self.url);
        let answer = request.max_number_of_messages(1).wait_time_seconds(1);
        let answer = answer.send().await.expect("received");
        let message = answer.messages.unwrap_or_default().pop()?;
        let body = message.body.expect("a body");
        let nudge = serde_json::from_str(&body).expect("a nudge");
        Some((nudge, message.receipt_handle.expect("a handle")))
    }

    async fn delete(&self, handle: String) {
        let request = self.sqs.delete_message().queue_url(&self.url);
        let deleted = request.receipt_handle(handle).send().await;
        deleted.expect("deleted");
    }
}

async fn objects() -> Bucket {
    Bucket::new(
        &vernier_aws::config().await.expect("AWS_CA_BUNDLE is read"),
        variable("VERNIER_BUCKET"),
    )
}

async fn key() -> KmsKey {
    KmsKey::new(
        &vernier_aws::config().await.expect("AWS_CA_BUNDLE is read"),
        variable("VERNIER_SEAL_KEY"),
    )
}

async fn notices() -> Topic {
    Topic::new(
        &vernier_aws::config().await.expect("AWS_CA_BUNDLE is read"),
        variable("VERNIER_TOPIC_ARN"),
    )
}

macro_rules! on_aws {
    ($($subject:ident $module:ident::$name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            contracts::$module::$name(&$subject().await).await;
        }
    )*};
}

vernier_tests::for_each_contract!(on_aws);
