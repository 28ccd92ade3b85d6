//! `POST /caliper` and `/schemas`: what a sensor sends, and the answer that it gets.
//! The work is [`vernier_intake`]'s.

pub mod body;
pub mod context;
pub mod handler;
mod rates;
mod refused;
pub mod schemas;
