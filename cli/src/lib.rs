//! The operator's and the sensor developer's command, `vernier`, and the generator behind
//! `vernier generate` as a library for tests and benches (without default features: only that).

#[cfg(feature = "command")]
pub mod command;
pub mod generate;
#[cfg(feature = "command")]
mod validate;
