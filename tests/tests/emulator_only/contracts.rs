//! Contract tests of the ports on AWS: the bodies that the fakes keep as well.

use vernier_aws::{Bucket, KinesisStream, KmsKey, Table, Topic};
use vernier_tests::contracts;
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
