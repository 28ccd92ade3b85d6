//! Test tiers: pipeline, simulation, emulator, repository.
//!
//! [`bodies`] are written once against [`World`] and run twice: on the handlers over the fakes
//! ([`memory::MemoryWorld`], the pipeline tier) and on the deployed stack
//! ([`deployed::DeployedWorld`], the emulator tier).

pub mod bodies;
pub mod contracts;
pub mod deployed;
pub mod envelopes;
pub mod files;
pub mod memory;
pub mod openapi;
pub mod orchestra;
pub mod proxy;
pub mod readback;
pub mod stub;
pub mod trigger;
pub mod world;

pub use world::{Answer, Call, Member, World};
