//! Chains of which any seals are of version 4, against a naive scan.

use super::before;
use super::rewriting::{Rewriting, Shape, current, rows_of};
use crate::pipeline_only::queries::{History, Sent};
use serde_json::Value;
use std::collections::BTreeMap;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::segment::Place;
use vernier_output::receipts;

/// A school's history whose seals are written anew, one after the other.
struct Mixture {
    history: History,
    rewriting: Rewriting,
}

fn shape(history: &mut History) -> Shape {
    Shape {
        shares: 1 + u64::from(history.one_of(3)),
        part_rows: 4 + usize::try_from(history.one_of(20)).expect("small"),
        inline_max: usize::try_from(history.one_of(2)).expect("small") * 256,
    }
}

/// How events ended is what their rows say before anything is written anew: which of two was first depends
/// on which was sealed first.
async fn take_dispositions(history: &mut History) {
    let mut known = BTreeMap::new();
    let (seals, _) = Rewriting::entries(&history.school).await;
    for entry in &seals {
        let seal = current(&history.school, entry).await;
        for row in rows_of(&history.school, &seal).await {
            let row = row.row();
            known.insert(row.place(), row.disposition);
        }
    }
    for sent in &mut history.sent {
        let sealed = known.get(&sent.place);
        sent.disposition = *sealed.unwrap_or(&sent.disposition);
    }
}

/// Writes one seal anew, or removes what a day covers: what is to be found stays the same.
async fn rewrite(history: &mut History, rewriting: &Rewriting) {
    let (seals, days) = Rewriting::entries(&history.school).await;
    let shape = shape(history);
    let which = usize::try_from(history.one_of(1_000)).expect("small");
    let seal = seals.get(which % seals.len().max(1));
    let day = days.get(which % days.len().max(1));
    let (turn, school) = (history.one_of(8), &history.school);
    match (turn, seal, day) {
        (0..=2, Some(entry), _) => rewriting.window(school, entry, shape).await,
        (3, Some(entry), _) => before::window(school, entry).await,
        (4 | 5, _, Some(entry)) => rewriting.day(school, entry, shape).await,
        (6, _, Some(entry)) => before::day(school, entry).await,
        (7, _, Some(entry)) => Rewriting::remove_covered(school, entry).await,
        _ => {}
    }
}

impl Mixture {
    async fn new(seed: u64) -> Self {
        let mut history = History::new(seed).await;
        for _ in 0..50 {
            history.change().await;
        }
        if seed.is_multiple_of(2) {
            // Nothing is left to be sealed, so that all of it can be erased.
            history.school.pass(600);
        }
        history.work().await;
        let rewriting = Rewriting::new();
        take_dispositions(&mut history).await;
        for _ in 0..6 {
            rewrite(&mut history, &rewriting).await;
        }
        Self { history, rewriting }
    }

    async fn erase(&mut self) -> bool {
        let stored = |sent: &&Sent| sent.disposition == Disposition::Stored && !sent.is_erased;
        let known = self.history.sent.iter().filter(stored);
        let ids: Vec<String> = known
            .filter_map(|sent| sent.event["id"].as_str().map(str::to_owned))
            .collect();
        let Some(count) = u32::try_from(ids.len()).ok().filter(|count| *count > 0) else {
            return false;
        };
        let which = usize::try_from(self.history.one_of(count)).expect("small");
        let id = &ids[which];
        // What is not sealed yet cannot be erased.
        if !self.is_all_sealed(id).await || !self.rewriting.erase(&self.history.school, id).await {
            return false;
        }
        for sent in &mut self.history.sent {
            sent.is_erased |= sent.event["id"] == **id;
        }
        true
    }

    async fn is_all_sealed(&self, id: &str) -> bool {
        let (seals, _) = Rewriting::entries(&self.history.school).await;
        let sealed: u64 = seals.iter().map(|seal| seal.tally.events).sum();
        sealed == self.history.sent.len() as u64 && !id.is_empty()
    }

    /// Asks once; answers how many events of each ending were seen erased and whole.
    async fn ask(&mut self, seed: u64, seen: &mut BTreeMap<(Disposition, bool), usize>) {
        let query = self.history.query();
        let limit = 1 + usize::try_from(self.history.one_of(7)).expect("small");
        let rewriting = &self.rewriting;
        let between = async |history: &mut History| rewrite(history, rewriting).await;
        let found = self.history.pages_while(&query, limit, between).await;
        let wanted = self.history.scan(&query);
        let shown: Vec<Place> = found.iter().map(|v| (v.receipt, v.index)).collect();
        let places: Vec<Place> = wanted.iter().map(|s| s.place).collect();
        assert_eq!(shown, places, "seed {seed}: {query:?}");
        for (view, sent) in found.iter().zip(wanted) {
            *seen.entry((sent.disposition, sent.is_erased)).or_default() += 1;
            let (shown, wanted) = (view.disposition, sent.disposition);
            assert_eq!(shown, wanted, "seed {seed}: {view:?}, {:?}", sent.event);
            assert_eq!(view.erased, sent.is_erased, "seed {seed}: {query:?}");
            assert_eq!(view.fingerprint.is_none(), sent.is_erased);
            match &view.event {
                Some(text) => {
                    let event: Value = serde_json::from_str(text.get()).expect("JSON");
                    assert_eq!(event, sent.event);
                }
                None => assert!(sent.is_erased || sent.disposition == Disposition::Duplicate),
            }
        }
    }

    /// A receipt tells how its events ended, whatever version has them.
    async fn ask_for_a_receipt(&mut self, seed: u64) {
        let count = u32::try_from(self.history.sent.len()).expect("few");
        let which = usize::try_from(self.history.one_of(count)).expect("small");
        let receipt = self.history.sent[which].place.0;
        let (school, sent) = (&self.history.school, &self.history.sent);
        let now = school.clock.get();
        let view = receipts::view(&school.stores, &school.tenant.id, receipt, 0, now).await;
        let view = view.expect("reads").expect("there");
        let own = sent.iter().filter(|sent| sent.place.0 == receipt);
        for (shown, sent) in view.events.iter().zip(own) {
            let found = (shown.index, shown.disposition, shown.erased);
            let wanted = (sent.place.1, sent.disposition, sent.is_erased);
            assert_eq!(found, wanted, "seed {seed}");
            let id = sent.event["id"].as_str().filter(|_| !sent.is_erased);
            assert_eq!(shown.id.as_deref(), id, "seed {seed}");
        }
    }
}

/// Versions of all seals, windows' and days', by how many there are.
async fn count_versions(history: &History, versions: &mut BTreeMap<(bool, u32), usize>) {
    let (seals, days) = Rewriting::entries(&history.school).await;
    for entry in seals.iter().chain(&days) {
        *versions.entry((entry.is_day(), entry.version)).or_default() += 1;
    }
}

/// A range may hold windows of version 1, days of version 3, and windows and days of version 4, in one list of files or
/// several, with rows that are erased: pages are what a scan finds, and a cursor goes on where the page before ended,
/// whatever was written anew meanwhile.
#[tokio::test]
async fn any_mixture_of_versions_answers_as_a_naive_scan() {
    let (mut seen, mut versions, mut erasures) = (BTreeMap::new(), BTreeMap::new(), 0);
    for seed in 0..8 {
        let mut mixture = Mixture::new(seed).await;
        for _ in 0..12 {
            count_versions(&mixture.history, &mut versions).await;
            mixture.ask(seed, &mut seen).await;
            let Mixture { history, rewriting } = &mut mixture;
            rewrite(history, rewriting).await;
            mixture.ask_for_a_receipt(seed).await;
            if mixture.history.one_of(3) == 0 {
                erasures += u32::from(mixture.erase().await);
            }
        }
    }
    assert!(erasures > 2, "{erasures}");
    for version in [(false, 1), (false, 4), (true, 3), (true, 4)] {
        assert!(
            versions.get(&version).is_some_and(|n| *n > 10),
            "{versions:?}"
        );
    }
    let whole = seen.keys().filter(|(_, is_erased)| !is_erased);
    assert_eq!(whole.count(), 4, "every ending: {seen:?}");
    assert!(seen.contains_key(&(Disposition::Stored, true)), "{seen:?}");
}
