//! Playbacks over the fakes: results rebuilt from the archive, with crashes, faults, two at once.

use super::ends_within;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::pin::pin;
use vernier_cli::generate::{Params, Semester};
use vernier_fakes::{Fault, Operation};
use vernier_ledger::clock;
use vernier_ledger::ids::TenantId;
use vernier_ledger::playback_job::{PlaybackId, PlaybackJob, PlaybackState};
use vernier_ledger::ports::Playbacks;
use vernier_ledger::results::{Registers, ResultKey};
use vernier_ledger::time::Millis;
use vernier_ledger::work::Nonce;
use vernier_reconcile::playbacks::{act, begin};
use vernier_tests::bodies::post;
use vernier_tests::envelopes::{bytes, event, graded, invalid_event};
use vernier_tests::memory::MemoryWorld;
use vernier_tests::orchestra::play_open;
use vernier_tests::{Answer, Call, Member, World};
use vernier_validation::{Mode, Profile};

type State = BTreeMap<(TenantId, ResultKey), Registers>;

fn last_hour(request: Value) -> Value {
    let now = clock::now();
    let mut all = json!({
        "from": now.plus_seconds(-3600).rfc3339(),
        "to": now.plus_seconds(3600).rfc3339(),
        "target": "results",
    });
    for (name, value) in request.as_object().expect("an object") {
        all[name] = value.clone();
    }
    all
}

async fn start(world: &MemoryWorld, member: &Member, request: Value) -> Value {
    let call = Call::post_to("/playbacks", &last_hour(request)).token(&member.secret);
    let answer = world.call(call).await;
    assert_eq!(answer.status, 202, "{}", answer.json());
    answer.json()
}

fn diff(playback: &Value) -> [u64; 3] {
    ["created", "changed", "same"].map(|n| playback["diff"][n].as_u64().expect("a count"))
}

/// A semester goes the live way, is sealed, and its results are forgotten: played back from the
/// archive they are the same, register by register and cause by cause (invariant 4).
#[tokio::test]
async fn results_rebuilt_from_the_archive_are_the_live_ones() {
    let mut params = Params::new(7, 6_000);
    (params.envelope_events, params.invalid) = (250, 3);
    let semester = Semester::new(params).expect("a semester");
    let bodies: Vec<String> = semester.envelopes().map(|e| e.body).collect();
    let world = MemoryWorld::new(2);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    // Later ones first, and the first one twice.
    for body in bodies.iter().rev().chain(bodies.first()) {
        post(&world, &member, body.clone().into_bytes()).await;
    }
    world.deliver().await.expect("taken");
    let live: State = world.table.all_results();
    assert!(live.len() > 100, "{}", live.len());
    world.seal().await;

    let dry = start(&world, &member, json!({"dry_run": true})).await;
    assert_eq!(dry["state"], "done", "{dry}");
    assert_eq!(diff(&dry), [0, 0, live.len() as u64]);
    world.table.wipe_results();
    let dry = start(&world, &member, json!({"dry_run": true})).await;
    assert_eq!(diff(&dry), [live.len() as u64, 0, 0]);
    assert_eq!(dry["cost"]["write_units"], live.len());
    assert!(dry["diff"]["examples"][0]["learner"].is_string(), "{dry}");
    assert_eq!(
        world.table.all_results(),
        State::new(),
        "nothing is written"
    );

    let played = start(&world, &member, json!({})).await;
    assert_eq!(played["state"], "done", "{played}");
    assert_eq!(world.table.all_results(), live);
    let progress = &played["progress"];
    assert_eq!(progress["events"], progress["events_passed"], "{played}");
    assert_eq!(progress["seals"], progress["seals_done"], "{played}");
    assert_eq!(progress["writes"], live.len());
    let dry = start(&world, &member, json!({"dry_run": true})).await;
    assert_eq!(diff(&dry), [0, 0, live.len() as u64]);
}

/// A small school: so many grades, sealed, their results forgotten.
pub(super) struct Archive {
    pub(super) world: MemoryWorld,
    pub(super) member: Member,
    tenant: TenantId,
    live: State,
    clock: Cell<Millis>,
}

const GRADES: usize = 60;

pub(super) async fn archive() -> Archive {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    for learner in 0..3 {
        let at = |n: usize| format!("2026-11-20T10:{n:02}:00.000Z");
        let grades = (0..GRADES / 3).map(|n| {
            let (who, what) = (format!("l{learner}"), format!("a{}", n % 4));
            graded(&who, &what, n as f64, &at(n))
        });
        let mut events: Vec<Value> = grades.collect();
        events.push(invalid_event());
        post(&world, &member, bytes(&events)).await;
    }
    world.deliver().await.expect("taken");
    world.seal().await;
    let live = world.table.all_results();
    assert_eq!(live.len(), 12);
    world.table.wipe_results();
    Archive {
        world,
        tenant: member.tenant.parse().expect("a tenant's name"),
        member,
        live,
        clock: Cell::new(clock::now()),
    }
}

impl Archive {
    pub(super) async fn begin(&self, request: Value) -> PlaybackId {
        let request = serde_json::from_value(last_hour(request)).expect("a request");
        let now = self.clock.get();
        let job = begin(
            &self.world.table,
            &self.tenant,
            request,
            "t",
            Nonce::random(),
            now,
        )
        .await;
        job.expect("begun").id
    }

    pub(super) async fn job(&self, id: PlaybackId) -> PlaybackJob {
        let job = self.world.table.playback(&self.tenant, id).await;
        job.expect("no faults").expect("it is there")
    }

    /// A run a second later.
    pub(super) async fn run(&self) -> Result<u32, String> {
        self.clock.set(self.clock.get().plus_seconds(1));
        let clock = || self.clock.get();
        let deadline = self.clock.get().plus_seconds(1);
        let played = play_open(&self.world, clock, deadline).await;
        played.map_err(|e| e.to_string())
    }

    pub(super) async fn assert_done(&self, id: PlaybackId, what: &str) {
        let job = self.job(id).await;
        assert_eq!(job.state, PlaybackState::Done, "{what}: {:?}", job.reason);
        assert_eq!(job.progress.events_played, GRADES as u64, "{what}");
        assert_eq!(job.progress.events_passed, job.progress.events, "{what}");
        assert_eq!(self.world.table.all_results(), self.live, "{what}");
    }
}

/// With a rate a job goes on from run to run, no faster than it may.
#[tokio::test]
async fn a_rate_takes_its_runs() {
    let school = archive().await;
    let id = school.begin(json!({"rate": 10})).await;
    for seconds in 1..=6 {
        assert_eq!(school.run().await, Ok(0));
        let played = school.job(id).await.progress.events_played;
        assert_eq!(played, seconds * 10);
    }
    school.run().await.expect("listed");
    school.assert_done(id, "in seven runs").await;
    assert_eq!(school.world.table.open_playbacks().await, Ok(Vec::new()));
}

/// Invariant 4: whichever call fails, before or after its effect, the job comes to its end with
/// every event counted once.
#[tokio::test(start_paused = true)]
async fn a_fault_at_any_call_is_made_good() {
    let mut struck = 0;
    for (operation, fault) in [
        Operation::Read,
        Operation::MergeResult,
        Operation::MovePlayback,
    ]
    .into_iter()
    .flat_map(|op| [(op, Fault::Before), (op, Fault::After)])
    {
        for n in (0..).step_by(3) {
            let school = archive().await;
            let id = school.begin(json!({"rate": 20})).await;
            school
                .world
                .faults
                .plan(move |op, at| (op == operation && at == n).then_some(fault));
            for _ in 0..8 {
                // It may fail: the next run goes on.
                let _ = school.run().await;
            }
            let calls = school.world.faults.calls(operation);
            school.world.faults.clear();
            let what = format!("{operation:?} {n} {fault:?}");
            school.assert_done(id, &what).await;
            if calls <= n {
                break;
            }
            struck += 1;
        }
    }
    assert!(struck > 20, "{struck}");
}

/// Wherever a run dies, the next ones end with the same results.
#[tokio::test]
async fn a_crash_repeats_a_step_at_most() {
    let mut crashes = 0;
    for polls in (1..).step_by(5) {
        let school = archive().await;
        let id = school.begin(json!({"rate": 1_000})).await;
        school.world.faults.interleave(7);
        {
            let mut run = pin!(school.run());
            if ends_within(run.as_mut(), polls) {
                break;
            }
        }
        crashes += 1;
        school.run().await.expect("listed");
        school
            .assert_done(id, &format!("after {polls} polls"))
            .await;
    }
    assert!(crashes > 5, "{crashes}");
}

/// Two runs at once, their calls interleaved in many ways: each event counts once.
#[tokio::test]
async fn two_runs_at_once_do_no_harm() {
    for seed in 1..=20 {
        let school = archive().await;
        let id = school.begin(json!({"rate": 20})).await;
        school.world.faults.interleave(seed);
        for _ in 0..5 {
            let (a, b) = futures::join!(school.run(), school.run());
            assert_eq!((a, b), (Ok(0), Ok(0)), "seed {seed}");
        }
        school.assert_done(id, &format!("seed {seed}")).await;
    }
}

#[tokio::test]
async fn what_is_paused_waits_and_what_is_cancelled_ends() {
    use vernier_ledger::playback_job::PlaybackAction::{Cancel, Pause, Resume};
    let school = archive().await;
    let id = school.begin(json!({"rate": 10})).await;
    let table = &school.world.table;
    school.run().await.expect("listed");
    let paused = act(
        table,
        &school.tenant,
        id,
        Pause,
        Nonce::random(),
        school.clock.get(),
    )
    .await;
    assert_eq!(paused.expect("pauses").state, PlaybackState::Paused);
    for _ in 0..3 {
        school.run().await.expect("listed");
        assert_eq!(school.job(id).await.progress.events_played, 10);
    }
    let resumed = act(
        table,
        &school.tenant,
        id,
        Resume,
        Nonce::random(),
        school.clock.get(),
    )
    .await;
    assert_eq!(resumed.expect("resumes").state, PlaybackState::Queued);
    school.run().await.expect("listed");
    let job = school.job(id).await;
    assert_eq!(
        (job.state, job.progress.events_played),
        (PlaybackState::Running, 20)
    );
    let cancelled = act(
        table,
        &school.tenant,
        id,
        Cancel,
        Nonce::random(),
        school.clock.get(),
    )
    .await;
    assert_eq!(cancelled.expect("ends").state, PlaybackState::Cancelled);
    school.run().await.expect("listed");
    assert_eq!(school.job(id).await.progress.events_played, 20);
    assert!(
        act(
            table,
            &school.tenant,
            id,
            Resume,
            Nonce::random(),
            school.clock.get()
        )
        .await
        .is_err()
    );
}

/// Invariant 6: what is not what its seal says is not played.
#[tokio::test]
async fn a_part_that_is_gone_fails_the_playback_and_is_named() {
    let school = archive().await;
    let id = school.begin(json!({})).await;
    let part = school.world.bucket.keys("archive/").remove(0);
    school.world.bucket.lose(&part);
    school.run().await.expect("listed");
    let job = school.job(id).await;
    assert_eq!(job.state, PlaybackState::Failed);
    assert!(job.reason.expect("a reason").contains(&part));
}

/// Only what is asked for is played: by receipt, and by column.
#[tokio::test]
async fn receipts_and_columns_choose_events() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let grade = |who: &str| graded(who, "quiz", 1.0, "2026-11-20T10:00:00.000Z");
    let receipt = post(&world, &member, bytes(&[grade("jane"), event()])).await;
    post(&world, &member, bytes(&[grade("joe")])).await;
    world.deliver().await.expect("taken");
    world.seal().await;
    let dry = |body: Value| {
        let call = Call::post_to("/playbacks", &body).token(&member.secret);
        let world = &world;
        async move {
            let answer = world.call(call).await.json();
            assert_eq!(answer["state"], "done", "{answer}");
            (answer["progress"]["events_played"].clone(), diff(&answer))
        }
    };
    let of_one = json!({"receipts": [receipt], "target": "results", "dry_run": true});
    assert_eq!(dry(of_one).await, (json!(2), [0, 0, 1]));
    for (filter, played) in [
        (json!({"type": "GradeEvent"}), 2),
        (json!({"type": "GradeEvent", "action": "Viewed"}), 0),
        (json!({"sensor": "https://school.example/sensors/1"}), 3),
    ] {
        let body = last_hour(json!({"filter": filter, "dry_run": true}));
        assert_eq!(dry(body).await.0, json!(played), "{filter}");
    }
}

/// What a dry run found so far is in memory: a run that ended before it begins it again, and after
/// three of them it is given up.
#[tokio::test]
async fn a_dry_run_begins_again_and_is_given_up_in_the_end() {
    let school = archive().await;
    let left_by = |tries: u32| {
        let school = &school;
        async move {
            let id = school.begin(json!({"dry_run": true})).await;
            let mut job = school.job(id).await;
            job = job.moved(PlaybackState::Running, school.clock.get());
            (job.position.row, job.progress.events_played, job.tries) = (40, 40, tries);
            let moved = school.world.table.move_playback(&school.tenant, &job);
            moved.await.expect("moved");
            school.run().await.expect("listed");
            school.job(id).await
        }
    };
    let again = left_by(0).await;
    assert_eq!((again.state, again.tries), (PlaybackState::Done, 1));
    assert_eq!(again.progress.events_played, GRADES as u64);
    let created = again.diff.expect("a diff").created;
    assert_eq!(created, school.live.len() as u64);
    let given_up = left_by(3).await;
    assert_eq!(given_up.state, PlaybackState::Failed);
    assert!(given_up.reason.expect("a reason").contains("shorter range"));
    assert_eq!(school.world.table.all_results(), State::new());
}

fn status(answer: &Answer) -> u16 {
    answer.status
}

/// Requests that ask for nothing, or for what is not theirs.
#[tokio::test]
async fn wrong_requests_are_refused_for_what_is_wrong_with_them() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let other = world.tenant(Mode::Strict, Profile::Generic).await;
    for (body, why) in [
        (json!({}), "target"),
        (json!({"target": "results"}), "/from"),
        (last_hour(json!({"target": "nowhere"})), "nowhere"),
        (last_hour(json!({"filtre": {}})), "filtre"),
        (last_hour(json!({"rate": 0})), "/rate"),
    ] {
        let call = Call::post_to("/playbacks", &body).token(&member.secret);
        let answer = world.call(call).await;
        let detail = answer.json()["detail"].as_str().unwrap_or("").to_owned();
        assert_eq!(answer.status, 400, "{body}");
        assert!(detail.contains(why), "{detail}");
    }
    let mine = start(&world, &member, json!({})).await;
    assert_eq!(mine["state"], "done", "nothing is sealed");
    let id = mine["id"].as_str().expect("an id");
    let at = |route, whose: &Member| Call::get(route).id(id).token(&whose.secret);
    assert_eq!(
        status(&world.call(at("/playbacks/{id}", &member)).await),
        200
    );
    assert_eq!(
        status(&world.call(at("/playbacks/{id}", &other)).await),
        404
    );
    let mut resume = at("/playbacks/{id}/resume", &member);
    resume.method = "POST";
    let answer = world.call(resume.clone()).await;
    assert_eq!(
        (answer.status, answer.json()["detail"].clone()),
        (409, json!("the playback is done"))
    );
    let reader = world
        .token(&member.tenant, &[vernier_ledger::access::Scope::AuditRead])
        .await;
    assert_eq!(status(&world.call(resume.token(&reader.secret)).await), 403);
    let list = world
        .call(Call::get("/playbacks").token(&member.secret))
        .await;
    assert_eq!(list.json()["playbacks"][0]["id"], mine["id"]);
}
