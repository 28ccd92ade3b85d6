//! What seals say since version 4: evidence and totals, idle runs, holds, duplicates in other bytes; and a chain of
//! version 1 that goes on in version 4.

use super::sealing::{BEGINNING, HOLD_SECONDS, SETTINGS, School, WORK};
use serde_json::{Value, json};
use vernier_archive::files::{Directory, Source as _};
use vernier_archive::previous::NoPrevious;
use vernier_archive::reader::Part;
use vernier_archive::seal::{
    EnvelopeTotals, FileSet, Seal, SealKind, StatementBody, WindowStatement,
};
use vernier_archive::window::{NoOversize, Plan, Settings, WindowBuilder};
use vernier_fakes::{Fault, Operation};
use vernier_ledger::chain::{ChainHead, HeldWindows};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::frame::{EnvelopeLines, NewLine};
use vernier_ledger::line::Verdict;
use vernier_ledger::live;
use vernier_ledger::ports::{Chains, Objects, Receipts, SealKey};
use vernier_ledger::receipt::{Acknowledgement, Origin};
use vernier_ledger::segment;
use vernier_ledger::time::{Millis, TimeRange, Window};
use vernier_ledger::work::{Cause, Nonce, WorkEntry, WorkKey, WorkLists};
use vernier_tests::envelopes::{bytes, event, event_with_id, events};
use vernier_tests::orchestra::turn_of;

fn statement(seal: &Seal) -> &WindowStatement {
    let statement = seal.statement.as_ref().expect("version 4");
    statement.window().expect("of a window")
}

/// Kinds and how many windows each closes.
fn shape(school: &School) -> Vec<(SealKind, u64)> {
    let windows = |seal: &Seal| match seal.statement.as_ref().map(|s| &s.body) {
        Some(StatementBody::Idle { windows }) => *windows,
        _ => 1,
    };
    school
        .seals()
        .iter()
        .map(|s| (s.kind, windows(s)))
        .collect()
}

fn window(n: i64) -> Window {
    let start = BEGINNING.plus_seconds(60 * n);
    Window {
        start,
        end: start.plus_seconds(60),
    }
}

#[tokio::test]
async fn a_seal_signs_what_was_received_and_the_checkpoint_of_the_shards() {
    let school = School::new().await;
    school.three_windows().await;
    school.seal().await;
    for seal in school.seals() {
        assert_eq!((seal.vernier_seal, seal.kind), (4, SealKind::Window));
        let said = statement(&seal);
        assert_eq!(said.evidence.count(), 1);
        assert_eq!(said.missing, FileSet::EMPTY);
        let totals = &said.totals;
        assert_eq!(totals.received.envelopes, 1);
        assert_eq!(totals.received.events, seal.counts.total());
        assert!(totals.received.bytes > 0);
        assert_eq!(totals.unreceipted, EnvelopeTotals::default());
        let at = seal.statement.as_ref().map(|s| s.checkpoint.at);
        assert!(at >= Some(seal.end), "{at:?}");
    }
    assert_eq!(school.report().findings, []);
}

/// One turn with the checkpoint that there is; how many windows it seals.
async fn turn_without_planner(school: &School) -> u32 {
    let (clock, forever) = (|| school.clock.get(), Millis(i64::MAX));
    let (stores, process, owner) = (&school.stores, &school.process, school.owner());
    let turn = turn_of(stores, process, &WORK, &owner, &clock, forever).await;
    let turn = turn.expect("its list is read");
    assert_eq!((turn.failed, turn.left), (0, 0), "{turn:?}");
    turn.sealed.sealed
}

/// A seal waits for a checkpoint that is as new as its window's end, and does not count as tried.
#[tokio::test]
async fn no_window_is_sealed_without_a_checkpoint_after_its_end() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.deliver().await;
    let table = &school.table;
    school.clock.set(BEGINNING.plus_seconds(95));
    table.place_checkpoint(window(0).end.plus_seconds(-1));
    assert_eq!(turn_without_planner(&school).await, 0);
    assert!(school.bucket.keys("seals/").is_empty());
    let entries = table.work(&school.owner()).await.expect("reads");
    let entry = entries.iter().find(|e| e.key.cause == Cause::Close);
    let entry = entry.expect("it waits");
    assert_eq!((entry.due, entry.tries), (BEGINNING.plus_seconds(155), 0));
    school.pass(60);
    assert_eq!(school.seal().await.sealed, 1);
    school.assert_sealed([2, 0, 0, 0]);
    // Time that goes back takes no later seal with it.
    school.post(&events(1)).await;
    school.deliver().await;
    school.pass(200);
    table.place_checkpoint(BEGINNING.plus_seconds(120));
    assert_eq!(turn_without_planner(&school).await, 0);
    school.pass(60);
    assert!(school.seal().await.sealed > 0);
    school.assert_sealed([3, 0, 0, 0]);
}

/// Invariant 3: an envelope without an answer is unreceipted until its acknowledgement is there, and then in the
/// evidence of the window's next seal.
#[tokio::test]
async fn a_late_acknowledgement_is_evidence_of_the_windows_next_seal() {
    let school = School::new().await;
    let answered = school.post(&events(2)).await;
    let is_ack = |o, _| (o == Operation::Acknowledge).then_some(Fault::Before);
    school.faults.plan(is_ack);
    let unanswered = school.post_refused(&events(3)).await;
    school.faults.clear();
    school.deliver().await;
    school.pass(95);
    assert_eq!(school.seal().await.sealed, 1);
    let totals = statement(&school.seals()[0]).totals;
    let left = (totals.unreceipted.envelopes, totals.unreceipted.events);
    assert_eq!((totals.received.events, left), (2, (1, 3)));
    let table = &school.table;
    let receipt = table.receipt(&school.tenant.id, unanswered).await;
    let receipt = receipt.expect("reads").expect("claimed");
    let placed: Vec<Origin> = receipt.claims.values().map(|c| c.origin.clone()).collect();
    let acknowledgement = Acknowledgement {
        receipt: unanswered,
        tenant: school.tenant.id.clone(),
        sensor: receipt.sensor.clone(),
        body_sha256: [0; 32],
        body_bytes: 77,
        tally: receipt.received(),
        placed,
        expires: Millis(i64::MAX / 2),
    };
    table.acknowledge(&acknowledgement).await.expect("written");
    // By itself it is no seal.
    school.pass(120);
    assert_eq!(school.seal().await.backfills, 0);
    let late = school.post_late(&events(1)).await;
    school.deliver().await;
    school.pass(180);
    assert_eq!(school.seal().await.backfills, 1);
    let seals = school.seals();
    let backfill = seals.iter().find(|s| s.kind == SealKind::Backfill);
    let said = statement(backfill.expect("one"));
    assert_eq!(said.totals.unreceipted, EnvelopeTotals::default());
    assert_eq!(said.totals.received.envelopes, 3);
    assert_eq!(said.totals.sealed.events(), 6);
    let files = said.evidence.inline().expect("few");
    assert_eq!(files[0].rows, 2, "{late} and {unanswered}, not {answered}");
    school.assert_sealed([6, 0, 0, 0]);
}

/// A run is of one day and ends where something was received.
#[tokio::test]
async fn windows_without_anything_are_one_seal_for_each_day() {
    let school = School::new().await;
    school.post(&events(1)).await;
    school.deliver().await;
    // From 09:15 to 10:15 of the next day but one.
    school.pass(49 * 3_600);
    school.post(&events(2)).await;
    school.deliver().await;
    school.pass(120);
    let turn = school.work().await;
    let minutes = 49 * 60 + 1;
    assert_eq!(turn.sealed.sealed, minutes);
    assert_eq!(
        shape(&school),
        [
            (SealKind::Window, 1),
            (SealKind::Idle, 14 * 60 + 44),
            (SealKind::Idle, 24 * 60),
            (SealKind::Idle, 10 * 60 + 15),
            (SealKind::Window, 1),
        ]
    );
    school.assert_sealed([3, 0, 0, 0]);
}

/// What comes late for a window of a run is a backfill of that window alone, and begins its account.
#[tokio::test]
async fn a_backfill_in_an_idle_run_names_its_own_window() {
    let school = School::new().await;
    school.pass(3_600);
    school.post(&events(1)).await;
    school.deliver().await;
    school.pass(120);
    school.work().await;
    assert_eq!(
        shape(&school),
        [(SealKind::Idle, 60), (SealKind::Window, 1)]
    );
    for count in [2, 1] {
        let at = window(30).start.plus_seconds(7);
        school.post_at(at, &events(count)).await;
        school.deliver().await;
        school.pass(240);
        school.work().await;
    }
    let seals = school.seals();
    let backfills = seals.iter().filter(|s| s.kind == SealKind::Backfill);
    let found: Vec<(Window, u64)> = backfills
        .map(|seal| (seal.window(), statement(seal).totals.sealed.stored))
        .collect();
    assert_eq!(found, [(window(30), 2), (window(30), 3)]);
    school.assert_sealed([4, 0, 0, 0]);
}

/// With an entry a window is looked at by itself, however long the entry has to wait.
#[tokio::test]
async fn no_idle_run_goes_over_a_window_with_an_entry() {
    let school = School::new().await;
    let owner = school.owner();
    let key = WorkKey::at(Cause::Close, window(20).start);
    let mut entry = WorkEntry::new(key, BEGINNING.plus_seconds(86_400), Nonce([1; 16]));
    entry.tries = 5;
    let put = school.table.put_work(&owner, &entry).await;
    put.expect("the table takes it");
    school.pass(3_600);
    school.post(&events(1)).await;
    school.deliver().await;
    school.pass(120);
    school.work().await;
    let runs = [
        (SealKind::Idle, 20),
        (SealKind::Window, 1),
        (SealKind::Idle, 39),
        (SealKind::Window, 1),
    ];
    assert_eq!(shape(&school), runs);
    assert_eq!(school.report().findings, []);
}

/// A chain that nothing was received on for a quarter of a year is no wall.
#[tokio::test]
async fn ninety_idle_days_are_ninety_seals() {
    let school = School::new().await;
    school.pass(90 * 86_400);
    school.post(&events(1)).await;
    school.deliver().await;
    school.pass(120);
    school.work().await;
    let seals = school.seals();
    assert_eq!(seals.len(), 92);
    assert_eq!(school.report().findings, []);
}

/// Each seal signs the windows that are open when it is made.
#[tokio::test]
async fn a_held_window_is_a_signed_hold_until_it_is_sealed() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.pass(60);
    school.post(&events(3)).await;
    school.deliver_but(&[0]).await;
    school.pass(HOLD_SECONDS + 120);
    school.work().await;
    let head = school.table.raw_chain(&school.tenant.id).expect("a chain");
    // Nothing before it is closed, so that it is no range between closed ones.
    let ranges = |seal: &Seal| seal.statement.as_ref().map(|s| s.holds.ranges);
    assert_eq!(head.held_count(), 1);
    assert_eq!(ranges(&school.seals()[0]), Some(0));
    let held = school.table.raw_held(&school.tenant.id);
    assert_eq!((held.len(), held[0].window), (1, window(0)));
    let (shard, records) = school.stream.records().into_iter().next().expect("one");
    let brought = school.bring_back(&shard, &records[..1]);
    let brought = brought.await.expect("brought back");
    assert_eq!((brought.played_back, brought.pending), (0, 1), "it is sent");
    school.deliver().await;
    school.pass(3_600);
    school.work().await;
    let head = school.table.raw_chain(&school.tenant.id).expect("a chain");
    assert_eq!(head.held_count(), 0);
    assert!(school.table.raw_held(&school.tenant.id).is_empty());
    school.assert_sealed([5, 0, 0, 0]);
}

/// An envelope of these events, each as its text says.
fn envelope(texts: &[&str]) -> Vec<u8> {
    let body = String::from_utf8(bytes(&[])).expect("JSON");
    let data = format!("\"data\":[{}]", texts.join(","));
    body.replace("\"data\":[]", &data).into_bytes()
}

/// The same event in the spelling of another library: keys in another order, escapes, another form of a number, and its
/// own id in capitals.
fn respelled(text: &str, id: &str) -> String {
    let capitals = format!("urn:uuid:{}", id[9..].to_uppercase());
    let again = text.replace("Zwölf", "Zw\\u00f6lf").replace(id, &capitals);
    let again = again.replace("\"n\":1.5", "\"n\":15e-1");
    let inner = again.strip_prefix('{').expect("an object");
    let (first, rest) = inner.split_once(",\"").expect("members");
    format!(
        "{{\"{},{first}}}",
        rest.strip_suffix('}').expect("an object")
    )
}

/// Invariant 2: in its own window and behind a sealed one, an event in other bytes that mean the same is a duplicate that
/// keeps its text; one that means something else is a conflict. Live answers say the same before.
#[tokio::test]
async fn an_event_in_other_bytes_is_a_duplicate_and_keeps_its_text() {
    let school = School::new().await;
    let id = "urn:uuid:00000000-0000-4000-8000-00000000abcd";
    let mut first = event_with_id(id);
    first["extensions"] = json!({ "n": 1.5, "self": id });
    let text = first.to_string();
    let again = respelled(&text, id);
    let other = again.replace("15e-1", "16e-1");
    assert!(again != text && other != again);
    school
        .post_bytes(&envelope(&[&text, &again, &text, &other]))
        .await;
    school.deliver().await;
    assert_eq!(live_dispositions(&school).await, [1, 2, 1, 0]);
    school.pass(95);
    school.seal().await;
    school.assert_sealed([1, 2, 1, 0]);
    school.post_bytes(&envelope(&[&again, &text, &other])).await;
    school.deliver().await;
    school.pass(200);
    school.work().await;
    school.assert_sealed([1, 4, 2, 0]);
    let mut kept = Vec::new();
    let archive = school.archive();
    for key in school.bucket.keys("exceptions/") {
        let part = Part::open(archive.open(&key).expect("copied")).expect("a part");
        part.for_each(|row| {
            kept.push((row.disposition, row.event.map(str::to_owned)));
            Ok(())
        })
        .expect("reads");
    }
    let duplicates = kept.iter().filter(|row| row.0 == Disposition::Duplicate);
    let texts: Vec<_> = duplicates.map(|row| row.1.as_deref()).collect();
    let with_text = texts.iter().filter(|text| text.is_some());
    assert_eq!((texts.len(), with_text.count()), (4, 2));
    assert!(texts.contains(&Some(&again)));
}

/// How many events live answers take for stored, duplicates, conflicts and rejected.
async fn live_dispositions(school: &School) -> [u64; 4] {
    let range = TimeRange {
        from: BEGINNING,
        to: BEGINNING.plus_seconds(60),
    };
    let (stores, tenant) = (&school.stores, &school.tenant);
    let now = school.clock.get();
    let accounts = vernier_reconcile::counted_accounts(stores, SETTINGS, tenant, range, now).await;
    let counts = accounts.expect("reads")[0].dispositions.expect("counted");
    [
        counts.stored,
        counts.duplicate,
        counts.conflict,
        counts.rejected,
    ]
}

/// Sends an envelope in frames of version 1, whose lines have no salt key, as releases did that sealed in version 1.
async fn post_as_version_1(school: &School, events: &[Value]) {
    let receipt = school.new_receipt(school.clock.get());
    let received_at = receipt.received_at().rfc3339();
    let (mut text, mut lines) = (Vec::new(), Vec::new());
    for (index, event) in (0..).zip(events) {
        let (id, event) = (&event["id"], event.to_string());
        let fingerprint = Fingerprint::of(event.as_bytes());
        let hex = fingerprint.hex();
        let line = format!(
            r#"{{"receipt":"{receipt}","index":{index},"received_at":"{received_at}","sensor":"s","verdict":"accepted","strict":"accepted","kind":"event","id":{id},"fingerprint":"{hex}","event":{event}}}"#
        );
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
        lines.push(NewLine {
            end: text.len(),
            index,
            fingerprint,
            verdict: Verdict::Accepted,
        });
    }
    let lines = EnvelopeLines {
        text,
        lines,
        salt_key: None,
    };
    school.post_lines(receipt, lines).await;
}

/// Seals the lines of a window as releases before version 4 did.
async fn seal_as_version_1(school: &School, head: &ChainHead, of: Window) -> ChainHead {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let plan = Plan {
        tenant: school.tenant.id.clone(),
        window: of,
        kind: SealKind::Window,
        sequence: head.sequence,
    };
    let settings = Settings::new(folder.path(), 1);
    let mut builder = WindowBuilder::new(plan, settings);
    let (table, bucket, now) = (&school.table, &school.bucket, school.clock.get());
    let items = live::items_between(table, &school.tenant.id, of.into(), now).await;
    for live in live::blocks_of(&items.expect("reads"), of.start, of.end) {
        let range = Some((live.block.offset, live.block.bytes));
        let bytes = bucket.get(&live.object, range).await.expect("reads");
        let lines = segment::open_block(&live.block, &bytes.expect("there"));
        builder.push_lines(&lines.expect("sound")).expect("lines");
    }
    let files = folder.path().join("files");
    let written = builder.finish(&NoPrevious, &NoOversize, &Directory::new(&files));
    let written = written.expect("written");
    for file in &written.files {
        let bytes = std::fs::read(files.join(&file.key)).expect("written");
        bucket.put_new(&file.key, bytes, None).await.expect("put");
    }
    let hash = |text| Fingerprint::from_hex(text).expect("a hash").0;
    let previous = head.last_hash.as_deref().map(hash);
    let draft = written.draft(previous, now, school.key.public());
    let message = draft.message().expect("integers");
    let seal = draft.signed(&school.key.sign(&message).await.expect("signs"));
    let bytes = seal.to_bytes().expect("integers");
    bucket.put_new(&seal.key(), bytes, None).await.expect("put");
    let entry = seal.entry().expect("integers");
    let step = head.over(&entry).expect("the next");
    table
        .move_chain(&school.tenant.id, &step)
        .await
        .expect("moved");
    step.head
}

/// A chain of version 1 with a held window goes on in version 4: the window becomes an item and a signed hold; what comes
/// late for a window that version 1 sealed has evidence of all its receipts.
#[tokio::test]
async fn a_chain_of_version_1_goes_on_in_version_4() {
    let school = School::new().await;
    let again = event();
    post_as_version_1(&school, &[again.clone(), event()]).await;
    school.deliver().await;
    school.pass(60);
    school.post(&events(2)).await;
    school.pass(60);
    school.post(&[again, event()]).await;
    school.deliver_but(&[1]).await;
    school.pass(120);
    let head = ChainHead::beginning(window(0).start);
    let head = seal_as_version_1(&school, &head, window(0)).await;
    let past = head.past(window(1));
    let moved = school.table.move_chain(&school.tenant.id, &past).await;
    moved.expect("moved");
    assert!(matches!(past.head.held, HeldWindows::Listed { .. }));

    school.seal().await;
    let head = school.table.raw_chain(&school.tenant.id).expect("a chain");
    assert!(head.has_items());
    let held = school.table.raw_held(&school.tenant.id);
    assert_eq!((held.len(), held[0].window), (1, window(1)));
    let seals = school.seals();
    let versions: Vec<u32> = seals.iter().map(|seal| seal.vernier_seal).collect();
    assert_eq!(versions, [1, 4]);
    let holds = seals[1].statement.as_ref().map(|s| s.holds.ranges);
    assert_eq!((seals[1].counts.duplicate, holds), (1, Some(1)));
    assert_eq!(school.report().findings, []);

    school.recover().await;
    school.post_late(&events(1)).await;
    school.deliver().await;
    school.pass(3_600);
    school.work().await;
    let seals = school.seals();
    let backfill = seals.iter().find(|s| s.kind == SealKind::Backfill);
    let totals = statement(backfill.expect("one")).totals;
    assert_eq!((totals.received.envelopes, totals.sealed.stored), (2, 3));
    assert_eq!(totals.unreceipted, EnvelopeTotals::default());
    let head = school.table.raw_chain(&school.tenant.id).expect("a chain");
    assert_eq!(head.held_count(), 0);
    school.assert_sealed([6, 1, 0, 0]);
}
