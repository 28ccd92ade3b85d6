//! Inclusion proofs over sealed windows.

use crate::common;
use proptest::prelude::*;
use std::sync::LazyLock;
use vernier_archive::files::{Memory, Source};
use vernier_archive::keys::Algorithm;
use vernier_archive::proof::{InclusionProof, prove};
use vernier_archive::reader::Part;
use vernier_archive::seal::Seal;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;

struct Proved {
    memory: Memory,
    seals: Vec<Seal>,
    places: Vec<Place>,
}

fn proved() -> &'static Proved {
    static PROVED: LazyLock<Proved> = LazyLock::new(|| {
        let key = common::key(Algorithm::Ed25519Sha256);
        let (memory, seals) = common::archive(2, 40, &key);
        let mut places = Vec::new();
        for file in &seals[0].files {
            let part = Part::open(memory.open(&file.key).expect("there")).expect("a part");
            part.for_each(|row| {
                places.push(row.place());
                Ok(())
            })
            .expect("reads");
        }
        Proved {
            memory,
            seals,
            places,
        }
    });
    &PROVED
}

#[test]
fn the_proof_of_each_row_shows_that_row() {
    let Proved {
        memory,
        seals,
        places,
    } = proved();
    for (number, place) in places.iter().enumerate() {
        let proof = prove(memory, &seals[0], *place)
            .expect("reads")
            .expect("there");
        assert_eq!(proof.row, number as u64);
        let text = serde_json::to_string(&proof).expect("JSON");
        let proof: InclusionProof = serde_json::from_str(&text).expect("a proof");
        let shown = proof.verify(&seals[0]).expect("it leads to the root");
        assert_eq!(shown.row().expect("a row").place(), *place);
        assert!(proof.verify(&seals[1]).is_err());
    }
}

#[test]
fn what_is_not_in_the_window_has_no_proof() {
    let Proved { memory, seals, .. } = proved();
    let elsewhere = (ReceiptId::from_parts(Millis(1), 0, [1; 8]), 0);
    assert_eq!(prove(memory, &seals[0], elsewhere).expect("reads"), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_tampered_proof_shows_nothing(at in any::<prop::sample::Index>(), change in 0u8..6, step in any::<prop::sample::Index>(), bit in 0usize..256) {
        let Proved { memory, seals, places } = proved();
        let place = places[at.index(places.len())];
        let mut proof = prove(memory, &seals[0], place).expect("reads").expect("there");
        let steps = proof.path.len();
        match change {
            0 => proof.path[step.index(steps)].0[bit / 8] ^= 1 << (bit % 8),
            1 => drop(proof.path.pop()),
            2 => proof.row = (proof.row + 1) % proof.rows,
            3 => proof.rows += 1,
            4 => proof.sequence += 1,
            _ => {
                let mut leaf: Vec<char> = proof.leaf.chars().collect();
                let at = step.index(leaf.len() - 4);
                leaf[at] = if leaf[at] == 'A' { 'B' } else { 'A' };
                proof.leaf = leaf.into_iter().collect();
            }
        }
        prop_assert!(proof.verify(&seals[0]).is_err());
    }
}
