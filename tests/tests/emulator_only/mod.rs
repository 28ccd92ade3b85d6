//! What only the deployed stack can show: the trigger files through `lambda invoke`, and a
//! sensor that is killed.

mod athena;
mod calls;
mod contracts;
mod drills;
mod signed;
mod verify;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use vernier_aws::Table;
use vernier_ledger::access::{NewToken, Scope, TokenInfo, hash_token};
use vernier_ledger::ports::{Administration, Directory};
use vernier_tests::World;
use vernier_tests::bodies::balanced;
use vernier_tests::deployed::{DeployedWorld, variable};
use vernier_tests::files::{expected_status, files_of, files_secret, name_of, text_of};
use vernier_validation::{Mode, Profile};

/// The token of the trigger files, once per stack.
async fn ensure_files_token(world: &DeployedWorld) {
    let table = Table::new(
        &vernier_aws::config().await.expect("AWS_CA_BUNDLE is read"),
        variable("VERNIER_TABLE"),
    );
    let sha256 = hash_token(&files_secret());
    if table
        .token(&sha256)
        .await
        .expect("the table answers")
        .is_some()
    {
        return;
    }
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let info = TokenInfo {
        token_id: NewToken::generate().token_id,
        tenant: member.tenant.parse().expect("a tenant's name"),
        sensor: "https://school.example/sensors/files".to_owned(),
        scopes: Scope::ALL.to_vec(),
        learner: None,
        label: None,
        created_at: vernier_ledger::clock::now(),
        revoked_at: None,
    };
    table.put_token(&sha256, &info).await.expect("stored");
}

/// `lambda invoke` by its REST path.
fn invoke(function: &str, event: &[u8]) -> (u16, Option<String>, Value) {
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let (status, headers, body) = signed::post("lambda", &path, &[], event);
    let error = headers.get("x-amz-function-error");
    let error = error.and_then(|v| v.to_str().ok()).map(str::to_owned);
    (
        status,
        error,
        serde_json::from_slice(&body).unwrap_or(Value::Null),
    )
}

#[tokio::test]
async fn every_trigger_file_is_taken_by_the_deployed_function() {
    let world = DeployedWorld::from_env().await;
    ensure_files_token(&world).await;
    for function in ["input", "output", "reconcile", "stream"] {
        let deployed = variable(&format!("VERNIER_{}_FUNCTION", function.to_uppercase()));
        for file in files_of(function) {
            let event = text_of(&file).into_bytes();
            let deployed = deployed.clone();
            let (status, error, answer) =
                tokio::task::spawn_blocking(move || invoke(&deployed, &event))
                    .await
                    .expect("the thread ends");
            let shown = file.display();
            assert_eq!((status, error), (200, None), "{shown}: {answer}");
            if let Some(code) = answer.get("statusCode") {
                let expected = expected_status(&name_of(&file));
                assert_eq!(
                    code.as_u64(),
                    Some(u64::from(expected)),
                    "{shown}: {answer}"
                );
            }
        }
    }
}

fn vernier() -> PathBuf {
    std::env::var_os("VERNIER_COMMAND").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/vernier"),
        PathBuf::from,
    )
}

fn lines_of(report: &Path) -> usize {
    std::fs::read_to_string(report).map_or(0, |text| text.lines().count())
}

/// Invariants 1, 2 and 4: SIGKILL in the middle of `vernier send`, three times, then to the end.
#[tokio::test]
async fn a_killed_sensor_that_resumes_loses_nothing() {
    const EVENTS: u64 = 3_000;
    let world = DeployedWorld::from_env().await;
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (semester, report) = (
        folder.path().join("semester"),
        folder.path().join("report.jsonl"),
    );
    let made = Command::new(vernier())
        .args([
            "generate",
            "--seed",
            "11",
            "--envelope-size",
            "20",
            "--events",
            &EVENTS.to_string(),
        ])
        .arg("--out")
        .arg(&semester)
        .output()
        .expect("vernier runs");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let send = || {
        let mut command = Command::new(vernier());
        command
            .arg("send")
            .arg(&semester)
            .arg("--report")
            .arg(&report);
        command
            .env("VERNIER_TOKEN", &member.secret)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let mut kills = 0;
    for goal in [20, 60, 100] {
        let mut child = send().spawn().expect("vernier runs");
        let deadline = Instant::now() + Duration::from_secs(60);
        while lines_of(&report) < goal && Instant::now() < deadline {
            if child.try_wait().expect("waits").is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.kill().expect("kills");
        let killed = !child.wait().expect("ends").success();
        kills += u32::from(killed);
    }
    assert!(kills >= 1, "at least one kill struck in the middle");
    let last = send().status().expect("vernier runs");
    assert!(last.success());

    // What was sent twice because its answer was lost is received twice and stored once.
    let windows = vernier_tests::Call::get("/windows").token(&member.secret);
    let answer = vernier_tests::world::eventually(&world, windows, |a| {
        let sum = vernier_tests::bodies::sums(&a.json());
        sum[0] >= EVENTS && sum[0] == sum[1..].iter().sum::<u64>()
    })
    .await;
    let received = vernier_tests::bodies::sums(&answer.json())[0];
    let [received, stored, duplicate, conflict, rejected] =
        balanced(&world, &member, received).await;
    assert_eq!((stored, conflict, rejected), (EVENTS, 0, 0));
    assert_eq!(duplicate, received - EVENTS);
}
