//! Windows sealed, read back, proved, tampered with and checked.

#[path = "../common/mod.rs"]
mod common;

mod blind;
mod days;
mod days4;
mod duckdb;
mod golden;
mod golden4;
mod golden_day;
mod identities;
mod proving;
mod readers;
mod reading;
mod receipts;
mod respelled;
mod sealing;
mod searching;
mod tampering;
mod tampering4;
mod unreadable_times;
mod verifying;
mod version4;
