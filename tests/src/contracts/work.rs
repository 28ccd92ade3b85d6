//! What `WorkLists` and `NudgeQueue` promise.

use super::tenant_id;
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use vernier_fakes::MemoryQueue;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{
    Cause, DueItem, Nonce, Nudge, NudgeQueue, Owner, WorkEntry, WorkKey, WorkLists,
};

/// The year 3000: nobody is nudged for what a test puts, on a deployed stack neither.
const DUE: Millis = Millis(32_503_680_000_000);

fn owner() -> Owner {
    Owner::Tenant(tenant_id())
}

fn entry(cause: Cause, due: Millis) -> WorkEntry {
    WorkEntry::new(WorkKey::at(cause, Millis(900_000)), due, Nonce::random())
}

/// An owner's items of the due index.
async fn due(table: &impl WorkLists, owner: &Owner, at: Millis) -> Vec<DueItem> {
    let mut due = table.due_work(owner.slot(), at).await.expect("read");
    assert!(due.is_sorted(), "by when they are due");
    due.retain(|item| item.owner == *owner);
    due
}

async fn there(table: &impl WorkLists, owner: &Owner, entries: &[&WorkEntry]) {
    let list = table.work(owner).await.expect("read");
    assert_eq!(list.iter().collect::<Vec<_>>(), entries);
    let due: BTreeSet<DueItem> = due(table, owner, Millis(i64::MAX / 2))
        .await
        .into_iter()
        .collect();
    let items = entries.iter().map(|entry| entry.due_item(owner)).collect();
    assert_eq!(due, items, "an index item for each entry and no other");
}

pub async fn an_entry_is_put_moved_and_removed_with_its_index_item(table: &impl WorkLists) {
    let owner = owner();
    let first = entry(Cause::Close, DUE);
    assert_eq!(table.put_work(&owner, &first).await, Ok(()));
    assert_eq!(table.put_work(&owner, &first).await, Ok(()));
    there(table, &owner, &[&first]).await;
    let read = table.work_entry(&owner, &first.key).await;
    assert_eq!(read, Ok(Some(first.clone())));
    let next = WorkEntry {
        due: DUE.plus_seconds(60),
        nonce: Nonce::random(),
        tries: 3,
        place: Some("\"Zwölf\" # 数学".to_owned()),
        ..first.clone()
    };
    // A call that is repeated because its answer was lost.
    for _ in 0..2 {
        assert_eq!(table.move_work(&owner, &first, &next).await, Ok(true));
        there(table, &owner, &[&next]).await;
    }
    assert_eq!(table.remove_work(&owner, &next).await, Ok(true));
    assert_eq!(table.remove_work(&owner, &next).await, Ok(false));
    there(table, &owner, &[]).await;
    assert_eq!(table.work_entry(&owner, &next.key).await, Ok(None));
}

pub async fn an_entry_that_was_put_again_stays(table: &impl WorkLists) {
    let owner = owner();
    let seen = entry(Cause::Late, DUE);
    let newer = entry(Cause::Late, DUE.plus_seconds(1));
    table.put_work(&owner, &seen).await.expect("put");
    table.put_work(&owner, &newer).await.expect("put");
    assert_eq!(table.remove_work(&owner, &seen).await, Ok(false));
    let other = entry(Cause::Late, DUE.plus_seconds(2));
    assert_eq!(table.move_work(&owner, &seen, &other).await, Ok(false));
    assert_eq!(table.work(&owner).await, Ok(vec![newer.clone()]));
    let both = vec![seen.due_item(&owner), newer.due_item(&owner)];
    assert_eq!(due(table, &owner, DUE.plus_seconds(9)).await, both);
    // The one without an entry nudges once for nothing.
    for _ in 0..2 {
        assert_eq!(table.remove_due(&both[0]).await, Ok(()));
    }
    there(table, &owner, &[&newer]).await;
    assert_eq!(table.remove_work(&owner, &newer).await, Ok(true));
    there(table, &owner, &[]).await;
}

pub async fn of_concurrent_adds_one_counts(table: &impl WorkLists) {
    let owner = owner();
    let entries: Vec<WorkEntry> = (0..8).map(|_| entry(Cause::Close, DUE)).collect();
    let adds = entries.iter().map(|entry| table.add_work(&owner, entry));
    let added: Vec<bool> = join_all(adds)
        .await
        .into_iter()
        .map(|a| a.expect("answers"))
        .collect();
    let winner = added.iter().position(|added| *added).expect("one wins");
    assert_eq!(added.iter().filter(|added| **added).count(), 1);
    assert_eq!(table.work(&owner).await, Ok(vec![entries[winner].clone()]));
    // A call that is repeated because its answer was lost.
    assert_eq!(table.add_work(&owner, &entries[winner]).await, Ok(true));
    for item in due(table, &owner, DUE).await {
        if item.nonce != entries[winner].nonce {
            table.remove_due(&item).await.expect("removed");
        }
    }
    there(table, &owner, &[&entries[winner]]).await;
    assert_eq!(table.remove_work(&owner, &entries[winner]).await, Ok(true));
}

pub async fn a_list_is_its_owners_and_in_the_order_of_causes(table: &impl WorkLists) {
    let tenant = tenant_id();
    let like: Owner = format!("{tenant}-2").parse().expect("an owner");
    let owner = Owner::Tenant(tenant);
    let windows = [9_i64, 10, 100].map(|n| WorkKey::at(Cause::Close, Millis(n * 60_000)));
    let others = Cause::ALL.map(|cause| WorkKey::of(cause, "x"));
    let mut keys = [&windows[..], &others[..]].concat();
    keys.sort();
    let entries: BTreeMap<WorkKey, WorkEntry> = keys
        .into_iter()
        .map(|key| (key.clone(), WorkEntry::new(key, DUE, Nonce::random())))
        .collect();
    for entry in entries.values().rev() {
        assert_eq!(table.add_work(&owner, entry).await, Ok(true));
    }
    let alike = entry(Cause::Close, DUE);
    table.put_work(&like, &alike).await.expect("put");
    there(table, &owner, &entries.values().collect::<Vec<_>>()).await;
    there(table, &like, &[&alike]).await;
    for entry in entries.values() {
        assert_eq!(table.remove_work(&owner, entry).await, Ok(true));
    }
    assert_eq!(table.remove_work(&like, &alike).await, Ok(true));
}

pub async fn index_items_are_due_at_their_instant(table: &impl WorkLists) {
    let owner = owner();
    let instants = [DUE, Millis(DUE.0 + 1), DUE.plus_seconds(100_000)];
    let entries: Vec<WorkEntry> = [Cause::Late, Cause::Close, Cause::Sweep]
        .into_iter()
        .zip(instants)
        .map(|(cause, due)| entry(cause, due))
        .collect();
    for entry in entries.iter().rev() {
        table.put_work(&owner, entry).await.expect("put");
    }
    let items: Vec<DueItem> = entries.iter().map(|e| e.due_item(&owner)).collect();
    for (at, count) in [
        (Millis(DUE.0 - 1), 0),
        (instants[0], 1),
        (instants[1], 2),
        (Millis(instants[2].0 - 1), 2),
        (instants[2], 3),
    ] {
        assert_eq!(due(table, &owner, at).await, items[..count], "{at:?}");
    }
    for entry in &entries {
        assert_eq!(table.remove_work(&owner, entry).await, Ok(true));
    }
}

pub async fn an_index_item_says_since_when_it_is_alone(table: &impl WorkLists) {
    let owner = owner();
    let item = entry(Cause::Close, DUE).due_item(&owner);
    table.put_due(&item).await.expect("put");
    let marked = DueItem {
        lone_since: Some(Millis(7)),
        ..item.clone()
    };
    // A call that is repeated because its answer was lost.
    for _ in 0..2 {
        assert_eq!(table.mark_lone(&item, Millis(7)).await, Ok(()));
        assert_eq!(due(table, &owner, DUE).await, std::slice::from_ref(&marked));
    }
    assert_eq!(table.remove_due(&marked).await, Ok(()));
    assert_eq!(table.mark_lone(&item, Millis(8)).await, Ok(()));
    assert_eq!(
        due(table, &owner, DUE).await,
        [],
        "what is gone is not put again"
    );
}

/// A queue's far end, which in production the trigger has.
#[allow(async_fn_in_trait)] // one thread
pub trait FarEnd: NudgeQueue {
    /// What deletes a message that was received.
    type Handle;

    /// Receives a message; none where all groups with messages have one under way.
    async fn receive(&self) -> Option<(Nudge, Self::Handle)>;

    /// Deletes a message that was received.
    async fn delete(&self, handle: Self::Handle);
}

impl FarEnd for MemoryQueue {
    type Handle = u64;

    async fn receive(&self) -> Option<(Nudge, u64)> {
        let delivery = MemoryQueue::receive(self, Millis(0))?;
        Some((delivery.nudge, delivery.handle))
    }

    async fn delete(&self, handle: u64) {
        assert!(MemoryQueue::delete(self, handle), "it was received");
    }
}

fn nudge(owner: &Owner) -> Nudge {
    entry(Cause::Close, DUE).due_item(owner).into()
}

async fn send(queue: &impl NudgeQueue, nudges: &[Nudge]) {
    let answers = queue.send(nudges).await;
    assert_eq!(answers.len(), nudges.len());
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

pub async fn an_owner_has_one_nudge_under_way(queue: &impl FarEnd) {
    let owners = [owner(), Owner::Ledger];
    let nudges = [&owners[0], &owners[0], &owners[1]].map(nudge);
    send(queue, &nudges).await;
    let mut received = Vec::new();
    while let Some(message) = queue.receive().await {
        received.push(message);
    }
    // Groups have no order among each other.
    received.sort_by_key(|(nudge, _)| nudges.iter().position(|sent| sent == nudge));
    let seen: Vec<&Nudge> = received.iter().map(|(nudge, _)| nudge).collect();
    assert_eq!(seen, [&nudges[0], &nudges[2]]);
    for (_, handle) in received {
        queue.delete(handle).await;
    }
    let (second, handle) = queue.receive().await.expect("the group goes on");
    assert_eq!(second, nudges[1]);
    queue.delete(handle).await;
    assert!(queue.receive().await.is_none());
}

pub async fn the_same_nudge_comes_once(queue: &impl FarEnd) {
    let nudge = nudge(&owner());
    send(queue, &[nudge.clone(), nudge.clone()]).await;
    send(queue, std::slice::from_ref(&nudge)).await;
    let (received, handle) = queue.receive().await.expect("one");
    assert_eq!(received, nudge);
    queue.delete(handle).await;
    send(queue, &[nudge]).await;
    assert!(queue.receive().await.is_none(), "within five minutes");
}

pub async fn more_nudges_than_one_call_takes(queue: &impl FarEnd) {
    send(queue, &[]).await;
    let owner = owner();
    let nudges: Vec<Nudge> = (0..25).map(|_| nudge(&owner)).collect();
    send(queue, &nudges).await;
    let mut received = BTreeSet::new();
    while let Some((nudge, handle)) = queue.receive().await {
        received.insert(nudge);
        queue.delete(handle).await;
    }
    assert_eq!(received, nudges.into_iter().collect());
}
