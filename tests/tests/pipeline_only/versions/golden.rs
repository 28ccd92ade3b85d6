//! The golden archives of all versions, in a bucket and behind the API.

use super::{OwnedRow, entry_of, list};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use vernier_archive::files::{Directory, Source as _};
use vernier_archive::proof::InclusionProof;
use vernier_archive::proof4::BlindProof;
use vernier_archive::reader::{Part, Reading};
use vernier_archive::row::{Row, disposition_word};
use vernier_archive::seal::{Seal, SealKind};
use vernier_ledger::access::{Scope, Tenant};
use vernier_ledger::chain::ChainHead;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::event_id::EventId;
use vernier_ledger::ports::Administration;
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;
use vernier_tests::memory::MemoryWorld;
use vernier_tests::{Call, Member, World};

const FROM: &str = "2026-09-01T00:00:00.000Z";
const TO: &str = "2026-09-02T00:00:00.000Z";

/// An archive behind the API, and what a scan of its files finds.
struct Standing {
    world: MemoryWorld,
    member: Member,
    seals: Vec<Seal>,
    /// By the place of each row: the sequence of the seal that sealed it, and the row.
    rows: BTreeMap<Place, (u64, OwnedRow)>,
}

fn folder(version: &str) -> PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/archive/tests/golden");
    golden.join(version)
}

/// The seal with the files that its erasures left.
fn current(seals: &[Seal], sequence: u64) -> Seal {
    let found = seals.iter().find(|seal| seal.sequence == sequence);
    let mut seal = found.expect("a seal").clone();
    for erasure in seals.iter().filter_map(|s| s.statement.as_ref()?.erasure()) {
        for by in erasure.replaces.iter().filter(|by| by.sequence == sequence) {
            let file = seal.files.iter_mut().find(|file| file.sha256 == by.sha256);
            *file.expect("a file") = by.file.clone();
        }
    }
    seal
}

/// Lists read, as the seals' own code does offline.
fn seals_in(source: &Directory) -> Vec<Seal> {
    let entries = source.list("seals/").expect("a folder");
    let read = |key: &str| {
        let bytes = source.read(key, 4_000_000).expect("there");
        let mut seal = Seal::read(&bytes).expect("a seal");
        if let Some(parts) = seal.statement.as_ref().and_then(|s| s.parts()) {
            seal.files = parts.read(source).expect("lists");
        }
        seal
    };
    entries.iter().map(|entry| read(&entry.key)).collect()
}

fn rows_in(source: &Directory, seals: &[Seal]) -> BTreeMap<Place, (u64, OwnedRow)> {
    let mut rows = BTreeMap::new();
    // A window's own files count where they are there: an erasure of the day's alone would be none.
    for kind in [SealKind::Day, SealKind::Backfill, SealKind::Window] {
        for seal in seals.iter().filter(|seal| seal.kind == kind) {
            for file in &current(seals, seal.sequence).files {
                let Ok(bytes) = source.open(&file.key) else {
                    continue;
                };
                let part = Part::open(bytes).expect("a part");
                for group in 0..part.groups() {
                    part.for_each_sealed_by(group, Reading::Whole, |row, by| {
                        let by = by.map_or(seal.sequence, |by| by.seal);
                        rows.insert(row.place(), (by, OwnedRow::of(&row)));
                        Ok(())
                    })
                    .expect("reads");
                }
            }
        }
    }
    rows
}

impl Standing {
    async fn new(version: &str) -> Self {
        let source = Directory::new(folder(version));
        let seals = seals_in(&source);
        let world = MemoryWorld::new(1);
        for entry in source.list("").expect("a folder") {
            let bytes = source.read(&entry.key, 4_000_000).expect("there");
            world.bucket.place(&entry.key, bytes.to_vec());
        }
        let tenant = Tenant::new("school".parse().expect("a tenant's name"), Millis(0));
        assert_eq!(world.table.create_tenant(&tenant).await, Ok(true));
        let member = world.token("school", &Scope::ALL).await;
        let last = seals.last().expect("a seal");
        let mut head = ChainHead::beginning(seals[0].start);
        head.sequence = last.sequence + 1;
        head.last_hash = Some(Fingerprint(last.hash().expect("integers")).hex());
        let closing = seals.iter().filter(|seal| seal.kind.closes());
        head.through = closing.map(|seal| seal.end).max().expect("a window");
        for seal in &seals {
            let replacing = seals.iter().filter(|by| {
                let statement = by.statement.as_ref().and_then(|s| s.erasure());
                let mut replaces = statement.iter().flat_map(|erasure| &erasure.replaces);
                replaces.any(|replaced| replaced.sequence == seal.sequence)
            });
            if seal.kind != SealKind::Erasure {
                let entry = entry_of(seal, replacing.map(|by| by.sequence));
                list(&world.table, &tenant.id, head.clone(), &entry).await;
            }
        }
        let rows = rows_in(&source, &seals);
        Self {
            world,
            member,
            seals,
            rows,
        }
    }

    async fn answer(&self, call: Call) -> (u16, Vec<u8>) {
        let is_of_events = matches!(call.route, "/events" | "/events/{id}");
        let call = call.token(&self.member.secret);
        // What validation found wrong with the golden archives' events is shorter than what it says today.
        let answer = match is_of_events {
            true => self.world.answer(call).await,
            false => self.world.call(call).await,
        };
        (answer.status, answer.body)
    }

    async fn json(&self, call: Call) -> Value {
        let (status, body) = self.answer(call.clone()).await;
        assert_eq!(status, 200, "{call:?}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("JSON")
    }

    /// All events of a query, three a page.
    async fn events(&self, filters: &[(&str, &str)]) -> Vec<Value> {
        let mut call = of_the_day(Call::get("/events")).query("order", "oldest");
        call = call.query("disposition", "all").query("limit", "3");
        for (name, value) in filters {
            call = call.query(name, value);
        }
        let mut found = Vec::new();
        loop {
            let page = self.json(call).await;
            found.extend(page["events"].as_array().expect("a list").clone());
            let Some(cursor) = page["next_cursor"].as_str() else {
                return found;
            };
            call = Call::get("/events")
                .query("cursor", cursor)
                .query("limit", "3");
        }
    }

    /// Whatever is asked for, the rows that pass are shown, in order, whole.
    async fn assert_found(&self, filters: &[(&str, &str)], wanted: impl Fn(&Row<'_>) -> bool) {
        let found = self.events(filters).await;
        let rows = self.rows.values().map(|(_, row)| row.row());
        let rows: Vec<Row<'_>> = rows.filter(|row| wanted(row)).collect();
        assert_eq!(found.len(), rows.len(), "{filters:?}");
        for (view, row) in found.iter().zip(rows) {
            assert_eq!(view["receipt"], row.receipt.to_string(), "{filters:?}");
            assert_eq!(view["index"], row.index);
            assert_eq!(view["disposition"], disposition_word(row.disposition));
            assert_eq!(view["provisional"], false);
            let text = row
                .event
                .map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
            assert_eq!(view["event"], text.unwrap_or(Value::Null));
            let is_erased = row.erased.is_some();
            let fingerprint = (!is_erased).then(|| hex::encode(row.fingerprint));
            assert_eq!(view["fingerprint"].as_str(), fingerprint.as_deref());
            assert_eq!(view["erased"].as_bool().unwrap_or(false), is_erased);
        }
    }

    fn values<'r>(&'r self, of: impl Fn(Row<'r>) -> Option<&'r str>) -> BTreeSet<&'r str> {
        self.rows
            .values()
            .filter_map(|(_, row)| of(row.row()))
            .collect()
    }

    async fn assert_events(&self) {
        self.assert_found(&[], |_| true).await;
        self.assert_found(&[("sensor", "lms")], |row| row.sensor == "lms")
            .await;
        for actor in self.values(|row| row.actor) {
            self.assert_found(&[("actor", actor)], |row| row.actor == Some(actor))
                .await;
        }
        for id in self.values(|row| row.id) {
            let same = |row: &Row<'_>| row.id.map(EventId) == Some(EventId(id));
            self.assert_found(&[("id", id)], same).await;
            self.assert_found(&[("id", &id.to_uppercase())], |row| {
                row.id.map(EventId) == Some(EventId(&id.to_uppercase()))
            })
            .await;
            let one = of_the_day(Call::get("/events/{id}").id(id));
            let occurrences = self
                .rows
                .values()
                .filter(|(_, row)| same(&row.row()))
                .count();
            let shown = self.json(one).await;
            assert_eq!(
                shown["occurrences"].as_array().map(Vec::len),
                Some(occurrences)
            );
        }
        let (status, _) = self
            .answer(of_the_day(Call::get("/events/{id}").id("urn:none")))
            .await;
        assert_eq!(status, 404);
    }

    /// Each stored event that is not erased is proved against its seal; of several with an id one is.
    async fn assert_proofs(&self) {
        let mut proved = 0;
        for id in self.values(|row| row.id) {
            let own: Vec<(u64, Place)> = self
                .rows
                .values()
                .filter(|(_, row)| {
                    let row = row.row();
                    row.disposition == Disposition::Stored && row.id == Some(id)
                })
                .map(|(sequence, row)| (*sequence, row.row().place()))
                .collect();
            let call = of_the_day(Call::get("/events/{id}/proof").id(id));
            if own.is_empty() {
                continue;
            }
            let answer = self.json(call).await;
            let seal = Seal::read(answer["seal"].to_string().as_bytes()).expect("a seal");
            let proof = answer["proof"].clone();
            let place = if seal.statement.is_some() {
                let proof: BlindProof = serde_json::from_value(proof).expect("a proof");
                let shown = proof.verify(&seal).expect("leads to the root");
                assert!(shown.is_whole());
                shown.row().expect("a row").place()
            } else {
                let proof: InclusionProof = serde_json::from_value(proof).expect("a proof");
                let shown = proof.verify(&seal).expect("leads to the root");
                shown.row().expect("a row").place()
            };
            assert!(own.contains(&(seal.sequence, place)), "{id}: {own:?}");
            proved += 1;
        }
        assert!(proved > 0);
    }

    /// The list has every seal of windows and days, and each is answered as it was signed.
    async fn assert_seals(&self) {
        let list = self.json(of_the_day(Call::get("/seals"))).await;
        let listed = list["seals"].as_array().expect("a list").iter();
        let listed: BTreeSet<u64> = listed
            .filter_map(|seal| seal["sequence"].as_u64())
            .collect();
        let own = self
            .seals
            .iter()
            .filter(|seal| seal.kind != SealKind::Erasure);
        assert_eq!(listed, own.map(|seal| seal.sequence).collect());
        for seal in &self.seals {
            let one = Call::get("/seals/{sequence}").id(&seal.sequence.to_string());
            let (status, body) = self.answer(one).await;
            assert_eq!(status, 200);
            assert_eq!(Some(body), self.world.bucket.raw(&seal.key()));
        }
    }

    /// Playbacks read what is stored, or rejected, and not erased; each file's rows lead to its root.
    async fn assert_playbacks(&self) {
        for (source, disposition) in [
            ("archive", Disposition::Stored),
            ("quarantine", Disposition::Rejected),
        ] {
            let request = json!({
                "from": FROM, "to": TO, "source": source, "target": "stream", "dry_run": true,
            });
            let call = Call::post_to("/playbacks", &request);
            let answer = self.world.call(call.token(&self.member.secret)).await;
            let playback = answer.json();
            assert_eq!(
                (answer.status, &playback["state"]),
                (202, &json!("done")),
                "{playback}"
            );
            let progress = &playback["progress"];
            assert_eq!(progress["events"], self.rows.len(), "{playback}");
            assert_eq!(progress["events_passed"], progress["events"], "{playback}");
            let wanted = self.rows.values().filter(|(_, row)| {
                let row = row.row();
                row.disposition == disposition && row.erased.is_none()
            });
            let number = |name: &str| progress[name].as_u64().expect("a number");
            let read = number("events_played") + number("rejected_again");
            assert_eq!(read, wanted.count() as u64, "{playback}");
        }
    }

    /// Reports count what is stored and not erased.
    async fn assert_reports(&self) {
        let call = of_the_day(Call::get("/reports/{report}").id("usage"));
        let report = self.json(call.query("bucket", "day")).await;
        let counted = |row: &Row<'_>| {
            let is_event = row.kind != "entity" && row.erased.is_none();
            is_event && row.disposition == Disposition::Stored
        };
        let wanted = self
            .rows
            .values()
            .filter(|(_, row)| counted(&row.row()))
            .count();
        let buckets = report["buckets"].as_array().expect("a list").iter();
        let by_type = buckets.flat_map(|b| b["events"].as_object().expect("by type").values());
        let events: u64 = by_type.filter_map(Value::as_u64).sum();
        assert_eq!(events, wanted as u64, "{report}");
        let report = self.json(of_the_day(Call::get("/deviations"))).await;
        let rejected = |row: &Row<'_>| row.disposition == Disposition::Rejected;
        let rejected = self
            .rows
            .values()
            .filter(|(_, row)| rejected(&row.row()))
            .count();
        let sum = |name: &str| -> u64 {
            let sensors = report["sensors"].as_array().expect("a list").iter();
            sensors.filter_map(|sensor| sensor[name].as_u64()).sum()
        };
        assert_eq!(sum("events"), self.rows.len() as u64, "{report}");
        assert_eq!(sum("rejected"), rejected as u64, "{report}");
    }
}

fn of_the_day(call: Call) -> Call {
    call.query("from", FROM).query("to", TO)
}

async fn is_read(version: &str) {
    let standing = Standing::new(version).await;
    standing.assert_events().await;
    standing.assert_proofs().await;
    standing.assert_seals().await;
    standing.assert_reports().await;
    standing.assert_playbacks().await;
}

#[tokio::test]
async fn windows_of_version_1_are_read() {
    is_read("v1").await;
}

#[tokio::test]
async fn days_of_version_2_are_read() {
    is_read("v2").await;
}

#[tokio::test]
async fn days_of_version_3_are_read() {
    is_read("v3").await;
}

#[tokio::test]
async fn a_chain_that_goes_on_in_version_4_is_read() {
    is_read("v4").await;
}

#[tokio::test]
async fn a_day_of_version_4_whose_windows_files_are_gone_is_read() {
    is_read("v4-day").await;
}

/// Of what was erased nothing is found by what it said; the ledger's own words about it stay.
#[tokio::test]
async fn an_erased_event_is_found_by_nothing_that_it_said() {
    let standing = Standing::new("v4").await;
    let erased = standing
        .rows
        .values()
        .filter(|(_, row)| row.erased.is_some());
    let (_, erased) = erased
        .max_by_key(|(_, row)| row.row().place())
        .expect("an erased row");
    for route in ["/events/{id}", "/events/{id}/proof"] {
        let call = of_the_day(Call::get(route).id("urn:x:2"));
        let known = standing.values(|row| row.id).contains("urn:x:2");
        let (status, _) = standing.answer(call).await;
        assert_eq!(status == 200, known, "{route}");
    }
    let shown = standing.events(&[]).await;
    let place = |view: &&Value| view["receipt"] == erased.row().receipt.to_string();
    let view = shown
        .iter()
        .filter(place)
        .find(|view| view["erased"] == true);
    let view = view.expect("the ledger's own words stay");
    assert_eq!(
        (&view["event"], &view["fingerprint"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(view["sensor"], "lms");
    // As the API's description has it.
    let call = Call::get("/events").query("from", "2026-09-01T09:45:00.000Z");
    let call = call.query("to", TO).token(&standing.member.secret);
    let answer = standing.world.call(call).await.json();
    let shown = answer["events"].as_array().expect("a list").iter();
    assert_eq!(
        shown.filter(|view| view["erased"] == true).count(),
        1,
        "{answer}"
    );
}

/// Where neither a file nor a list of a seal is what the seal says, nobody is answered.
#[tokio::test]
async fn a_changed_list_is_not_read() {
    let standing = Standing::new("v4").await;
    let lists = standing.world.bucket.keys("lists/");
    assert!(!lists.is_empty());
    for key in lists {
        let mut bytes = standing.world.bucket.raw(&key).expect("listed");
        bytes[20] ^= 1;
        standing.world.bucket.place(&key, bytes);
    }
    let call = of_the_day(Call::get("/events")).query("disposition", "all");
    let (status, _) = standing.answer(call).await;
    assert_eq!(status, 500);
}
