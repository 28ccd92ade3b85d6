//! Shares of identities: what a window of any size is divided by, so that each share can be decided, sorted and cut
//! into parts by itself.

use crate::limits::SHARES_MAX;
use crate::part_name::share_in;
use crate::row::Row;
use crate::seal::SealedFile;
use vernier_ledger::digest::{Digest, Fingerprint};
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::line::event_key;

/// One of a window's shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    number: u64,
    shares: u64,
}

impl Share {
    /// The only share of a window that is not divided.
    pub const WHOLE: Self = Self {
        number: 0,
        shares: 1,
    };

    /// Share `number`, from 0, of so many; none where there is no such share.
    #[must_use]
    pub fn new(number: u64, shares: u64) -> Option<Self> {
        let is_share = shares <= SHARES_MAX && number < shares;
        is_share.then_some(Self { number, shares })
    }

    /// Which it is, from 0.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// How many there are.
    #[must_use]
    pub const fn shares(&self) -> u64 {
        self.shares
    }

    /// The share whose rows a file of a seal has that is divided by so many ([`crate::seal::Seal::shares`]); none where
    /// the file may have rows of all of them, as those of days and of versions before 4 do.
    #[must_use]
    pub fn of_file(file: &SealedFile, shares: u64) -> Option<Self> {
        Self::new(share_in(&file.key)?, shares)
    }

    /// Whether a row is of this share.
    #[must_use]
    pub fn has(&self, row: &Row<'_>) -> bool {
        self.has_identity(&identity_of(row))
    }

    /// Whether events with this identity are of this share ([`crate::previous::Asked::identity`]).
    #[must_use]
    pub fn has_identity(&self, identity: &[u8; 32]) -> bool {
        share_of(identity, self.shares) == self.number
    }
}

/// The hash of what makes two events one.
pub(crate) fn identity_of(row: &Row<'_>) -> [u8; 32] {
    event_key(row.kind, row.id, &Fingerprint(row.fingerprint).hex())
}

/// The share, of so many, of an event with this identity: the first 8 bytes of the identity's hash as a number, times
/// the number of shares, divided by 2^64.
#[must_use]
pub fn share_of(identity: &[u8; 32], shares: u64) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *identity;
    let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let share = (u128::from(number) * u128::from(shares)) >> u64::BITS;
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// The files of one share of a window, and what their rows come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareWritten {
    /// The share that these files hold.
    pub share: Share,
    /// How its events ended.
    pub counts: DispositionCounts,
    /// The digest over all of them.
    pub digest: Digest,
    /// Its files, `archive/` before `exceptions/`.
    pub files: Vec<SealedFile>,
}

/// All shares of a window together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SharesJoined {
    /// How the window's events ended.
    pub counts: DispositionCounts,
    /// The digest over all of them.
    pub digest: Digest,
    /// The files in the order of the seal: class, share, number.
    pub files: Vec<SealedFile>,
}

impl SharesJoined {
    /// Puts shares together, which are given in the order of their numbers.
    #[must_use]
    pub fn of(shares: Vec<ShareWritten>) -> Self {
        let mut joined = Self::default();
        for share in shares {
            joined.counts.merge(&share.counts);
            joined.digest.merge(&share.digest);
            joined.files.extend(share.files);
        }
        // Stable: shares stay in order, and the parts of one too.
        joined.files.sort_by_key(SealedFile::class);
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::previous::Asked;
    use crate::seal::Hex32;
    use proptest::prelude::*;

    #[test]
    fn there_are_1_to_4096_shares() {
        assert_eq!(Share::new(0, 1), Some(Share::WHOLE));
        assert!(Share::new(4_095, 4_096).is_some());
        for (number, shares) in [(0, 0), (1, 1), (0, 4_097)] {
            assert_eq!(Share::new(number, shares), None);
        }
    }

    #[test]
    fn a_parts_key_tells_its_share_and_a_days_key_none() {
        let file = |key: &str| SealedFile {
            key: key.to_owned(),
            rows: 1,
            bytes: 1,
            sha256: Hex32::NONE,
            merkle_root: Hex32::NONE,
            actors: None,
            ids: None,
        };
        let part =
            file("archive/tenant=a/dt=2026-09-01/hour=09/001788254100000-00030000-ab.parquet");
        assert_eq!(Share::of_file(&part, 4), Share::new(3, 4));
        assert_eq!(Share::of_file(&part, 3), None);
        for key in [
            "archive/tenant=a/dt=2026-09-01/hour=09/001788254100000-0003-ab.parquet",
            "days/archive/tenant=a/dt=2026-09-01/000000000000-0000-ab.parquet",
        ] {
            assert_eq!(Share::of_file(&file(key), 4), None);
        }
    }

    /// Who asks for an event asks for it where sealing puts it, in whatever spelling of its id.
    #[test]
    fn an_event_that_is_asked_for_is_of_its_rows_share() {
        let id = "urn:uuid:0F8E1A2B-3C4D-4E5F-8A9B-0C1D2E3F4A5B";
        let fingerprint = Fingerprint::of(b"{}");
        for (own_id, kind) in [(true, "event"), (false, "entity")] {
            let asked = Asked {
                own_id,
                id: Some(id),
                fingerprint: fingerprint.0,
            };
            let small = id.to_ascii_lowercase();
            let identity = event_key(kind, Some(&small), &fingerprint.hex());
            assert_eq!(asked.identity(), identity, "{kind}");
        }
    }

    proptest! {
        #[test]
        fn every_identity_is_in_one_share(identity: [u8; 32], shares in 1u64..=4_096) {
            prop_assert!(share_of(&identity, shares) < shares);
            prop_assert_eq!(share_of(&identity, 1), 0);
            let ends = [[0; 32], [0xFF; 32]].map(|identity| share_of(&identity, shares));
            prop_assert_eq!(ends, [0, shares - 1]);
        }
    }
}
