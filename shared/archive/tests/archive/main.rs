//! Windows sealed, read back, proved, tampered with and checked.

#[path = "../common/mod.rs"]
mod common;

mod duckdb;
mod golden;
mod proving;
mod reading;
mod sealing;
mod tampering;
mod verifying;
