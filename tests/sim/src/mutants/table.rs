//! The table with a place for a bug.

use super::{Bug, Table};
use std::sync::PoisonError;
use vernier_ledger::access::{Tenant, TokenInfo};
use vernier_ledger::account::WindowAccount;
use vernier_ledger::block_item::{BlockItem, Listing, ListingMark};
use vernier_ledger::earlier::EarlierRecord;
use vernier_ledger::frame::Tally;
use vernier_ledger::given_up::{GivenUpSlice, GivenUpSlices};
use vernier_ledger::holds::{HeldWindow, Holds as _};
use vernier_ledger::ids::{Lane, ReceiptId, Sequence, Shard, TenantId};
use vernier_ledger::ports::{
    Accounts, Blocks, CommitOutcome, Commits, Cursor, Directory, Objects, PortError, Receipts,
    RefusedEnvelopes, Results,
};
use vernier_ledger::rates::{RateCounters, SpendOutcome, Spending};
use vernier_ledger::receipt::{Acknowledgement, Claim, ClaimOutcome, ClaimRequest, Receipt};
use vernier_ledger::refused::RefusedCount;
use vernier_ledger::results::{Registers, ResultKey, ResultList};
use vernier_ledger::segment::SegmentRecord;
use vernier_ledger::spread::{GrownSpread, Spreads};
use vernier_ledger::time::{Millis, Minute, TimeRange, Window};
use vernier_ledger::work::{Cause, DueItem, Expected, Owner, WorkEntry, WorkKey, WorkLists};

/// How much too early a late block's entry is due with its bug, seconds: more than what it waits for.
const LATE_ENTRY_SECONDS: i64 = 600;

impl Table {
    fn claim_before(&self, request: &ClaimRequest<'_>) -> Option<Claim> {
        let header = request.header;
        let receipt = self.inner.raw_receipt(&header.tenant, header.receipt)?;
        receipt.claims.get(&header.slice).cloned()
    }

    /// Writes an object that waits under this key, the last one.
    pub(super) async fn write_late(&self, key: &str) -> Result<(), PortError> {
        let found = {
            let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
            let at = late.iter().rposition(|(k, _)| k == key);
            at.map(|at| late.swap_remove(at))
        };
        if let Some((key, bytes)) = found {
            self.bucket.put_new(&key, bytes, None).await?;
        }
        Ok(())
    }
}

/// Whether an entry is of a window that was tried in vain.
fn is_backed_off(entry: &WorkEntry) -> bool {
    entry.tries > 0 && matches!(entry.key.cause, Cause::Late | Cause::Close)
}

impl Table {
    /// Whether a minute's window has such an entry, and a bug makes it look idle.
    fn looks_idle(&self, tenant: &TenantId, minute: Minute) -> bool {
        let owner = Owner::Tenant(tenant.clone());
        let is_hidden = |of: &Owner, entry: &WorkEntry| {
            let window = |at| Window::containing(at, crate::world::RECONCILE.window_minutes);
            let start = entry.key.start().filter(|_| is_backed_off(entry));
            *of == owner && start.is_some_and(|at| window(at).contains(minute.start()))
        };
        self.bug == Some(Bug::IdleOverBackedOff)
            && self
                .inner
                .all_work()
                .iter()
                .any(|(of, entry)| is_hidden(of, entry))
    }
}

impl Receipts for Table {
    async fn acknowledge(&self, acknowledgement: &Acknowledgement) -> Result<(), PortError> {
        if self.bug == Some(Bug::LoseAcknowledgement) && acknowledgement.receipt.lane() == 1 {
            return Ok(());
        }
        self.inner.acknowledge(acknowledgement).await?;
        let waiting = {
            let late = self.late_entries.lock();
            std::mem::take(&mut *late.unwrap_or_else(PoisonError::into_inner))
        };
        for (owner, entry) in waiting {
            self.inner.add_work(&owner, &entry).await?;
        }
        Ok(())
    }

    async fn claim(&self, request: ClaimRequest<'_>) -> Result<ClaimOutcome, PortError> {
        let before = self.claim_before(&request);
        let (origin, attempt) = (request.origin.clone(), request.header.attempt);
        if self.bug == Some(Bug::ResetClocks) && attempt > 0 {
            let tenant = request.header.tenant.clone();
            for held in self.inner.raw_held(&tenant) {
                let reset = HeldWindow::of(held.window);
                self.inner.change_held(&tenant, &held, &reset).await?;
            }
        }
        let answer = self.inner.claim(request).await?;
        Ok(match (self.bug, before) {
            (Some(Bug::SkipClaim), _) => ClaimOutcome::Mine,
            (Some(Bug::DropOriginCheck), Some(before)) if before.attempt == attempt => {
                ClaimOutcome::Mine
            }
            (Some(Bug::ForgetOwnClaim), Some(before)) if before.origin == origin => {
                ClaimOutcome::Copy
            }
            (Some(Bug::StaleClaimSwallowsPlayback), Some(before)) if before.origin != origin => {
                ClaimOutcome::Copy
            }
            _ => answer,
        })
    }

    async fn receipt(
        &self,
        tenant: &TenantId,
        id: ReceiptId,
    ) -> Result<Option<Receipt>, PortError> {
        self.inner.receipt(tenant, id).await
    }

    async fn receipts_in(
        &self,
        tenant: &TenantId,
        minute: Minute,
        lane: Lane,
    ) -> Result<Vec<Receipt>, PortError> {
        let mut receipts = self.inner.receipts_in(tenant, minute, lane).await?;
        if self.bug == Some(Bug::SealUncompared) {
            receipts.retain(|r| !r.claims.is_empty());
        }
        if self.looks_idle(tenant, minute) {
            receipts.clear();
        }
        if self.bug == Some(Bug::ForgetLostSlices) {
            for receipt in &mut receipts {
                let mut met = Tally::default();
                for claim in receipt.claims.values() {
                    met.merge(&claim.tally);
                }
                receipt.acknowledged = receipt.acknowledged.map(|(_, slices)| (met, slices));
            }
        }
        if self.bug == Some(Bug::LeaveOutOfEvidence) {
            for receipt in &mut receipts {
                let slices = receipt.acknowledged.map_or(0, |(_, slices)| slices);
                if receipt.claims.len() == slices as usize {
                    receipt.acknowledged = None;
                }
            }
        }
        Ok(receipts)
    }
}

impl Commits for Table {
    async fn cursor(&self, shard: &Shard) -> Result<Cursor, PortError> {
        self.inner.cursor(shard).await
    }

    async fn commit(
        &self,
        seen: &Cursor,
        record: &SegmentRecord,
        items: &[BlockItem],
    ) -> Result<CommitOutcome, PortError> {
        let is_fence = record.items.is_empty() && record.copies + record.quarantined == 0;
        match self.bug {
            Some(Bug::SkipFence | Bug::HealWithoutFence) if is_fence => {
                Ok(CommitOutcome::Committed)
            }
            Some(Bug::CommitUnconditionally) => {
                let cursors = self.inner.cursors();
                let there = cursors.get(&record.shard).cloned().unwrap_or_default();
                self.inner.commit(&there, record, items).await
            }
            Some(Bug::CursorBeforeSegment) => {
                let answer = self.inner.commit(seen, record, items).await?;
                if let Some(key) = &record.object {
                    self.write_late(key).await?;
                }
                Ok(answer)
            }
            _ => self.inner.commit(seen, record, items).await,
        }
    }

    async fn records_from(
        &self,
        shard: &Shard,
        from: &Sequence,
        count_max: u32,
    ) -> Result<Vec<SegmentRecord>, PortError> {
        self.inner.records_from(shard, from, count_max).await
    }
}

impl Blocks for Table {
    async fn block_items(
        &self,
        tenant: &TenantId,
        range: TimeRange,
    ) -> Result<Vec<BlockItem>, PortError> {
        let mut items = self.inner.block_items(tenant, range).await?;
        if self.bug == Some(Bug::BeginLate) {
            let first = range.from.minute();
            items.retain(|i| i.slice().is_none_or(|s| s.first_minute() >= first));
        }
        for item in &mut items {
            self.change_item(item);
            let minutes = &mut item.block.minutes;
            minutes.retain(|tally| !self.looks_idle(tenant, tally.minute));
        }
        Ok(items)
    }

    async fn record_items(
        &self,
        record: &SegmentRecord,
    ) -> Result<Vec<Option<BlockItem>>, PortError> {
        if self.bug == Some(Bug::SweepUnsealed) {
            return Ok(Vec::new());
        }
        self.inner.record_items(record).await
    }

    async fn are_blocks_listed(&self) -> Result<bool, PortError> {
        self.inner.are_blocks_listed().await
    }
}

impl Listing for Table {
    async fn earlier_records(
        &self,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<EarlierRecord>, PortError> {
        self.inner.earlier_records(from, to).await
    }

    async fn list_blocks(&self, items: &[BlockItem]) -> Result<(), PortError> {
        self.inner.list_blocks(items).await
    }

    async fn listing_mark(&self) -> Result<Option<ListingMark>, PortError> {
        self.inner.listing_mark().await
    }

    async fn save_listing_mark(&self, mark: &ListingMark) -> Result<(), PortError> {
        self.inner.save_listing_mark(mark).await
    }
}

impl Results for Table {
    async fn merge(
        &self,
        tenant: &TenantId,
        key: &ResultKey,
        registers: &Registers,
    ) -> Result<(), PortError> {
        if self.bug != Some(Bug::LastArrivalWins) {
            return self.inner.merge(tenant, key, registers).await;
        }
        let results = self.inner.all_results();
        let stored = results.get(&(tenant.clone(), key.clone()));
        let (stored, new) = (stored.cloned().unwrap_or_default(), registers.clone());
        let registers = Registers {
            score: new.score.or(stored.score),
            status: new.status.or(stored.status),
            started: new.started.or(stored.started),
            submitted: new.submitted.or(stored.submitted),
            count: new.count.or(stored.count),
        };
        self.inner.overwrite_result(tenant, key, registers);
        Ok(())
    }

    async fn of_learner(
        &self,
        tenant: &TenantId,
        section: Option<&str>,
        learner: &str,
    ) -> Result<ResultList, PortError> {
        self.inner.of_learner(tenant, section, learner).await
    }

    async fn of_section(
        &self,
        tenant: &TenantId,
        section: Option<&str>,
    ) -> Result<ResultList, PortError> {
        self.inner.of_section(tenant, section).await
    }
}

impl Directory for Table {
    async fn token(&self, sha256: &[u8; 32]) -> Result<Option<TokenInfo>, PortError> {
        self.inner.token(sha256).await
    }

    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, PortError> {
        self.inner.tenant(id).await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, PortError> {
        self.inner.tenants().await
    }
}

impl Accounts for Table {
    async fn save_account(
        &self,
        tenant: &TenantId,
        account: &WindowAccount,
    ) -> Result<(), PortError> {
        self.inner.save_account(tenant, account).await
    }

    async fn accounts(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<WindowAccount>, PortError> {
        self.inner.accounts(tenant, from, to).await
    }

    async fn account(
        &self,
        tenant: &TenantId,
        window: Window,
    ) -> Result<Option<WindowAccount>, PortError> {
        self.inner.account(tenant, window).await
    }
}

impl RefusedEnvelopes for Table {
    async fn add_refused(&self, tenant: &TenantId, count: &RefusedCount) -> Result<(), PortError> {
        self.inner.add_refused(tenant, count).await
    }

    async fn refused(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<RefusedCount>, PortError> {
        self.inner.refused(tenant, from, to).await
    }
}

impl RateCounters for Table {
    async fn spend(
        &self,
        tenant: &TenantId,
        spending: &Spending,
    ) -> Result<SpendOutcome, PortError> {
        self.inner.spend(tenant, spending).await
    }

    async fn forget_spent(&self, tenant: &TenantId) -> Result<(), PortError> {
        self.inner.forget_spent(tenant).await
    }
}

impl GivenUpSlices for Table {
    async fn keep_given_up(
        &self,
        tenant: &TenantId,
        slice: &GivenUpSlice,
    ) -> Result<(), PortError> {
        self.inner.keep_given_up(tenant, slice).await
    }

    async fn given_up_slices(
        &self,
        tenant: &TenantId,
        range: TimeRange,
    ) -> Result<Vec<GivenUpSlice>, PortError> {
        self.inner.given_up_slices(tenant, range).await
    }
}

impl Spreads for Table {
    async fn grown_spread(&self, tenant: &TenantId) -> Result<Option<GrownSpread>, PortError> {
        self.inner.grown_spread(tenant).await
    }

    async fn grow_spread(
        &self,
        tenant: &TenantId,
        seen: Option<&GrownSpread>,
        next: &GrownSpread,
    ) -> Result<bool, PortError> {
        self.inner.grow_spread(tenant, seen, next).await
    }
}

impl WorkLists for Table {
    async fn work(&self, owner: &Owner) -> Result<Vec<WorkEntry>, PortError> {
        let mut entries = self.inner.work(owner).await?;
        if self.bug == Some(Bug::IdleOverBackedOff) {
            entries.retain(|entry| !is_backed_off(entry));
        }
        Ok(entries)
    }

    async fn work_entry(
        &self,
        owner: &Owner,
        key: &WorkKey,
    ) -> Result<Option<WorkEntry>, PortError> {
        self.inner.work_entry(owner, key).await
    }

    async fn put_work(&self, owner: &Owner, entry: &WorkEntry) -> Result<(), PortError> {
        let mut entry = entry.clone();
        match (self.bug, entry.key.cause) {
            (Some(Bug::RememberEntriesTooLong), Cause::Close) => return Ok(()),
            (Some(Bug::LateEntryDueAtOnce), Cause::Late) => {
                entry.due = entry.due.plus_seconds(-LATE_ENTRY_SECONDS);
            }
            _ => {}
        }
        self.inner.put_work(owner, &entry).await
    }

    async fn add_work(&self, owner: &Owner, entry: &WorkEntry) -> Result<bool, PortError> {
        if self.bug == Some(Bug::EntryAfterAppend) {
            let late = self.late_entries.lock();
            let mut late = late.unwrap_or_else(PoisonError::into_inner);
            late.push((owner.clone(), entry.clone()));
            return Ok(true);
        }
        self.inner.add_work(owner, entry).await
    }

    async fn remove_work(&self, owner: &Owner, seen: &WorkEntry) -> Result<bool, PortError> {
        if self.bug == Some(Bug::RemoveWhateverIsThere)
            && let Some(there) = self.inner.work_entry(owner, &seen.key).await?
        {
            return self.inner.remove_work(owner, &there).await;
        }
        self.inner.remove_work(owner, seen).await
    }

    async fn due_work(&self, slot: u8, at: Millis) -> Result<Vec<DueItem>, PortError> {
        let mut due = self.inner.due_work(slot, at).await?;
        if self.bug == Some(Bug::NudgeOnce) {
            let nudged = self.nudged.lock();
            let mut nudged = nudged.unwrap_or_else(PoisonError::into_inner);
            due.retain(|item| nudged.insert(item.nonce));
        }
        Ok(due)
    }

    async fn is_seeded(&self) -> Result<bool, PortError> {
        self.inner.is_seeded().await
    }

    async fn put_due(&self, item: &DueItem) -> Result<(), PortError> {
        self.inner.put_due(item).await
    }

    async fn put_entry(
        &self,
        owner: &Owner,
        entry: &WorkEntry,
        expected: Expected,
    ) -> Result<bool, PortError> {
        self.inner.put_entry(owner, entry, expected).await
    }

    async fn remove_entry(&self, owner: &Owner, seen: &WorkEntry) -> Result<bool, PortError> {
        self.inner.remove_entry(owner, seen).await
    }

    async fn mark_lone(&self, item: &DueItem, since: Millis) -> Result<(), PortError> {
        match self.bug {
            Some(Bug::RemoveLoneAtOnce) => self.inner.remove_due(item).await,
            _ => self.inner.mark_lone(item, since).await,
        }
    }

    async fn remove_due(&self, item: &DueItem) -> Result<(), PortError> {
        self.inner.remove_due(item).await
    }
}
