//! The command as a process, against a small API on loopback.

mod bucket;
mod cost;
mod generate;
mod proof;
mod read;
mod schema;
mod send;
mod service;
mod validate;
mod verify;
