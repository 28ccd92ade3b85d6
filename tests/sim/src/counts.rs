//! What happened in histories, counted.

/// Makes the counts of histories: each with its name in reports.
macro_rules! counts {
    ($($(#[$doc:meta])* $field:ident: $name:literal),* $(,)?) => {
        /// What happened, counted.
        #[derive(Debug, Clone, Default)]
        pub struct Counts {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Counts {
            /// Adds another run's.
            pub const fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }

            /// Each count with its name, in the order of reports.
            #[must_use]
            pub fn rows(&self) -> Vec<(&'static str, u64)> {
                vec![$(($name, self.$field)),*]
            }
        }
    };
}

counts! {
    /// Operations, arms not counted.
    operations: "operations",
    /// Calls of a function.
    invocations: "invocations",
    /// Events sent, again and again.
    events_sent: "events sent",
    /// Events in segments.
    events_stored: "stored",
    /// Invocations that were dropped.
    crashes: "crashes",
    /// Invocations that others overtook.
    overtaken: "overtaken",
    /// Batches that the trigger gave up.
    given_up: "given up",
    /// Batches that were brought back.
    recoveries: "recoveries",
    /// Frames that were played back.
    played_back: "played back",
    /// Shards that split or merged.
    reshards: "reshards",
    /// Deliveries that ended at a frame which the stream function fails on each time.
    poison: "poison met",
    /// Slices that recovery gave up after three tries: they lie raw in quarantine and count as missing.
    slices_given_up: "quarantined",
    /// Receipts that the table's TTL removed.
    receipts_expired: "receipts gone",
    /// Records that the stream kept for as long as it keeps any.
    records_expired: "records gone",
    /// Windows that did not add up when a worker looked.
    windows_held: "windows held",
    /// Holds whose clock ran.
    clocks: "clocks",
    /// Frames that recovery sent again while the clock of a hold of their tenant ran, none of which it reset.
    beside_clocks: "beside clocks",
    /// Histories that ended with everything sealed that can be.
    archived: "archived",
    /// Seals of all kinds.
    seals: "seals",
    /// Seals among them that are backfills.
    backfills: "backfills",
    /// Backfills without events: a receipt came or changed after its window's seal.
    recounts: "recounts",
    /// Seals that say that something is missing.
    shortfalls: "shortfalls",
    /// Seals of days.
    days: "days",
    /// Events in seals.
    events_sealed: "sealed",
    /// Windows that could never be sealed whole.
    windows_lost: "windows lost",
    /// Playbacks that were asked for.
    playbacks: "playbacks",
    /// Steps that these playbacks took.
    playback_steps: "their steps",
    /// Segments that were swept.
    swept: "swept",
    /// Segments that were swept more than two hours after the newest of their events was received: something of them
    /// had not been sealed before.
    swept_late: "swept late",
    /// Oversize events that were swept.
    oversize_swept: "oversize swept",
    /// Objects that were swept since nothing named them.
    unnamed_swept: "unnamed swept",
    /// Filters that were rolled up.
    rolled_up: "rolled up",
}
