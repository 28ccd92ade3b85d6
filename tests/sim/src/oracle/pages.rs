//! Answers of the output function against a straight single pass over the stored events.

use super::passes::dispositions_of;
use super::{Truth, Violation};
use crate::mutants::{Planted, without_roll_ups};
use crate::script::EventSpec;
use crate::world::{BEGINNING, World};
use vernier_ledger::Invariant;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::TenantId;
use vernier_ledger::live::ReadError;
use vernier_ledger::segment::Place;
use vernier_ledger::time::{Millis, TimeRange};
use vernier_output::cursor::PageCursor;
use vernier_output::events::{Paging, page};
use vernier_output::filter_memory::FilterMemory;
use vernier_output::query::{EventQuery, Order};

/// Signs the cursors of the oracle.
const KEY: [u8; 32] = [7; 32];

/// Learners of a history.
const LEARNERS: u64 = 3;

/// What is asked of a tenant, which differs from history to history.
struct Question {
    query: EventQuery,
    learner: Option<String>,
    limit: usize,
}

impl Question {
    /// One of some: all events from either end in pages of a few or in one, or those of one learner.
    fn of(number: u64, now: Millis) -> Self {
        let mut query = EventQuery::between(TimeRange {
            from: BEGINNING,
            to: Millis(now.0 + 1),
        });
        query.disposition = None;
        query.order = [Order::Newest, Order::Oldest][usize::from(number % 2 == 1)];
        let kind = number / 2 % 3;
        let learner = (kind == 2).then(|| {
            let learner = number / 6 % LEARNERS;
            format!("https://school.example/users/{learner}")
        });
        let of_learner = learner.iter().map(|l| ("actor".to_owned(), l.clone()));
        query.filters.extend(of_learner);
        Self {
            query,
            learner,
            limit: if kind == 1 { 100 } else { 3 },
        }
    }

    fn has(&self, spec: EventSpec) -> bool {
        // A grade's actor is who gave it.
        let of = |learner: &String| {
            spec.is_accepted() && spec.score().is_none() && spec.learner() == *learner
        };
        self.learner.as_ref().is_none_or(of)
    }

    /// The events of all pages.
    async fn ask(
        &self,
        stores: &Planted,
        tenant: &TenantId,
        now: Millis,
    ) -> Result<Vec<(Place, Disposition)>, ReadError> {
        let (mut query, mut after, mut all) = (self.query.clone(), None, Vec::new());
        loop {
            let paging = Paging {
                after,
                limit: self.limit,
                now,
                signing_key: &KEY,
                filters: &FilterMemory::default(),
                live_bytes_max: u64::MAX,
            };
            let (page, _) = page(stores, tenant, &query, paging).await?;
            let views = page.events.iter();
            all.extend(views.map(|v| ((v.receipt, v.index), v.disposition)));
            let cursor = page.next_cursor.as_deref();
            let Some(cursor) = cursor.and_then(|text| PageCursor::open(text, &KEY)) else {
                return Ok(all);
            };
            (query, after) = (cursor.query, Some(cursor.after));
        }
    }
}

/// Invariants 2 and 4: pages are what a single pass finds, and with rolled-up filters what they are without. Where something is
/// sealed, which may have been decided in another order, they are only compared with each other. One tenant of the history is
/// asked for.
pub(super) async fn check_pages(
    world: &World,
    truth: &Truth,
    is_any_sealed: bool,
) -> Result<(), Violation> {
    let (stores, now) = (&world.functions.general, world.now());
    let tenants = world.identities.len().max(1);
    let number = usize::try_from(world.seed % tenants as u64).unwrap_or(0);
    let Some(identity) = world.identities.get(number) else {
        return Ok(());
    };
    let tenant = &identity.tenant.id;
    let question = Question::of(world.seed / tenants as u64, now);
    let broken = |what: String| Violation::new(Invariant::OneDispositionEach, what);
    let found = question.ask(stores, tenant, now).await;
    let found = found.map_err(|e| broken(format!("{tenant}: no page: {e}")))?;
    let expected: Vec<(Place, Disposition)> = if is_any_sealed {
        let without = without_roll_ups(stores);
        let asked = question.ask(&without, tenant, now).await;
        asked.map_err(|e| broken(format!("{tenant}: no page without roll-ups: {e}")))?
    } else {
        let all = dispositions_of(truth, number).into_iter();
        let own = all.filter(|(_, (spec, _))| question.has(*spec));
        let mut own: Vec<_> = own.map(|(place, (_, d))| (place, d)).collect();
        if question.query.order == Order::Newest {
            own.reverse();
        }
        own
    };
    Violation::unless(found == expected, Invariant::OneDispositionEach, || {
        format!("{tenant}: pages have {found:?} and not {expected:?}")
    })
}
