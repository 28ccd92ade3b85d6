//! The settings of workers as the template has them.

use vernier_reconcile::compaction::{COMPACT_BYTES_MAX, Compacting};
use vernier_reconcile::process::WorkSettings;
use vernier_reconcile::sweeping::Sweeping;
use vernier_reconcile::{ReceiptDays, Settings};

pub(crate) const RECEIPT_DAYS: u32 = 30;
pub(crate) const WINDOW_MINUTES: u32 = 15;
pub(crate) const GRACE_SECONDS: i64 = 300;

pub(crate) const WORK: WorkSettings = WorkSettings {
    windows: Settings {
        window_minutes: WINDOW_MINUTES,
        grace_seconds: GRACE_SECONDS,
    },
    receipt_days: ReceiptDays(RECEIPT_DAYS),
    compacting: Compacting {
        compact_after_seconds: 48 * 3_600,
        remove_after_seconds: 7 * 86_400,
        bytes_max: COMPACT_BYTES_MAX,
    },
    sweeping: Sweeping {
        segment_seconds: 30 * 86_400,
        trigger_seconds: 90_000,
        failure_seconds: 90 * 86_400,
    },
    paused: false,
};
