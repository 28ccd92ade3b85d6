//! The operator's and the sensor developer's command, `vernier`, and, as a library for tests and benches
//! (without default features: only these), the generator behind `vernier generate` and the reader of the
//! service's answers.

#[cfg(feature = "command")]
pub mod command;
pub mod document;
pub mod generate;
#[cfg(feature = "command")]
mod validate;
