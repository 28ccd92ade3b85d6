//! `GivenUpSlices`.

use super::unique;
use vernier_ledger::frame::Tally;
use vernier_ledger::given_up::{GivenUpSlice, GivenUpSlices};
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::time::{Millis, TimeRange};

fn slice(at: i64, slice: u32, tenant: &TenantId) -> GivenUpSlice {
    let receipt = ReceiptId::from_parts(Millis(at), 1, [7; 8]);
    GivenUpSlice {
        receipt,
        slice,
        slices: 12,
        tally: Tally::default(),
        at: Millis(at + 5),
        object: GivenUpSlice::object_of(tenant, receipt, slice),
    }
}

pub async fn slices_that_were_given_up_are_found_by_when_they_were_received(
    table: &impl GivenUpSlices,
) {
    let name = || -> TenantId { unique("given").parse().expect("a tenant's name") };
    let (tenant, other) = (name(), name());
    let all = [
        slice(1_795_167_900_000, 2, &tenant),
        slice(1_795_167_900_000, 11, &tenant),
        slice(1_795_167_959_999, 0, &tenant),
        slice(1_795_167_960_000, 0, &tenant),
    ];
    for given_up in all.iter().rev() {
        assert_eq!(table.keep_given_up(&tenant, given_up).await, Ok(()));
    }
    let minute = TimeRange {
        from: Millis(1_795_167_900_000),
        to: Millis(1_795_167_960_000),
    };
    let found = table.given_up_slices(&tenant, minute).await;
    assert_eq!(found.as_deref(), Ok(&all[..3]));
    assert_eq!(table.given_up_slices(&other, minute).await, Ok(Vec::new()));
    let again = GivenUpSlice {
        at: Millis(1_795_168_000_000),
        ..all[0].clone()
    };
    assert_eq!(table.keep_given_up(&tenant, &again).await, Ok(()));
    let found = table.given_up_slices(&tenant, minute).await;
    assert_eq!(found.expect("read")[0], again, "the newer one is kept");
}
