//! Sealed windows, as whoever copies the bucket's files finds them (invariant 6).

use super::{post, settled};
use crate::envelopes::{bytes, event, events, invalid_event};
use crate::world::{Call, Member, World};
use vernier_archive::files::Memory;
use vernier_archive::keys::PublicKey;
use vernier_archive::proof4::BlindProof;
use vernier_archive::seal::Seal;
use vernier_archive::verify::{Options, Report, verify};
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::tenant_prefix::{SEAL_PREFIX, prefixes_of};
use vernier_validation::{Mode, Profile};

/// The tenant's files and the public keys that its seals name.
async fn copy<W: World>(world: &W, member: &Member) -> (Memory, Vec<PublicKey>) {
    let (memory, mut keys) = (Memory::default(), Vec::new());
    // Seals first: what they name was there before them.
    let tenant = member.tenant.parse().expect("a tenant's name");
    let mut prefixes: Vec<String> = prefixes_of(&tenant).collect();
    prefixes.reverse();
    for prefix in prefixes {
        for key in world.keys(&prefix).await {
            let bytes = world.object(&key).await;
            if prefix.starts_with(SEAL_PREFIX) {
                let seal = Seal::read(&bytes).expect("a seal");
                let name = format!("keys/{}.pem", seal.signature.key);
                let key = PublicKey::read(&world.object(&name).await).expect("a key");
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
            memory.put(key, bytes);
        }
    }
    (memory, keys)
}

/// Waits until so many events are sealed, and checks the files.
///
/// # Panics
/// When they are not in time, or the files cannot be read.
pub async fn sealed<W: World>(world: &W, member: &Member, events: u64) -> Report {
    let deadline = std::time::Instant::now() + W::SEAL_PATIENCE;
    let prefix = format!("seals/tenant={}/", member.tenant);
    loop {
        world.seal().await;
        let mut total = 0;
        for key in world.keys(&prefix).await {
            let seal = Seal::read(&world.object(&key).await).expect("a seal");
            total += seal.counts.total();
        }
        if total >= events {
            break;
        }
        let late = std::time::Instant::now() > deadline;
        assert!(!late, "{total} of {events} events are sealed");
    }
    let (memory, keys) = copy(world, member).await;
    let options = Options {
        all: true,
        ..Options::default()
    };
    verify(&memory, &keys, &options, &|_| {}).expect("reads")
}

/// The API's proof leads to the API's seal, for its own tenant alone.
async fn proofs_hold<W: World>(world: &W, member: &Member, id: &str) {
    let get = |call: Call| world.call(call.token(&member.secret));
    let proof_of = |id: &str| Call::get("/events/{id}/proof").id(id);
    let answer = get(proof_of(id)).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    let body = answer.json();
    let proof: BlindProof = serde_json::from_value(body["proof"].clone()).expect("a proof");
    let sequence = proof.sequence.to_string();
    let answer = get(Call::get("/seals/{sequence}").id(&sequence)).await;
    let seal = Seal::read(&answer.body).expect("the seal's own bytes");
    assert_eq!(body["seal"], answer.json());
    let shown = proof.verify(&seal).expect("leads to the root");
    let row = shown.row().expect("a row");
    assert_eq!(row.id, Some(id));
    assert!(
        proof
            .verify(&Seal {
                sequence: seal.sequence + 1,
                ..seal.clone()
            })
            .is_err()
    );

    let list = get(Call::get("/seals")).await.json();
    let listed = list["seals"].as_array().expect("seals");
    assert!(list["chain"]["seals"].as_u64() >= u64::try_from(listed.len()).ok());
    let hash = hex::encode(seal.hash().expect("integers"));
    let own = listed.iter().find(|s| s["sequence"] == seal.sequence);
    assert_eq!(own.expect("listed")["sha256"], hash);

    assert_eq!(get(proof_of("urn:uuid:none")).await.status, 404);
    let beyond = get(Call::get("/seals/{sequence}").id("999999")).await;
    assert_eq!(beyond.status, 404);
    let stranger = world.tenant(Mode::Strict, Profile::Generic).await;
    let foreign = world.call(proof_of(id).token(&stranger.secret)).await;
    assert_eq!(foreign.status, 404);
}

/// Six events of every kind but one, then more of what is known: all sealed, and sound.
///
/// # Panics
/// When the files say otherwise.
pub async fn what_is_received_is_sealed_and_checks_offline<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let known = event();
    let mut first = events(4);
    first.extend([known.clone(), invalid_event()]);
    let receipt = post(world, &member, bytes(&first)).await;
    settled(world, &member, &receipt).await;
    let report = sealed(world, &member, 6).await;
    assert_eq!(report.findings, []);
    let counts = DispositionCounts {
        stored: 5,
        rejected: 1,
        ..DispositionCounts::default()
    };
    assert_eq!((report.rows, report.counts), (6, counts));

    proofs_hold(world, &member, known["id"].as_str().expect("an id")).await;

    // The same minute again or a later one: a backfill or another window.
    let mut other = known.clone();
    other["eventTime"] = "2026-11-20T10:15:02.000Z".into();
    let receipt = post(world, &member, bytes(&[known, other, event()])).await;
    settled(world, &member, &receipt).await;
    let report = sealed(world, &member, 9).await;
    assert_eq!(report.findings, []);
    let counts = DispositionCounts {
        stored: 6,
        duplicate: 1,
        conflict: 1,
        rejected: 1,
    };
    assert_eq!((report.rows, report.counts), (9, counts));
}
