//! Keys that an object has twice.
use crate::scan::{Tape, key_of};

/// Objects of up to this many members are compared pair by pair (120 comparisons at most).
const PAIRWISE_MAX: usize = 16;

/// Notes on the tape a member of `object`, the last on it, whose key another member has.
pub(crate) fn find_duplicate(text: &str, tape: &mut Tape, object: usize) {
    let mut at = object + 1;
    let mut count = 0;
    let mut members = [0usize; PAIRWISE_MAX];
    while at < tape.nodes.len() {
        if count == PAIRWISE_MAX {
            return find_duplicate_many(text, tape, object);
        }
        for &other in &members[..count] {
            if key_of(text, &tape.nodes[other]) == key_of(text, &tape.nodes[at]) {
                tape.duplicate = Some(at);
            }
        }
        members[count] = at;
        count += 1;
        at = tape.nodes[at].next as usize;
    }
}

fn find_duplicate_many(text: &str, tape: &mut Tape, object: usize) {
    let mut seen = std::collections::HashSet::new();
    let mut at = object + 1;
    while at < tape.nodes.len() {
        if !seen.insert(key_of(text, &tape.nodes[at])) {
            tape.duplicate = Some(at);
            return;
        }
        at = tape.nodes[at].next as usize;
    }
}
