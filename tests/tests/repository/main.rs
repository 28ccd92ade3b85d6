//! The repository's own rules: what prose would forget, a test remembers.
//!
//! Each rule is one test, and says for each violation the file, the line and the rule. A rule
//! that looks for something also has a test that it finds it.

mod boundaries;
mod catalog;
mod costs;
mod dependencies;
mod deployment;
mod documents;
mod environments;
mod frame_page;
mod functions;
mod golden;
mod golden_block;
mod invariants;
mod openapi;
mod report;
mod rust;
mod sizes;
mod tree;
mod unfinished;
mod watching;
mod words;
