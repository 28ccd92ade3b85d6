//! What of a row is public and what is personal, and the leaf of version 4, which says nothing of the personal half
//! to whoever does not have the row's salt (docs/seal.md).

use crate::Fault;
use crate::merkle::Hash;
use crate::row::{Bytes, Row};
use sha2::{Digest as _, Sha256};
use vernier_ledger::digest::{BlindFingerprint, Fingerprint};
use vernier_ledger::disposition::Disposition;
use vernier_ledger::salt::Salt;

/// What a personal hash begins with.
const PERSONAL: [u8; 1] = [0x03];

/// What a leaf of version 4 begins with: one of version 1 begins with `00` or `01`.
pub(crate) const BLIND_LEAF: u8 = 0x04;

/// How rows become leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafForm {
    /// Versions 1 to 3: every column but `event`.
    Plain,
    /// Version 4: the public half, and hashes of everything else.
    Blind,
}

impl LeafForm {
    /// That of a window's or backfill's seal of this version.
    #[must_use]
    pub const fn of_version(version: u32) -> Self {
        if version < crate::seal::SEAL_VERSION_4 {
            Self::Plain
        } else {
            Self::Blind
        }
    }
}

/// What stays of the personal half of an erased row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// What stood for its fingerprint.
    pub blind_fingerprint: BlindFingerprint,
    /// What stood for its personal half.
    pub personal_hash: Hash,
}

impl Erased {
    /// Bytes of the column `erased`.
    pub(crate) const BYTES: usize = 64;

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (blind, personal) = bytes.split_at_mut(32);
        blind.copy_from_slice(&self.blind_fingerprint.0);
        personal.copy_from_slice(&self.personal_hash);
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (blind, personal) = bytes.split_first_chunk()?;
        Some(Self {
            blind_fingerprint: BlindFingerprint(*blind),
            personal_hash: personal.try_into().ok()?,
        })
    }
}

/// What stands for a personal half in the leaf.
pub(crate) fn personal_hash(salt: Option<Salt>, half: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(PERSONAL);
    if let Some(salt) = salt {
        hash.update(salt.0);
    }
    hash.update(half);
    hash.finalize().into()
}

impl<'a> Row<'a> {
    /// What the ledger says of the event by itself: sensor to first.
    pub fn write_public_half(&self, out: &mut Vec<u8>) {
        self.write_how_it_came(out);
    }

    /// What the sensor wrote or was read out of what it wrote, without the text. Of an erased row there is none.
    pub fn write_personal_half(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.has_text()));
        self.write_what_happened(out);
        self.write_findings(out);
    }

    /// Whether the row has a text of its own. All have but duplicates in the bytes of their firsts, so that of every
    /// other row it is known when its text was not read.
    #[must_use]
    pub const fn has_text(&self) -> bool {
        self.event.is_some() || !matches!(self.disposition, Disposition::Duplicate)
    }

    /// What stands for the fingerprint in leaf and digest.
    #[must_use]
    pub fn blind_fingerprint(&self) -> BlindFingerprint {
        match &self.erased {
            Some(erased) => erased.blind_fingerprint,
            None => BlindFingerprint::of(self.salt, &Fingerprint(self.fingerprint)),
        }
    }

    /// What stands for the personal half in the leaf.
    #[must_use]
    pub fn personal_hash(&self) -> Hash {
        if let Some(erased) = &self.erased {
            return erased.personal_hash;
        }
        let mut half = Vec::with_capacity(512);
        self.write_personal_half(&mut half);
        personal_hash(self.salt, &half)
    }

    /// The row's data in the Merkle tree of version 4.
    pub fn write_blind_leaf(&self, out: &mut Vec<u8>) {
        out.push(BLIND_LEAF);
        self.write_public_half(out);
        out.extend_from_slice(&self.blind_fingerprint().0);
        out.extend_from_slice(&self.personal_hash());
    }

    /// The row's data in a tree of this form.
    pub fn write_leaf_in(&self, form: LeafForm, out: &mut Vec<u8>) {
        match form {
            LeafForm::Plain => self.write_leaf(out),
            LeafForm::Blind => self.write_blind_leaf(out),
        }
    }

    /// Reads a public half, and the bytes that follow; what is personal is none.
    ///
    /// # Errors
    /// When the bytes are no such half.
    pub fn read_public_half(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Fault> {
        let mut from = Bytes(bytes);
        let row = from.how_it_came()?;
        Ok((row, from.0))
    }

    /// Reads a personal half into the row; answers whether the row has a text, and the bytes that follow.
    ///
    /// # Errors
    /// When the bytes are no such half.
    pub fn read_personal_half(&mut self, bytes: &'a [u8]) -> Result<(bool, &'a [u8]), Fault> {
        let mut from = Bytes(bytes);
        let has_text = from.flag()?;
        let what = from.what_happened()?;
        self.set_what_happened(what);
        from.findings(self)?;
        Ok((has_text, from.0))
    }

    /// The row as it is after its erasure.
    #[must_use]
    pub fn erase(&self) -> Self {
        Self {
            id: None,
            type_name: None,
            action: None,
            actor: None,
            object: None,
            group: None,
            event_time: None,
            problems: None,
            deviations: None,
            result: None,
            score: None,
            score_maximum: None,
            fingerprint: [0; 32],
            event: None,
            salt: None,
            erased: Some(Erased {
                blind_fingerprint: self.blind_fingerprint(),
                personal_hash: self.personal_hash(),
            }),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::{PartRoot, leaf_hash, root_over_parts};
    use proptest::prelude::*;
    use vernier_ledger::digest::Digest;
    use vernier_ledger::ids::ReceiptId;
    use vernier_ledger::salt::SaltKey;
    use vernier_ledger::time::Millis;

    fn hexadecimal(bytes: &[u8]) -> String {
        hex::encode(bytes)
    }

    /// The row that docs/seal.md shows.
    fn example() -> Row<'static> {
        let received_at = Millis(1_788_255_000_001);
        let key: SaltKey = "AAECAwQFBgcICQoLDA0ODw".parse().expect("a key");
        Row {
            id: Some("urn:uuid:b"),
            type_name: None,
            action: None,
            actor: None,
            object: None,
            group: None,
            event_time: None,
            sensor: "lms",
            kind: "event",
            strict: "accepted",
            receipt: ReceiptId::from_parts(received_at, 0, [7; 8]),
            index: 0,
            received_at,
            disposition: Disposition::Stored,
            first: None,
            problems: None,
            deviations: None,
            result: None,
            score: None,
            score_maximum: None,
            fingerprint: Fingerprint::of(b"{}").0,
            event: Some("{}"),
            salt: Some(key.salt(0)),
            erased: None,
        }
    }

    #[test]
    fn the_examples_bytes_are_those_of_the_page() {
        let row = example();
        let (mut public, mut personal, mut leaf) = (Vec::new(), Vec::new(), Vec::new());
        row.write_public_half(&mut public);
        assert_eq!(
            hexadecimal(&public),
            concat!(
                "000000036c6d73000000056576656e7400000008616363657074656401a05c4d",
                "d5c17700870707070707070000000000000001a05c4dd5c10000000673746f72",
                "656400",
            )
        );
        row.write_personal_half(&mut personal);
        assert_eq!(
            hexadecimal(&personal),
            "01010000000a75726e3a757569643a620000000000000000000000"
        );
        assert_eq!(
            hexadecimal(&row.blind_fingerprint().0),
            "cb5143761f3a36e839236655b71ebd73212d9266633cd4c46385600a8664e58f"
        );
        assert_eq!(
            hexadecimal(&row.personal_hash()),
            "edf0eff467329d38fe102fe6daddf2d519cf5baa91e25cfa50811a716533f64c"
        );
        row.write_blind_leaf(&mut leaf);
        let hash = leaf_hash(&leaf);
        assert_eq!(
            hexadecimal(&hash),
            "74938fbcba2c28513c97215a0663e5371b1073346858be6fec8d89e068f23095"
        );
        let mut digest = Digest::EMPTY;
        digest.add_blind(row.receipt, row.index, &row.blind_fingerprint());
        assert_eq!(
            digest.to_string(),
            "56a2175d71c467107aa165abf03605394afde13cf9fffa85e076bf47a72c8158"
        );
        assert_eq!(
            hexadecimal(&root_over_parts([PartRoot {
                rows: 1,
                root: hash
            }])),
            "59011db21ba0369ef40c71b0ff9d1f386c8dbf5ec749caf559777d42407718eb"
        );
    }

    fn leaf_of(row: &Row<'_>) -> Vec<u8> {
        let mut leaf = Vec::new();
        row.write_blind_leaf(&mut leaf);
        leaf
    }

    /// A change of any value changes the leaf.
    #[test]
    fn every_value_is_in_the_leaf() {
        type Change = fn(&mut Row<'static>);
        let changes: [Change; 22] = [
            |r| r.id = None,
            |r| r.type_name = Some("t"),
            |r| r.action = Some("t"),
            |r| r.actor = Some("t"),
            |r| r.object = Some("t"),
            |r| r.group = Some("t"),
            |r| r.event_time = Some(Millis(0)),
            |r| r.sensor = "lmt",
            |r| r.kind = "domain",
            |r| r.strict = "rejected",
            |r| r.receipt = ReceiptId::from_parts(r.received_at, 0, [8; 8]),
            |r| r.index = 1,
            |r| r.received_at = Millis(1),
            |r| r.disposition = Disposition::Conflict,
            |r| r.first = Some((r.receipt, 0)),
            |r| r.problems = Some("t"),
            |r| r.deviations = Some("t"),
            |r| r.result = Some("t"),
            |r| r.score = Some(0.0),
            |r| r.score_maximum = Some(0.0),
            |r| r.fingerprint[0] ^= 1,
            |r| r.salt = Some(Salt([1; 16])),
        ];
        let mut leaves = vec![leaf_of(&example())];
        for change in changes {
            let mut row = example();
            change(&mut row);
            leaves.push(leaf_of(&row));
        }
        let mut repeat = example();
        repeat.disposition = Disposition::Duplicate;
        leaves.push(leaf_of(&repeat));
        repeat.event = None;
        leaves.push(leaf_of(&repeat));
        let count = leaves.len();
        leaves.sort();
        leaves.dedup();
        assert_eq!(leaves.len(), count);
    }

    #[test]
    fn an_erased_row_keeps_its_leaf_and_its_term() {
        let row = example();
        let erased = row.erase();
        assert_eq!(leaf_of(&erased), leaf_of(&row));
        assert_eq!(erased.blind_fingerprint(), row.blind_fingerprint());
        assert_eq!(erased.erase(), erased);
        assert_eq!((erased.id, erased.event, erased.salt), (None, None, None));
        let bytes = erased.erased.expect("erased").to_bytes();
        assert_eq!(Erased::from_bytes(&bytes), erased.erased);
        assert_eq!(Erased::from_bytes(&bytes[1..]), None);
    }

    #[test]
    fn without_a_salt_the_fingerprint_stands_for_itself() {
        let mut row = example();
        row.salt = None;
        assert_eq!(row.blind_fingerprint().0, row.fingerprint);
        assert_ne!(row.personal_hash(), example().personal_hash());
    }

    proptest! {
        #[test]
        fn halves_come_back(texts in proptest::collection::vec(proptest::option::of("\\PC{0,5}"), 9), time: Option<i64>, score: Option<u32>, rest: Vec<u8>) {
            let row = Row {
                id: texts[0].as_deref(),
                type_name: texts[1].as_deref(),
                action: texts[2].as_deref(),
                actor: texts[3].as_deref(),
                object: texts[4].as_deref(),
                group: texts[5].as_deref(),
                event_time: time.map(Millis),
                problems: texts[6].as_deref(),
                deviations: texts[7].as_deref(),
                result: texts[8].as_deref(),
                score: score.map(f64::from),
                ..example()
            };
            let mut bytes = Vec::new();
            row.write_public_half(&mut bytes);
            row.write_personal_half(&mut bytes);
            let length = bytes.len();
            bytes.extend_from_slice(&rest);
            let read = |bytes| {
                let (mut row, personal) = Row::read_public_half(bytes)?;
                let (has_text, rest) = row.read_personal_half(personal)?;
                Ok::<_, Fault>((row, has_text, rest))
            };
            let (found, has_text, after) = read(&bytes).expect("halves");
            let (event, salt, fingerprint) = (row.event, row.salt, row.fingerprint);
            prop_assert_eq!(Row { event, salt, fingerprint, ..found }, row);
            prop_assert!(has_text);
            prop_assert_eq!(after, &rest[..]);
            for cut in 0..length {
                prop_assert!(read(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn no_bytes_make_reading_halves_panic(bytes: Vec<u8>) {
            if let Ok((mut row, rest)) = Row::read_public_half(&bytes) {
                let _ = row.read_personal_half(rest);
            }
        }
    }
}
