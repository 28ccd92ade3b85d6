//! Names known to the rules, as small numbers.

/// A name with its outer eight bytes, which for up to 16 bytes are all of it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    head: u64,
    tail: u64,
    name: &'static str,
}

/// An interned set of names with a hash table.
#[derive(Debug)]
pub(crate) struct Names {
    /// By number; the first is no name.
    entries: Vec<Entry>,
    /// A table of a power of two, sparsely filled: 0 is free, else the number.
    slots: Vec<u16>,
    /// Chosen so that no two names want the same place.
    seed: u64,
}

impl Default for Names {
    fn default() -> Self {
        Names {
            entries: vec![Entry {
                head: 0,
                tail: 0,
                name: "",
            }],
            slots: vec![0; 1],
            seed: 0,
        }
    }
}

/// No name has this number.
pub(crate) const UNKNOWN: u16 = 0;

/// The first eight bytes, filled up with zeros, and the last eight of a longer name.
#[inline]
fn ends(text: &[u8], start: usize, end: usize) -> (u64, u64) {
    let length = end - start;
    // One load and a mask where the text goes on: names' lengths cannot be foretold.
    let head = match text.get(start..).and_then(|t| t.first_chunk::<8>()) {
        Some(chunk) => u64::from_le_bytes(*chunk) & (u64::MAX >> (64 - 8 * length.clamp(1, 8))),
        None => text[start..end]
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    if length <= 8 {
        return (head, 0);
    }
    (
        head,
        text[..end]
            .last_chunk::<8>()
            .map_or(0, |chunk| u64::from_le_bytes(*chunk)),
    )
}

#[inline]
fn hash(seed: u64, head: u64, tail: u64, length: usize) -> usize {
    let mixed = (head ^ tail.rotate_left(29) ^ (length as u64) << 56).wrapping_mul(seed);
    (mixed >> 40) as usize
}

/// Seeds tried before names have to share places; a few dozen suffice for a sparse table.
const SEEDS_MAX: u64 = 1_000;

impl Names {
    /// The number of a name, new or old. Numbers start at 1, in the order of adding.
    pub(crate) fn add(&mut self, name: &'static str) -> u16 {
        if let Some(old) = self
            .entries
            .iter()
            .skip(1)
            .position(|entry| entry.name == name)
        {
            return old as u16 + 1;
        }
        let (head, tail) = ends(name.as_bytes(), 0, name.len());
        self.entries.push(Entry { head, tail, name });
        self.entries.len() as u16 - 1
    }

    /// Makes the table; names are found from then on.
    pub(crate) fn finish(&mut self) {
        let size = (self.entries.len() * 16).next_power_of_two();
        for attempt in 1..=SEEDS_MAX {
            self.seed = attempt.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            if self.fill(size) {
                return;
            }
        }
    }

    /// Fills the table; false when names had to move on from their places.
    fn fill(&mut self, size: usize) -> bool {
        let mut alone = true;
        self.slots = vec![0; size];
        for (number, entry) in self.entries.iter().enumerate().skip(1) {
            let mut slot = hash(self.seed, entry.head, entry.tail, entry.name.len()) & (size - 1);
            while self.slots[slot] != UNKNOWN {
                alone = false;
                slot = (slot + 1) & (size - 1);
            }
            self.slots[slot] = number as u16;
        }
        alone
    }

    /// The number of a name, or [`UNKNOWN`].
    pub(crate) fn find(&self, name: &[u8]) -> u16 {
        self.find_in(name, 0, name.len())
    }

    /// The number of the name that is a part of `text`, or [`UNKNOWN`].
    #[inline]
    pub(crate) fn find_in(&self, text: &[u8], start: usize, end: usize) -> u16 {
        if start >= end {
            return UNKNOWN;
        }
        let (head, tail) = ends(text, start, end);
        let mask = self.slots.len() - 1;
        let mut slot = hash(self.seed, head, tail, end - start) & mask;
        loop {
            let number = self.slots[slot];
            let entry = &self.entries[usize::from(number)];
            let same = (entry.head, entry.tail, entry.name.len()) == (head, tail, end - start);
            if number == UNKNOWN
                || same && (end - start <= 16 || entry.name.as_bytes() == &text[start..end])
            {
                return number;
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The name of a number; empty for [`UNKNOWN`].
    pub(crate) fn name(&self, number: u16) -> &'static str {
        self.entries
            .get(usize::from(number))
            .map_or("", |entry| entry.name)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - 1
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().skip(1).map(|entry| entry.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_strangers() {
        let known = [
            "id",
            "type",
            "actor",
            "eventTime",
            "extensions",
            "searchResultsItemCount",
            "ab",
            "a",
            "abc",
        ];
        let mut names = Names::default();
        assert_eq!(names.find(b"id"), UNKNOWN);
        for (index, name) in known.into_iter().enumerate() {
            assert_eq!(usize::from(names.add(name)), index + 1);
        }
        names.finish();
        for (index, name) in known.into_iter().enumerate() {
            assert_eq!(usize::from(names.find(name.as_bytes())), index + 1);
            assert_eq!(names.name(index as u16 + 1), name);
        }
        for stranger in [
            "",
            "i",
            "ids",
            "searchResultsItemcount",
            "searchResultsXxemCount",
            "abd",
            "b\0",
            "id\0",
        ] {
            assert_eq!(names.find(stranger.as_bytes()), UNKNOWN, "{stranger:?}");
        }
    }
}
