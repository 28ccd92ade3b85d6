//! A tenant's end: what removing it takes, and that it takes nothing of anybody else.

use std::collections::BTreeMap;
use vernier_fakes::{Fault, Operation};
use vernier_ledger::ids::TenantId;
use vernier_ledger::offboarding::{
    LAST_COMMIT_SECONDS, NotOffboarded, TenantItems as _, close, remove, survey,
};
use vernier_ledger::ports::{Directory as _, Inventory as _, Leftovers as _, Sweeps as _};
use vernier_ledger::sweep::{Leftover, LeftoverKey, LeftoverKind, Sweep, SweepMark};
use vernier_ledger::time::Millis;
use vernier_tests::bodies::{post, settled};
use vernier_tests::envelopes::{bytes, events};
use vernier_tests::memory::MemoryWorld;
use vernier_tests::{Member, World};
use vernier_validation::{Mode, Profile};

async fn sealed_member(world: &MemoryWorld) -> (Member, TenantId) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let receipt = post(world, &member, bytes(&events(3))).await;
    settled(world, &member, &receipt).await;
    let id = member.tenant.parse().expect("a tenant's name");
    (member, id)
}

/// All objects that a tenant's name stands in, with their bytes.
async fn objects_of(world: &MemoryWorld, id: &TenantId) -> BTreeMap<String, u64> {
    let all = world.bucket.all_listed("").await.expect("a list");
    let name = format!("tenant={id}/");
    let own = all.into_iter().filter(|object| object.key.contains(&name));
    own.map(|object| (object.key, object.bytes)).collect()
}

async fn swept(world: &MemoryWorld, through: Millis) {
    let mark = SweepMark {
        through,
        ..SweepMark::default()
    };
    let saved = world.table.save_sweep_mark(Sweep::Segments, &mark).await;
    saved.expect("saved");
}

/// Oversize events of a tenant's day that the sweep left.
fn left_of(tenant: &TenantId, kind: LeftoverKind) -> Leftover {
    Leftover {
        key: LeftoverKey {
            start: Millis(0),
            kind,
            tenant: Some(tenant.clone()),
        },
        objects: 1,
        first: "oversize/x".to_owned(),
    }
}

#[tokio::test]
async fn a_removed_tenant_is_gone_and_its_neighbour_is_whole() {
    let world = MemoryWorld::default();
    let (_, id) = sealed_member(&world).await;
    let (_, other) = sealed_member(&world).await;
    world.seal().await;
    let (table, bucket) = (&world.table, &world.bucket);
    let (objects, items) = (
        objects_of(&world, &other).await,
        table.count_items(&other).await.expect("counted"),
    );
    assert!(
        objects.len() >= 2 && items["seals"] >= 1,
        "{objects:?} {items:?}"
    );
    let now = vernier_ledger::clock::now();
    let open = survey(table, bucket, &id).await;
    assert_eq!(open, Err(NotOffboarded::Open(id.clone())));
    close(table, &id, now).await.expect("closed");

    // Not before the segments are swept that it shares, and nothing of its own is left in the sweep.
    let needed = now.plus_seconds(LAST_COMMIT_SECONDS);
    let early = remove(table, bucket, &id, now).await;
    assert!(
        matches!(early, Err(NotOffboarded::NotSwept { .. })),
        "{early:?}"
    );
    swept(&world, needed).await;
    for leftover in [
        left_of(&id, LeftoverKind::Oversize),
        left_of(&id, LeftoverKind::Unclaimed),
        left_of(&other, LeftoverKind::Oversize),
    ] {
        table.keep_leftover(&leftover).await.expect("kept");
    }
    let left = survey(table, bucket, &id).await.expect_err("a day is left");
    assert!(left.to_string().contains("oversize events of"), "{left}");
    assert!(!objects_of(&world, &id).await.is_empty());
    let key = left_of(&id, LeftoverKind::Oversize).key;
    table.forget_leftover(&key).await.expect("forgotten");

    let found = survey(table, bucket, &id).await.expect("listed");
    assert_eq!(
        found.sum().objects,
        objects_of(&world, &id).await.len() as u64
    );
    assert!(
        found.sum().bytes > 0 && found.items["receipts"] == 1,
        "{found:?}"
    );
    let removed = remove(table, bucket, &id, now).await.expect("removed");
    assert_eq!(
        (&removed.objects, &removed.items),
        (&found.objects, &found.items)
    );
    assert_eq!(removed.tenant.removed_at, Some(now));
    assert_eq!(objects_of(&world, &id).await, BTreeMap::new());
    assert_eq!(table.count_items(&id).await, Ok(BTreeMap::new()));
    assert_eq!(table.tenants().await, Ok(vec![other.clone()]));
    // The name is not given again.
    let again = vernier_ledger::ports::Administration::create_tenant(table, &removed.tenant).await;
    assert_eq!(again, Ok(false));
    // Invariant 7.
    assert_eq!(objects_of(&world, &other).await, objects);
    assert_eq!(table.count_items(&other).await, Ok(items));
    let twice = remove(table, bucket, &id, now.plus_seconds(9))
        .await
        .expect("nothing left");
    assert_eq!((twice.sum().objects, twice.items.len()), (0, 0));
    assert_eq!(twice.tenant.removed_at, Some(now), "the first one counts");
}

/// Cut off at any of its calls a removal is finished by the next one.
#[tokio::test]
async fn a_removal_that_was_cut_off_is_finished() {
    let world = MemoryWorld::default();
    let (_, id) = sealed_member(&world).await;
    world.seal().await;
    let now = vernier_ledger::clock::now();
    close(&world.table, &id, now).await.expect("closed");
    swept(&world, now.plus_seconds(LAST_COMMIT_SECONDS)).await;
    let mut cut = 0;
    for operation in [Operation::RemoveObject, Operation::RemoveItems] {
        for fault in [Fault::Before, Fault::After] {
            world
                .faults
                .plan(move |o, count| (o == operation && count == 0).then_some(fault));
            let failed = remove(&world.table, &world.bucket, &id, now).await;
            cut += u32::from(failed.is_err());
            let tenant = world.table.tenant(&id).await.expect("read").expect("there");
            assert!(failed.is_ok() || tenant.removed_at.is_none());
        }
    }
    assert!(cut >= 3, "{cut}");
    world.faults.clear();
    remove(&world.table, &world.bucket, &id, now)
        .await
        .expect("finished");
    assert_eq!(objects_of(&world, &id).await, BTreeMap::new());
    assert_eq!(world.table.count_items(&id).await, Ok(BTreeMap::new()));
}
