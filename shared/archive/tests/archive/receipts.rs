//! Rows summed by receipt against the evidence.

use crate::common::chain4::{Chain4, Content, Sent, receipt_at, unsealed_again};
use crate::common::{self, window};
use crate::days4::{COVERS, chain_with_day};
use crate::version4::{full_chain, mixed};
use vernier_archive::account::{BesideRow as _, Evidence, write_rows};
use vernier_archive::files::Source as _;
use vernier_archive::keys::Algorithm;
use vernier_archive::seal::{FileSet, SealKind, StatementBody};
use vernier_archive::verify::{Check, Options, Report};
use vernier_ledger::digest::{Digest, Fingerprint};

fn report_of(chain: &Chain4) -> Report {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let report = chain.report_with(Options {
        all: true,
        receipts: Some(folder.path().to_owned()),
        ..Options::default()
    });
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 0, "nothing stays on disk");
    report
}

/// With shortfalls, a recount, receipts without evidence, a window that version 1 sealed, and erased rows.
#[test]
fn every_receipt_of_a_sound_chain_has_its_rows() {
    let report = report_of(&full_chain());
    assert_eq!(report.findings, []);
    assert!(
        report.receipts.is_some_and(|count| count > 10),
        "{report:?}"
    );
    assert_eq!(full_chain().report().receipts, None, "nobody asked");
}

/// Rows and evidence come out of the day where the windows' own files are gone.
#[test]
fn a_days_rows_are_held_against_its_evidence() {
    let chain = chain_with_day();
    let both = report_of(&chain);
    assert_eq!(both.findings, []);
    chain.remove_covered(&COVERS);
    let alone = report_of(&chain);
    assert_eq!(alone.findings, []);
    assert_eq!(alone.receipts, both.receipts);
}

/// Evidence that gives an event of one receipt to another one comes to the same totals.
#[test]
fn a_receipt_that_lacks_what_another_has_too_much_is_found() {
    let mut chain = Chain4::new(common::key(Algorithm::Ed25519Sha256));
    let mut sent = mixed();
    sent.push(Sent::new(5_000, 0, "urn:x:far"));
    chain.seal(SealKind::Window, window(0), &Content::of(sent));
    assert_eq!(report_of(&chain).findings, []);
    move_an_event(&mut chain);
    assert_eq!(chain.report().findings, []);
    let found = report_of(&chain).findings;
    assert_eq!(found.len(), 2, "{found:?}");
    for (finding, at) in found.iter().zip([0, 5_000]) {
        assert_eq!(finding.check, Check::Account);
        let receipt = receipt_at(window(0), at).to_string();
        assert!(finding.what.contains(&receipt), "{finding}");
    }
}

/// What is said to be unreceipted is what has no evidence.
#[test]
fn rows_without_evidence_are_those_that_the_totals_say() {
    let mut chain = Chain4::new(common::key(Algorithm::Ed25519Sha256));
    let content = Content {
        unreceipted: vec![100, 200],
        ..Content::of(mixed())
    };
    chain.seal(SealKind::Window, window(0), &content);
    assert_eq!(report_of(&chain).findings, []);
    change_last(&mut chain, |chain, body| {
        let StatementBody::Window(window) = body else {
            panic!("a window");
        };
        window.totals.unreceipted.envelopes += 1;
        assert!(!chain.seals.is_empty());
    });
    assert_eq!(chain.report().findings, []);
    let found = report_of(&chain).findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].what.contains("totals.unreceipted"), "{found:?}");
}

/// Takes an event from the first receipt's evidence and gives it to the last one's.
fn move_an_event(chain: &mut Chain4) {
    change_last(chain, |chain, body| {
        let StatementBody::Window(window) = body else {
            panic!("a window");
        };
        let mut rows: Vec<Evidence> = Vec::new();
        for file in window.evidence.read(&chain.memory).expect("inline") {
            let bytes = chain.memory.open(&file.key).expect("there");
            Evidence::for_each(&bytes, |row| {
                rows.push(row);
                Ok(())
            })
            .expect("reads");
            chain.memory.remove(&file.key);
        }
        let mut moved = Digest::EMPTY;
        moved.add_event(rows[0].receipt, 9, &Fingerprint::of(b"moved"));
        let last = rows.len() - 1;
        rows[0].events -= 1;
        rows[0].digest.remove(&moved);
        rows[last].events += 1;
        rows[last].digest.merge(&moved);
        let plan = chain.seals[0].plan();
        let written = write_rows(&plan, rows, &chain.memory).expect("written");
        window.evidence = FileSet::Inline(written);
    });
}

/// Signs the chain's last seal again after a change of what it states.
fn change_last(chain: &mut Chain4, change: impl FnOnce(&Chain4, &mut StatementBody)) {
    let seal = chain.seals.last().expect("a seal").clone();
    let mut unsealed = unsealed_again(&seal);
    change(chain, &mut unsealed.statement.body);
    chain.seals.pop();
    chain.put_unsealed(unsealed, seal.sealed_at);
}
