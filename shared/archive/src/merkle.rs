//! Merkle trees as in RFC 6962, section 2.1: leaves hashed under 0x00, nodes under 0x01, split at
//! the largest power of two below the size.

use sha2::{Digest as _, Sha256};

/// A hash of the tree.
pub type Hash = [u8; 32];

/// Levels that a tree of 2^64 leaves can have; bounds the length of a path.
const LEVELS_MAX: usize = 64;

/// The hash of a leaf's data.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0x00]);
    hash.update(data);
    hash.finalize().into()
}

/// The hash of a node over its two subtrees.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0x01]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// The root of a tree without leaves.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// What the data of a part's leaf in the tree over parts begins with.
const PART_LEAF: [u8; 1] = [0x05];

/// What the tree over parts has of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartRoot {
    /// Rows of the part.
    pub rows: u64,
    /// The root over them.
    pub root: Hash,
}

impl PartRoot {
    /// The part's leaf in the tree over parts.
    #[must_use]
    pub fn leaf_hash(&self) -> Hash {
        let mut hash = Sha256::new();
        hash.update([0x00]);
        hash.update(PART_LEAF);
        hash.update(self.rows.to_be_bytes());
        hash.update(self.root);
        hash.finalize().into()
    }
}

/// The root of the tree over parts in this order: that of a seal of version 4.
#[must_use]
pub fn root_over_parts(parts: impl IntoIterator<Item = PartRoot>) -> Hash {
    let mut leaves = Span::starting_at(0);
    parts
        .into_iter()
        .for_each(|part| leaves.push(part.leaf_hash()));
    leaves.root().unwrap_or_else(empty_root)
}

/// Neighbouring leaves of a tree, in as few hashes as they can be held in: the largest complete
/// subtrees that lie between them. Ranges that touch can be joined, so that several threads hash
/// one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    begin: u64,
    end: u64,
    /// Complete subtrees from left to right: the level and the hash of each.
    nodes: Vec<(u32, Hash)>,
}

impl Span {
    /// No leaves yet; the first will be leaf number `begin` of the tree.
    #[must_use]
    pub const fn starting_at(begin: u64) -> Self {
        Self {
            begin,
            end: begin,
            nodes: Vec::new(),
        }
    }

    /// Number of the leaf after the last one.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Adds the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.take(0, leaf);
    }

    /// Adds the leaves that follow; false when `next` begins elsewhere (nothing is changed).
    #[must_use]
    pub fn join(&mut self, next: &Self) -> bool {
        if next.begin != self.end {
            return false;
        }
        for (level, hash) in &next.nodes {
            self.take(*level, *hash);
        }
        true
    }

    fn take(&mut self, mut level: u32, mut hash: Hash) {
        let mut start = self.end;
        self.end += 1 << level;
        // A node that begins at an odd place of its level is the right half of the level above.
        while (start >> level) & 1 == 1
            && let Some((_, left)) = self.nodes.pop_if(|(l, _)| *l == level)
        {
            hash = node_hash(&left, &hash);
            start -= 1 << level;
            level += 1;
        }
        self.nodes.push((level, hash));
    }

    /// The root over the leaves; none when they do not begin with the tree's first.
    #[must_use]
    pub fn root(&self) -> Option<Hash> {
        if self.begin != 0 {
            return None;
        }
        let hashes = self.nodes.iter().map(|(_, hash)| *hash).rev();
        Some(
            hashes
                .reduce(|right, left| node_hash(&left, &right))
                .unwrap_or_else(empty_root),
        )
    }
}

/// The subtrees beside the way from a leaf to the root, from the leaf upwards, as leaf numbers
/// `[from, to)`.
fn siblings(index: u64, size: u64) -> Vec<(u64, u64)> {
    let (mut from, mut to, mut found) = (0, size, Vec::new());
    while to - from > 1 {
        let split = from + (to - from).next_power_of_two() / 2;
        if index < split {
            found.push((split, to));
            to = split;
        } else {
            found.push((from, split));
            from = split;
        }
    }
    found.reverse();
    found
}

/// Builds the audit path of one leaf (section 2.1.1) from all leaves in order, in memory that
/// grows with the logarithm of their number.
#[derive(Debug, Clone)]
pub struct PathBuilder {
    index: u64,
    next: u64,
    /// Subtrees beside the way, each a tree of its own.
    beside: Vec<(u64, u64, Span)>,
}

impl PathBuilder {
    /// For leaf `index` of a tree of `size`; none when there is no such leaf.
    #[must_use]
    pub fn new(index: u64, size: u64) -> Option<Self> {
        (index < size).then(|| Self {
            index,
            next: 0,
            beside: siblings(index, size)
                .into_iter()
                .map(|(from, to)| (from, to, Span::starting_at(0)))
                .collect(),
        })
    }

    /// Shows it the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        let at = self.next;
        self.next += 1;
        let mut beside = self.beside.iter_mut();
        if let Some((_, _, span)) = beside.find(|(from, to, _)| (*from..*to).contains(&at)) {
            span.push(leaf);
        } else {
            debug_assert!(at == self.index || at >= self.index, "a leaf of the tree");
        }
    }

    /// The path from the leaf upwards; none before all leaves were shown.
    #[must_use]
    pub fn finish(self) -> Option<Vec<Hash>> {
        let whole = |(from, to, span): (u64, u64, Span)| {
            (span.end() == to - from).then(|| span.root()).flatten()
        };
        self.beside.into_iter().map(whole).collect()
    }
}

/// The root that a leaf and its audit path lead to; none when a tree of `size` has no such leaf or
/// the path has another length than its paths have.
#[must_use]
pub fn root_from_path(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size || path.len() > LEVELS_MAX {
        return None;
    }
    let beside = siblings(index, size);
    if beside.len() != path.len() {
        return None;
    }
    let up = beside
        .iter()
        .zip(path)
        .fold(leaf, |hash, ((from, _), sibling)| {
            if *from < index {
                node_hash(sibling, &hash)
            } else {
                node_hash(&hash, sibling)
            }
        });
    Some(up)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The eight leaves that Certificate Transparency implementations test with.
    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];

    /// Roots over the first one, two, … eight of them.
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn standard(count: usize) -> Vec<Hash> {
        let data = |text: &&str| leaf_hash(&hex::decode(text).expect("hexadecimal"));
        LEAVES[..count].iter().map(data).collect()
    }

    fn root(leaves: &[Hash]) -> Hash {
        let mut span = Span::starting_at(0);
        leaves.iter().for_each(|leaf| span.push(*leaf));
        span.root().expect("it begins at 0")
    }

    /// Section 2.1 word for word.
    fn defined_root(leaves: &[Hash]) -> Hash {
        match leaves.len() {
            0 => empty_root(),
            1 => leaves[0],
            n => {
                let k = n.next_power_of_two() / 2;
                node_hash(&defined_root(&leaves[..k]), &defined_root(&leaves[k..]))
            }
        }
    }

    /// Section 2.1.1 word for word.
    fn defined_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        let n = leaves.len();
        if n == 1 {
            return Vec::new();
        }
        let k = n.next_power_of_two() / 2;
        let (mut path, beside) = if m < k {
            (defined_path(m, &leaves[..k]), defined_root(&leaves[k..]))
        } else {
            (
                defined_path(m - k, &leaves[k..]),
                defined_root(&leaves[..k]),
            )
        };
        path.push(beside);
        path
    }

    fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
        let mut builder = PathBuilder::new(index as u64, leaves.len() as u64).expect("a leaf");
        leaves.iter().for_each(|leaf| builder.push(*leaf));
        builder.finish().expect("all leaves were shown")
    }

    #[test]
    fn the_known_roots_of_the_standard_leaves() {
        assert_eq!(
            hex::encode(empty_root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        for count in 1..=8 {
            assert_eq!(
                hex::encode(root(&standard(count))),
                ROOTS[count - 1],
                "{count} leaves"
            );
        }
    }

    #[test]
    fn the_known_paths_of_the_standard_leaves() {
        let known = |index: usize, size: usize| -> Vec<String> {
            path(index, &standard(size))
                .iter()
                .map(hex::encode)
                .collect()
        };
        assert_eq!(known(0, 1), Vec::<String>::new());
        assert_eq!(
            known(0, 8),
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ]
        );
        assert_eq!(
            known(2, 3),
            ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]
        );
    }

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    proptest! {
        #[test]
        fn roots_and_paths_are_as_defined(count in 1usize..200, at in any::<prop::sample::Index>()) {
            let (leaves, index) = (leaves(count), at.index(count));
            prop_assert_eq!(root(&leaves), defined_root(&leaves));
            let path = path(index, &leaves);
            prop_assert_eq!(&path, &defined_path(index, &leaves));
            let found = root_from_path(leaves[index], index as u64, count as u64, &path);
            prop_assert_eq!(found, Some(root(&leaves)));
        }

        #[test]
        fn a_tampered_proof_leads_elsewhere(
            count in 2usize..200, at in any::<prop::sample::Index>(), change in 0u8..6, bit in 0usize..256, step in any::<prop::sample::Index>(),
        ) {
            let (leaves, index) = (leaves(count), at.index(count));
            let (mut leaf, mut index, mut size, mut path) = (leaves[index], index as u64, count as u64, path(index, &leaves));
            let len = path.len();
            match change {
                0 => leaf[bit / 8] ^= 1 << (bit % 8),
                1 => path[step.index(len)][bit / 8] ^= 1 << (bit % 8),
                2 => drop(path.pop()),
                3 => path.push(leaf),
                4 => index = (index + 1) % size,
                // Another size that has paths of another shape at this leaf.
                _ => size *= 4,
            }
            prop_assert_ne!(root_from_path(leaf, index, size, &path), Some(root(&leaves)));
        }

        #[test]
        fn spans_join_wherever_they_are_cut(count in 0usize..300, mut cuts in proptest::collection::vec(0usize..300, 0..6)) {
            let leaves = leaves(count);
            cuts.iter_mut().for_each(|cut| *cut = (*cut).min(count));
            cuts.extend([0, count]);
            cuts.sort_unstable();
            let mut whole = Span::starting_at(0);
            for pair in cuts.windows(2) {
                let mut part = Span::starting_at(pair[0] as u64);
                leaves[pair[0]..pair[1]].iter().for_each(|leaf| part.push(*leaf));
                prop_assert!(whole.join(&part));
            }
            prop_assert_eq!(whole.root(), Some(root(&leaves)));
        }
    }

    #[test]
    fn what_is_no_range_of_the_tree_is_refused() {
        let mut span = Span::starting_at(0);
        assert!(!span.join(&Span::starting_at(1)));
        assert_eq!(Span::starting_at(1).root(), None);
        assert!(PathBuilder::new(3, 3).is_none());
        assert!(PathBuilder::new(0, 2).expect("a leaf").finish().is_none());
        assert_eq!(root_from_path([0; 32], 3, 3, &[]), None);
    }
}
