//! The ledger: what an envelope becomes on its way to being accounted for.
//!
//! Pure domain types first ([`frame`], [`line`](mod@line), [`segment`], [`receipt`], [`digest`],
//! [`results`], [`account`]), then the [`ports`] through which they reach storage. The crate `vernier-aws`
//! has the adapters. Nothing but [`clock`] reads the clock, nothing but [`metrics`] writes to the log by itself:
//! times are arguments, so that a simulation can own them.

pub mod access;
pub mod account;
pub mod block_item;
pub mod canonical;
pub mod chain;
pub mod checkpoint;
pub mod chunks;
pub mod clock;
pub mod closing;
pub mod committed;
pub mod compression;
pub mod digest;
pub mod disposition;
pub mod earlier;
pub mod event_id;
pub mod frame;
mod frame_stream;
pub mod given_up;
pub mod holds;
pub mod id_filter;
pub mod ids;
pub mod invariant;
pub mod limits;
pub mod line;
pub mod live;
pub mod metrics;
pub mod object;
pub mod offboarding;
pub mod playback_job;
pub mod ports;
pub mod prices;
pub mod quarantine;
pub mod rates;
pub mod receipt;
pub mod recovery;
pub mod refused;
pub mod removal;
pub mod restore;
pub mod results;
pub mod retry;
pub mod roll_up;
pub mod salt;
pub mod scaling;
pub mod schema;
pub mod segment;
pub mod spread;
pub mod stores;
pub mod sweep;
pub mod tenant_prefix;
pub mod time;
pub mod traffic;
pub mod work;

pub use invariant::Invariant;
