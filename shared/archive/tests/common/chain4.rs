//! Chains of version 4, made as sealing will make them.

use super::{settings, tenant};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use vernier_archive::account::{ErasedPlace, Evidence, Missing, MissingCause, write_rows};
use vernier_archive::columns::Layout;
use vernier_archive::day4::BlindDayBuilder;
use vernier_archive::erase::erase_rows;
use vernier_archive::files::{Memory, Source as _};
use vernier_archive::holds::ClosedTimes;
use vernier_archive::keys::{KeyFile, Signer as _};
use vernier_archive::part::{RowOrder, window_to_bytes};
use vernier_archive::previous::NoPrevious;
use vernier_archive::reader::{Part, Reading};
use vernier_archive::row::Row;
use vernier_archive::seal::{
    EnvelopeTotals, ErasureStatement, FileSet, PartClass, ReceivedTotals, Replacement, Seal,
    SealKind, SealedFile, SealedTotals, SetWriter, SharePlace, Shortfall, ShortfallCause,
    Statement, StatementBody, Totals, Unsealed, WindowStatement, part_key, share_key,
};
use vernier_archive::share::{Share, SharesJoined};
use vernier_archive::verify::{Options, Report, verify};
use vernier_archive::window::{NoOversize, Plan, WindowBuilder};
use vernier_ledger::canonical::Meaning;
use vernier_ledger::chain::day_of;
use vernier_ledger::checkpoint::CheckpointMark;
use vernier_ledger::digest::{Digest, Fingerprint};
use vernier_ledger::disposition::{Disposition, DispositionCounts};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::segment::Place;
use vernier_ledger::time::{Millis, Window};

/// The key of docs/seal.md's example.
pub(crate) const SALT_KEY: &str = "AAECAwQFBgcICQoLDA0ODw";

/// An event on its way into a window.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// When its envelope was received, ms after the window's first instant.
    pub(crate) at: i64,
    pub(crate) index: u32,
    pub(crate) salted: bool,
    pub(crate) accepted: bool,
    pub(crate) id: String,
    pub(crate) actor: String,
    pub(crate) event: String,
}

impl Sent {
    pub(crate) fn new(at: i64, index: u32, id: &str) -> Self {
        Self {
            at,
            index,
            salted: true,
            accepted: true,
            id: id.to_owned(),
            actor: format!("https://example.edu/users/{}", at % 3),
            event: format!(r#"{{"id":"{id}","said":{index}}}"#),
        }
    }

    pub(crate) fn receipt(&self, window: Window) -> ReceiptId {
        receipt_at(window, self.at)
    }

    fn line(&self, window: Window) -> Vec<u8> {
        let receipt = self.receipt(window);
        let fingerprint = Fingerprint::of(self.event.as_bytes()).hex();
        let verdict = if self.accepted {
            "accepted"
        } else {
            "rejected"
        };
        let salt = match self.salted {
            true => format!(r#","salt_key":"{SALT_KEY}""#),
            false => String::new(),
        };
        let problems = match self.accepted {
            true => "",
            false => r#","problems":[{"rule":"event.id","pointer":"/id"}]"#,
        };
        format!(
            r#"{{"receipt":"{receipt}","index":{},"received_at":"{}","sensor":"lms"{salt},"verdict":"{verdict}","strict":"{verdict}","kind":"event","id":"{}","actor":"{}"{problems},"fingerprint":"{fingerprint}","event":{}}}"#,
            self.index,
            receipt.received_at(),
            self.id,
            self.actor,
            self.event,
        )
        .into_bytes()
    }
}

pub(crate) fn receipt_at(window: Window, at: i64) -> ReceiptId {
    ReceiptId::from_parts(Millis(window.start.0 + at), 0, [7; 8])
}

/// What a seal of a window has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    pub(crate) sent: Vec<Sent>,
    pub(crate) shares: u64,
    /// Receipts that were not acknowledged, by their times.
    pub(crate) unreceipted: Vec<i64>,
    /// Receipts that were acknowledged and did not arrive, by their times.
    pub(crate) lost: Vec<i64>,
}

impl Content {
    pub(crate) fn of(sent: Vec<Sent>) -> Self {
        Self {
            sent,
            shares: 1,
            ..Self::default()
        }
    }
}

/// A window's account so far.
#[derive(Debug, Clone, Default)]
struct Account {
    received: ReceivedTotals,
    sealed: SealedTotals,
    missing: Vec<Missing>,
    unreceipted_envelopes: u64,
    shortfall: Option<Shortfall>,
}

pub(crate) struct Chain4 {
    pub(crate) memory: Memory,
    pub(crate) key: KeyFile,
    pub(crate) seals: Vec<Seal>,
    pub(crate) closed: ClosedTimes,
    accounts: BTreeMap<(Millis, Millis), Account>,
    /// Files of a set in the seal, and of a list.
    pub(crate) bounds: (usize, usize),
    pub(crate) part_rows: usize,
}

/// What a seal of version 4 says, to be signed again after a change.
pub(crate) fn unsealed_again(seal: &Seal) -> Unsealed {
    Unsealed {
        tenant: seal.tenant.clone(),
        window: seal.window(),
        kind: seal.kind,
        sequence: seal.sequence,
        counts: seal.counts,
        digest: seal.digest,
        files: seal.files.clone(),
        covers: seal.covers.clone(),
        statement: *seal.statement.clone().expect("of version 4"),
    }
}

impl Chain4 {
    /// After seals of versions before.
    pub(crate) fn after(memory: Memory, seals: Vec<Seal>, key: KeyFile) -> Self {
        let mut closed = ClosedTimes::default();
        for seal in seals.iter().filter(|seal| seal.kind.closes()) {
            closed.close(seal.window());
        }
        let mut accounts: BTreeMap<(Millis, Millis), Account> = BTreeMap::new();
        for seal in seals.iter().filter(|seal| seal.kind.has_rows_of_window()) {
            let account = accounts.entry((seal.start, seal.end)).or_default();
            account.sealed.add(&seal.counts, &seal.digest);
            account.unreceipted_envelopes = 1;
        }
        Self {
            memory,
            key,
            seals,
            closed,
            accounts,
            bounds: (256, 8_192),
            part_rows: 1_000_000,
        }
    }

    pub(crate) fn new(key: KeyFile) -> Self {
        Self::after(Memory::default(), Vec::new(), key)
    }

    fn plan(&self, kind: SealKind, window: Window) -> Plan {
        Plan {
            tenant: tenant(),
            window,
            kind,
            sequence: self.seals.len() as u64,
        }
    }

    /// Seals a window, or fills one back.
    pub(crate) fn seal(&mut self, kind: SealKind, window: Window, content: &Content) -> &Seal {
        let plan = self.plan(kind, window);
        let mut rows = self.write_shares(&plan, content);
        decide_by_meaning(&plan, &mut rows, &self.memory);
        if kind.closes() {
            self.closed.close(window);
        }
        let account = self.accounts.entry((window.start, window.end)).or_default();
        let evidence = take_in(account, &rows, content, window, &self.memory);
        let missing = account
            .missing
            .iter()
            .fold(EnvelopeTotals::default(), |mut sum, row| {
                sum.envelopes += 1;
                sum.events += u64::from(row.events);
                sum.rejected += u64::from(row.rejected);
                sum.digest.merge(&row.digest);
                sum
            });
        let totals = Totals::of(
            account.received,
            account.sealed,
            missing,
            account.unreceipted_envelopes,
        );
        if missing.envelopes > 0 {
            account.shortfall.get_or_insert(Shortfall {
                cause: ShortfallCause::Time,
                since: Some(window.end),
                reason: String::new(),
            });
        }
        let shortfall = account.shortfall.clone().filter(|_| missing.envelopes > 0);
        let evidence = write_rows(&plan, evidence, &self.memory).expect("written");
        let missing = write_rows(&plan, account.missing.clone(), &self.memory).expect("written");
        let mut sets = SetWriter::new(&plan.tenant, plan.sequence, &self.memory)
            .with_bounds(self.bounds.0, self.bounds.1);
        let parts = sets.set(rows.files.clone()).expect("written");
        let statement = WindowStatement {
            parts,
            shares: content.shares,
            evidence: sets.set(evidence).expect("written"),
            missing: sets.set(missing).expect("written"),
            totals: totals.expect("adds up"),
            shortfall,
            projections: None,
        };
        self.put(plan, rows, StatementBody::Window(Box::new(statement)))
    }

    fn write_shares(&self, plan: &Plan, content: &Content) -> SharesJoined {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let shares = (0..content.shares).map(|number| {
            let share = Share::new(number, content.shares).expect("a share");
            let mut settings = settings(temporary.path());
            settings.part_rows = self.part_rows;
            let mut builder = WindowBuilder::of_share(plan.clone(), share, settings);
            for sent in &content.sent {
                builder.push_line(&sent.line(plan.window)).expect("a line");
            }
            builder
                .finish_share(&NoPrevious, &NoOversize, &self.memory)
                .expect("sealed")
        });
        SharesJoined::of(shares.collect())
    }

    /// Closes a run of windows in which nothing was received.
    pub(crate) fn idle(&mut self, run: Window, windows: u64) -> &Seal {
        self.closed.close(run);
        let plan = self.plan(SealKind::Idle, run);
        self.put(
            plan,
            SharesJoined::default(),
            StatementBody::Idle { windows },
        )
    }

    /// Erases rows of one of the seals' parts.
    pub(crate) fn erase(&mut self, sequence: u64, part: usize, places: &[Place]) -> &Seal {
        let at = usize::try_from(sequence).expect("small");
        let target = self.seals[at].clone();
        let old = target.files[part].clone();
        let file = Part::open(self.memory.open(&old.key).expect("there")).expect("a part");
        let (plan, class) = (target.plan(), old.class());
        let place = place_of(&old.key);
        let new = erase_rows(
            &file,
            |at| places.contains(&at),
            |sha256| share_key(&plan, class, place, sha256),
            &self.memory,
        );
        let new = new.expect("written");
        let day = day_of(target.start);
        let plan = self.plan(SealKind::Erasure, day);
        let part = u32::try_from(part).expect("small");
        let mut erased: Vec<ErasedPlace> = places
            .iter()
            .map(|(receipt, index)| ErasedPlace {
                seal: sequence,
                part,
                receipt: *receipt,
                index: *index,
            })
            .collect();
        erased.sort_unstable();
        let written = write_rows(&plan, erased.clone(), &self.memory).expect("written");
        let statement = ErasureStatement {
            replaces: vec![Replacement {
                sequence,
                sha256: old.sha256,
                file: new,
            }],
            places: FileSet::Inline(written),
            rows: erased.len() as u64,
            reason: "asked for".to_owned(),
        };
        self.memory.remove(&old.key);
        self.put(
            plan,
            SharesJoined::default(),
            StatementBody::Erasure(Box::new(statement)),
        )
    }

    /// Merges seals of a day.
    pub(crate) fn day(&mut self, covers: &[u64]) -> &Seal {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let mut settings = settings(temporary.path());
        settings.part_rows = self.part_rows;
        settings.run_bytes = 4_096;
        let first = usize::try_from(covers[0]).expect("small");
        let day = day_of(self.seals[first].start);
        let mut builder = BlindDayBuilder::new(tenant(), day, settings);
        for sequence in covers {
            let seal = self.current(*sequence);
            builder.cover(&seal);
            for (number, file) in (0..).zip(&seal.files) {
                let bytes = self.memory.open(&file.key).expect("there");
                builder
                    .push_part(*sequence, number, &bytes)
                    .expect("a part");
            }
            let statement = seal.statement.as_ref().and_then(|s| s.window());
            for file in statement
                .iter()
                .flat_map(|w| w.evidence.read(&self.memory).expect("there"))
            {
                let bytes = self.memory.open(&file.key).expect("there");
                builder
                    .push_evidence(*sequence, &file, &bytes)
                    .expect("evidence");
            }
        }
        let written = builder.finish(&self.memory).expect("a day");
        let plan = self.plan(SealKind::Day, day);
        let mut sets = SetWriter::new(&plan.tenant, plan.sequence, &self.memory)
            .with_bounds(self.bounds.0, self.bounds.1);
        let body = StatementBody::Day {
            parts: sets.set(written.files.clone()).expect("written"),
            evidence: sets.set(written.evidence).expect("written"),
        };
        let rows = SharesJoined {
            counts: written.counts,
            digest: written.digest,
            files: written.files,
        };
        let unsealed = self.unsealed(plan, rows, body);
        let unsealed = Unsealed {
            covers: written.covers,
            ..unsealed
        };
        self.put_next(unsealed)
    }

    /// A seal with the files that count now.
    pub(crate) fn current(&self, sequence: u64) -> Seal {
        let mut seal = self.seals[usize::try_from(sequence).expect("small")].clone();
        let erasures = self
            .seals
            .iter()
            .filter_map(|s| s.statement.as_ref()?.erasure());
        for by in erasures
            .flat_map(|e| &e.replaces)
            .filter(|by| by.sequence == sequence)
        {
            let file = seal.files.iter_mut().find(|file| file.sha256 == by.sha256);
            *file.expect("there") = by.file.clone();
        }
        seal
    }

    /// Removes the files of the rows and the evidence of seals that a day covers.
    pub(crate) fn remove_covered(&self, covers: &[u64]) {
        for sequence in covers {
            let seal = self.current(*sequence);
            let window = seal.statement.as_ref().and_then(|s| s.window());
            let evidence = window.map(|w| w.evidence.read(&self.memory).expect("there"));
            for file in seal.files.iter().chain(evidence.iter().flatten()) {
                self.memory.remove(&file.key).expect("there");
            }
        }
    }

    /// Erases the day's rows with these ids.
    pub(crate) fn erase_in_day(&mut self, sequence: u64, ids: &[&str]) -> &Seal {
        let day = self.current(sequence);
        let (mut replaces, mut erased) = (Vec::new(), Vec::new());
        for (number, old) in day.files.iter().enumerate() {
            let part = Part::open(self.memory.open(&old.key).expect("there")).expect("a part");
            let before = erased.len();
            for group in 0..part.groups() {
                part.for_each_sealed_by(group, Reading::Whole, |row, by| {
                    if row.id.is_some_and(|id| ids.contains(&id)) {
                        let by = by.expect("a day's");
                        erased.push(ErasedPlace {
                            seal: by.seal,
                            part: by.part.expect("of version 4"),
                            receipt: row.receipt,
                            index: row.index,
                        });
                    }
                    Ok(())
                })
                .expect("reads");
            }
            let here: Vec<Place> = erased[before..]
                .iter()
                .map(|p| (p.receipt, p.index))
                .collect();
            if here.is_empty() {
                continue;
            }
            let number = day.files[..number]
                .iter()
                .filter(|f| f.class() == old.class())
                .count();
            let plan = day.plan();
            let file = erase_rows(
                &part,
                |place| here.contains(&place),
                |sha256| part_key(&plan, old.class(), number, sha256),
                &self.memory,
            );
            replaces.push(Replacement {
                sequence,
                sha256: old.sha256,
                file: file.expect("written"),
            });
            self.memory.remove(&old.key);
        }
        erased.sort_unstable();
        let plan = self.plan(SealKind::Erasure, day.window());
        let rows = erased.len() as u64;
        let places = write_rows(&plan, erased, &self.memory).expect("written");
        let statement = ErasureStatement {
            replaces,
            places: FileSet::Inline(places),
            rows,
            reason: "asked for".to_owned(),
        };
        self.put(
            plan,
            SharesJoined::default(),
            StatementBody::Erasure(Box::new(statement)),
        )
    }

    fn put(&mut self, plan: Plan, rows: SharesJoined, body: StatementBody) -> &Seal {
        let unsealed = self.unsealed(plan, rows, body);
        self.put_next(unsealed)
    }

    fn put_next(&mut self, unsealed: Unsealed) -> &Seal {
        let sealed_at = Millis(unsealed.statement.checkpoint.at.0 + 30_000);
        self.put_unsealed(unsealed, sealed_at)
    }

    fn unsealed(&self, plan: Plan, rows: SharesJoined, body: StatementBody) -> Unsealed {
        let latest = self.seals.iter().map(|seal| seal.sealed_at).max();
        let sealed_at = Millis(plan.window.end.0.max(latest.map_or(0, |at| at.0)) + 90_000);
        let statement = Statement {
            checkpoint: CheckpointMark {
                at: Millis(sealed_at.0 - 30_000),
                sha256: Fingerprint::of(b"a checkpoint"),
            },
            holds: self.closed.mark(),
            body,
        };
        Unsealed {
            tenant: plan.tenant,
            window: plan.window,
            kind: plan.kind,
            sequence: plan.sequence,
            counts: rows.counts,
            digest: rows.digest,
            files: rows.files,
            covers: Vec::new(),
            statement,
        }
    }

    pub(crate) fn put_unsealed(&mut self, unsealed: Unsealed, sealed_at: Millis) -> &Seal {
        let previous = self.seals.last().map(|seal| seal.hash().expect("integers"));
        let draft = unsealed.draft(previous, sealed_at, self.key.public_key());
        let seal = draft.sign(&self.key).expect("signs");
        self.memory
            .put(seal.key(), seal.to_bytes().expect("integers"));
        self.seals.push(seal);
        &self.seals[self.seals.len() - 1]
    }

    pub(crate) fn report(&self) -> Report {
        self.report_with(Options {
            all: true,
            ..Options::default()
        })
    }

    pub(crate) fn report_with(&self, options: Options) -> Report {
        let keys = [self.key.public_key().clone()];
        verify(&self.memory, &keys, &options, &|_| {}).expect("reads")
    }
}

/// Share and number in a part's key.
pub(crate) fn place_of(key: &str) -> SharePlace {
    let name = key.rsplit('/').next().expect("a name");
    let word = name.rsplit('-').nth(1).expect("a number");
    SharePlace {
        share: word[..4].parse().expect("digits"),
        number: word[4..].parse().expect("digits"),
    }
}

/// Sums of rows by their receipt.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    events: u32,
    rejected: u32,
    digest: Digest,
}

/// Takes a seal's rows and receipts into the account; answers the seal's evidence.
fn take_in(
    account: &mut Account,
    rows: &SharesJoined,
    content: &Content,
    window: Window,
    memory: &Memory,
) -> Vec<Evidence> {
    account.sealed.add(&rows.counts, &rows.digest);
    let mut tallies: BTreeMap<ReceiptId, Tally> = BTreeMap::new();
    for file in &rows.files {
        let part = Part::open(memory.open(&file.key).expect("there")).expect("a part");
        part.for_each(|row| {
            let tally = tallies.entry(row.receipt).or_default();
            tally.events += 1;
            tally.rejected += u32::from(row.disposition == Disposition::Rejected);
            tally
                .digest
                .add_blind(row.receipt, row.index, &row.blind_fingerprint());
            Ok(())
        })
        .expect("reads");
    }
    for at in &content.unreceipted {
        tallies.remove(&receipt_at(window, *at));
        account.unreceipted_envelopes += 1;
    }
    for at in &content.lost {
        let receipt = receipt_at(window, *at);
        let mut digest = Digest::EMPTY;
        digest.add_event(receipt, 0, &Fingerprint::of(b"lost"));
        let (events, rejected) = (1, 0);
        tallies.insert(
            receipt,
            Tally {
                events,
                rejected,
                digest,
            },
        );
        account.missing.push(Missing {
            receipt,
            sensor: "lms".to_owned(),
            slices: vec![0],
            events,
            rejected,
            digest,
            cause: MissingCause::Uncommitted,
            sent_again: None,
        });
    }
    account.missing.sort_by_key(|row| row.receipt);
    let evidence = tallies.into_iter().map(|(receipt, tally)| Evidence {
        receipt,
        sensor: "lms".to_owned(),
        slices: 1,
        events: tally.events,
        rejected: tally.rejected,
        bytes: 100,
        digest: tally.digest,
    });
    let evidence: Vec<Evidence> = evidence.collect();
    for row in &evidence {
        let received = &mut account.received;
        received.envelopes += 1;
        received.events += u64::from(row.events);
        received.rejected += u64::from(row.rejected);
        received.bytes += row.bytes;
        received.digest.merge(&row.digest);
    }
    evidence
}

/// A part's rows after a change, as a file under the key that its content gives it.
pub(crate) fn rewritten_part(
    plan: &Plan,
    file: &SealedFile,
    memory: &Memory,
    change: impl FnOnce(&mut Vec<Row<'_>>),
) -> SealedFile {
    let bytes = memory.all()[&file.key].clone();
    let part = Part::open(Arc::new(bytes)).expect("a part");
    let mut held = Vec::new();
    part.for_each(|row| {
        let mut leaf = Vec::new();
        row.write_leaf(&mut leaf);
        held.push((leaf, row.event.map(str::to_owned), row.salt, row.erased));
        Ok(())
    })
    .expect("reads");
    let rows = held.iter().map(|(leaf, event, salt, erased)| Row {
        event: event.as_deref(),
        salt: *salt,
        erased: *erased,
        ..Row::read_leaf(leaf).expect("a row").0
    });
    let mut rows: Vec<Row<'_>> = rows.collect();
    change(&mut rows);
    let order = match rows.iter().any(|row| row.erased.is_some()) {
        true => RowOrder::Erased,
        false => RowOrder::Sorted,
    };
    let bytes = window_to_bytes(Layout::BlindWindow, order, &rows).expect("encodes");
    let sha256 = Fingerprint::of(&bytes).0;
    let key = share_key(plan, file.class(), place_of(&file.key), &sha256);
    let mut leaves = vernier_archive::merkle::Span::starting_at(0);
    for row in &rows {
        let mut leaf = Vec::new();
        row.write_blind_leaf(&mut leaf);
        leaves.push(vernier_archive::merkle::leaf_hash(&leaf));
    }
    let sealed = SealedFile {
        key: key.clone(),
        rows: rows.len() as u64,
        bytes: bytes.len() as u64,
        sha256: sha256.into(),
        merkle_root: leaves.root().expect("from 0").into(),
        actors: None,
        ids: None,
    };
    memory.put(key, Bytes::from(bytes));
    sealed
}

/// Conflicts that mean the same as their firsts become duplicates that keep their texts.
fn decide_by_meaning(plan: &Plan, rows: &mut SharesJoined, memory: &Memory) {
    let mut firsts: BTreeMap<Place, String> = BTreeMap::new();
    for file in rows
        .files
        .iter()
        .filter(|file| file.class() == PartClass::Archive)
    {
        let part = Part::open(memory.open(&file.key).expect("there")).expect("a part");
        part.for_each(|row| {
            let meaning = Meaning::of(row.event.expect("a text"), row.id).expect("JSON");
            firsts.insert(row.place(), meaning.as_str().to_owned());
            Ok(())
        })
        .expect("reads");
    }
    let mut moved = 0;
    for file in rows
        .files
        .iter_mut()
        .filter(|file| file.class() == PartClass::Exceptions)
    {
        let before = moved;
        let new = rewritten_part(plan, file, memory, |rows| {
            for row in rows
                .iter_mut()
                .filter(|row| row.disposition == Disposition::Conflict)
            {
                let meaning = Meaning::of(row.event.expect("a text"), row.id).expect("JSON");
                let first = row.first.and_then(|first| firsts.get(&first));
                if first.is_some_and(|first| first == meaning.as_str()) {
                    row.disposition = Disposition::Duplicate;
                    moved += 1;
                }
            }
        });
        if moved > before {
            memory.remove(&file.key);
            *file = new;
        }
    }
    rows.counts = DispositionCounts {
        duplicate: rows.counts.duplicate + moved,
        conflict: rows.counts.conflict - moved,
        ..rows.counts
    };
}
