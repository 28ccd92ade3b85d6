//! What the service that is called costs: estimates name their price and its date.

/// A write unit of an on-demand table (one write of at most 1 KB), dollars. us-east-1, as published
/// on [`PRICES_AS_OF`].
pub const WRITE_UNIT_USD: f64 = 0.625e-6;

/// When prices were last looked up.
pub const PRICES_AS_OF: &str = "2026-11-21";
