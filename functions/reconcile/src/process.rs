//! What a process of the function keeps between invocations, and its settings.

use crate::compaction::Compacting;
use crate::sealing::Workshop;
use crate::sweeping::Sweeping;
use crate::{ReceiptDays, Settings};
use vernier_intake::{OpenWindows, SpreadKeeper};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::salt::SaltKey;
use vernier_ledger::schema::SchemaCache;
use vernier_ledger::spread::Spread;
use vernier_ledger::time::Millis;
use vernier_ledger::work::Nonce;

/// Settings of planner and workers.
#[derive(Debug, Clone, Copy)]
pub struct WorkSettings {
    /// How windows are cut and how long they may take to add up.
    pub windows: Settings,
    /// How long the receipts of frames that are brought back are kept.
    pub receipt_days: ReceiptDays,
    /// When days are compacted.
    pub compacting: Compacting,
    /// When segments and what nothing names may go.
    pub sweeping: Sweeping,
    /// Whether sealing, compaction and sweeping wait for an operator.
    pub paused: bool,
}

/// What a process keeps from one invocation to the next.
#[derive(Debug)]
pub struct Process<T> {
    /// What sealing and compaction keep.
    pub workshop: Workshop,
    /// Tenants' own event types, for what is judged again.
    pub schemas: SchemaCache<T>,
    /// Gives a new envelope its receipt.
    pub new_receipt: fn(Spread, Millis) -> ReceiptId,
    /// Gives a new envelope its salt key.
    pub new_salt_key: fn() -> SaltKey,
    /// Gives an entry of a work list its nonce.
    pub new_nonce: fn() -> Nonce,
    /// How far playbacks know their tenants to have grown.
    pub spreads: SpreadKeeper,
    /// Windows that playbacks have opened.
    pub windows: OpenWindows,
}
