//! `vernier verify s3://…` on the stack's bucket: sound, and with a file changed and one missing.

use super::athena::put_golden_archive;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use uuid::Uuid;
use vernier_aws::Bucket;
use vernier_ledger::ports::{Inventory as _, Objects as _, Removal as _};
use vernier_tests::deployed::variable;

/// The exit code, and the report.
fn verify(prefix: &str) -> (Option<i32>, Value) {
    let key = Path::new(env!("CARGO_MANIFEST_DIR"));
    let key = key.join("../shared/archive/tests/golden/v2/key.pem");
    let ran = Command::new(variable("VERNIER_COMMAND"))
        .arg("verify")
        .arg(format!("s3://{}/{prefix}", variable("VERNIER_BUCKET")))
        .arg("--key")
        .arg(key)
        .args(["--format", "json", "--all"])
        .output()
        .expect("the command is built");
    let report = serde_json::from_slice(&ran.stdout);
    let report = report.unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    (ran.status.code(), report)
}

#[tokio::test]
async fn an_archive_in_the_bucket_is_checked_where_it_lies() {
    let prefix = format!("quarantine/copies/{}/", Uuid::new_v4().simple());
    put_golden_archive("v2", &prefix, &["parquet", "json"]).await;
    let (code, report) = verify(&prefix);
    assert_eq!(
        (code, &report["sound"]),
        (Some(0), &true.into()),
        "{report}"
    );
    assert_eq!(report["rows"], 6);

    let bucket = Bucket::new(
        &vernier_aws::config().await.expect("AWS_CA_BUNDLE is read"),
        variable("VERNIER_BUCKET"),
    );
    let files = bucket.listed(&format!("{prefix}days/archive/"), None).await;
    let file = files.expect("listed").remove(0).key;
    let mut bytes = bucket.get(&file, None).await.expect("read").expect("there");
    bytes[100] ^= 1;
    bucket.remove(&file).await.expect("removed");
    let (code, report) = verify(&prefix);
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(report["findings"][0]["check"], "file_missing");
    bucket.put_new(&file, bytes, None).await.expect("stored");
    let (code, report) = verify(&prefix);
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(report["findings"][0]["check"], "file_changed");
    let own = file.strip_prefix(&prefix).expect("below it");
    assert_eq!(report["findings"][0]["file"], own);
}
