//! Bounds, each with its arithmetic. What goes past one is refused, never cut silently.

/// Levels of nesting of a whole body, the envelope's own object being the first.
///
/// The deepest official example has 8 levels; a chain of `isPartOf` from a frame up to an
/// institution has about 10. 64 leaves room for free extensions and keeps recursion under 64
/// frames of about 200 bytes each.
pub const DEPTH_MAX: usize = 64;

/// Items of one envelope.
///
/// The smallest accepted event has about 250 bytes: 10,000 of them are 2.5 MB, within API
/// Gateway's 10 MB and Lambda's 6 MB; more items than that in one body are no sensor's batch.
pub const EVENTS_MAX: usize = 10_000;

/// How long after it was received an event may have happened, milliseconds (5 minutes). Clocks that
/// are set by a network are right within seconds; by hand, within minutes. It is more than the minute
/// by which the ledger's own clocks may differ, and less than a correction takes to be typed in.
pub const AHEAD_MILLIS_MAX: i64 = 5 * 60 * 1_000;

/// Problems reported for one item; the rest is counted in a last problem `limit.problems`.
///
/// At about 300 bytes each, 20 problems are 6 KB: 10,000 wholly bad events make at most 60 MB.
pub const PROBLEMS_MAX: usize = 20;

/// Bytes of one body: places in it are numbers of 31 bits.
pub const BODY_BYTES_MAX: usize = (1 << 31) - 1;

/// Bytes of a value quoted in a problem's `found`; longer ones are cut at a character boundary.
///
/// 20 problems × 80 bytes keep what a rejected event's reasons repeat of its content small.
pub const FOUND_BYTES_MAX: usize = 80;

/// Bytes of a problem's pointer and of its message; longer ones are cut at a character boundary.
///
/// 20 problems × 2 × 512 bytes bound what a rejected event adds to its own size to about 25 KB,
/// however long its keys are.
pub const PROBLEM_TEXT_BYTES_MAX: usize = 512;

/// Bytes of a tenant's schema. The largest event types here have about 200 properties of 100 bytes;
/// three times that.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;

/// Subschemas of a tenant's schema with every reference replaced by what it refers to. An event of
/// [`DOMAIN_VALUES_MAX`] values is then checked in at most 2,000 × 5,000 = 10 million steps, about a
/// second; a real type takes about two steps per value.
pub const SCHEMA_UNFOLDED_MAX: u64 = 2_000;

/// Values (members, elements) of a domain event. A Caliper event has about 60.
pub const DOMAIN_VALUES_MAX: usize = 5_000;

/// Bytes of a compiled pattern of a tenant's schema; `\p{L}{1,24}` compiles within it, `{1,40}` does not.
pub const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Bytes of the name of a tenant's event type: an IRI.
pub const TYPE_NAME_BYTES_MAX: usize = 256;

/// Bytes of all compiled patterns of one schema, each counted at the smallest of 16, 64, 256 and
/// 1,024 KiB that it compiles within: 256 usual patterns (`^[a-z0-9-]{1,64}$`) or 4 of the largest.
pub const SCHEMA_PATTERNS_BYTES_MAX: usize = 4 << 20;
