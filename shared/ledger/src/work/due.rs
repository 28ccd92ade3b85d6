//! The due index and the messages that are made of it.

use super::{Nonce, Owner, WorkLists};
use crate::ports::PortError;
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// How long an index item that a worker found without its entry waits for it, seconds. Whoever puts an entry has put its
/// index item just before, and no Lambda function runs for longer.
pub const LONE_ITEM_SECONDS: i64 = 15 * 60;

/// Index items that one nudge names at most. Ten nudges make a call of the queue, which takes 262,144 bytes; an
/// item has at most 200: the name of a list of filters of 72 bytes, a nonce of 32, two instants and JSON's own.
pub const NUDGE_ITEMS_MAX: usize = 100;

/// An item of the due index: an owner has something to do from an instant on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DueItem {
    /// When the entry is due.
    pub due: Millis,
    /// Whose list has the entry.
    pub owner: Owner,
    /// Which entry; the list may not have it any more.
    pub nonce: Nonce,
    /// Since when the item is known to have no entry in its owner's list; none where no worker has found that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lone_since: Option<Millis>,
}

impl DueItem {
    /// Whether somebody is to be nudged for the item: not while its entry may still be about to be put, though a worker
    /// did not find the entry.
    #[must_use]
    pub fn is_to_be_nudged(&self, now: Millis) -> bool {
        self.lone_since
            .is_none_or(|since| since.plus_seconds(LONE_ITEM_SECONDS) <= now)
    }
}

/// The message that a worker gets: an owner has something to do. The queue knows it by the nonce of its first item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Nudge {
    /// What is due for longest.
    #[serde(flatten)]
    pub first: DueItem,
    /// What else of the owner is due, as much as fits, so that a worker finds every item that has no entry any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<DueItem>,
}

impl Nudge {
    /// Whose list is to be read.
    #[must_use]
    pub const fn owner(&self) -> &Owner {
        &self.first.owner
    }

    /// Every index item that the nudge names.
    pub fn items(&self) -> impl Iterator<Item = &DueItem> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Makes nudges of due items, one for each owner, those first whose first item has been due for longest.
    #[must_use]
    pub fn of_due(mut items: Vec<DueItem>) -> Vec<Self> {
        items.sort_unstable_by(|a, b| (&a.owner, a).cmp(&(&b.owner, b)));
        let mut nudges: Vec<Self> = Vec::new();
        for item in items {
            match nudges.last_mut().filter(|n| *n.owner() == item.owner) {
                Some(nudge) if nudge.others.len() + 1 < NUDGE_ITEMS_MAX => nudge.others.push(item),
                Some(_) => {}
                None => nudges.push(item.into()),
            }
        }
        nudges.sort_unstable();
        nudges
    }
}

impl From<DueItem> for Nudge {
    fn from(first: DueItem) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }
}

/// Settles an index item whose entry its owner's list does not have: it is marked, and removed when it has been
/// marked for so long that no entry can follow it. A worker that removed it at once might leave an entry that is being put
/// without anybody who is nudged for it.
///
/// # Errors
/// The table's; then the item is as it was.
pub async fn settle_lone<T: WorkLists>(
    table: &T,
    item: &DueItem,
    now: Millis,
) -> Result<(), PortError> {
    match item.lone_since {
        None => table.mark_lone(item, now).await,
        Some(_) if item.is_to_be_nudged(now) => table.remove_due(item).await,
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn item(owner: u8, due: i64, nonce: u8) -> DueItem {
        DueItem {
            due: Millis(due),
            owner: format!("school-{owner}").parse().expect("an owner"),
            nonce: Nonce([nonce; 16]),
            lone_since: None,
        }
    }

    #[test]
    fn a_nudge_of_one_item_is_written_as_versions_without_others_wrote_it() {
        let nudge = Nudge::from(item(1, 7, 2));
        let text = serde_json::to_string(&nudge).expect("JSON");
        let nonce = "02".repeat(16);
        let expected = format!(r#"{{"due":7,"owner":"school-1","nonce":"{nonce}"}}"#);
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Nudge>(&text).ok(), Some(nudge));
    }

    #[test]
    fn ten_nudges_fit_into_a_call_of_the_queue() {
        let widest = DueItem {
            due: Millis(999_999_999_999_999),
            owner: Owner::of_filters(&"s".repeat(63).parse().expect("a tenant's name")),
            nonce: Nonce([255; 16]),
            lone_since: Some(Millis(999_999_999_999_999)),
        };
        let nudges = Nudge::of_due(vec![widest; NUDGE_ITEMS_MAX * 2]);
        let bytes = serde_json::to_string(&nudges).expect("JSON").len();
        assert!(nudges.len() == 1 && bytes * 10 < 262_144, "{bytes}");
    }

    proptest! {
        #[test]
        fn each_owner_is_nudged_once_with_what_is_due_for_longest_first(
            due in prop::collection::vec((0_u8..5, 0_i64..50, any::<u8>()), 0..150),
        ) {
            let items: Vec<DueItem> = due.iter().map(|(o, d, n)| item(*o, *d, *n)).collect();
            let nudges = Nudge::of_due(items.clone());
            let owners: BTreeSet<&Owner> = items.iter().map(|item| &item.owner).collect();
            let nudged: Vec<&Owner> = nudges.iter().map(Nudge::owner).collect();
            prop_assert_eq!(nudged.iter().copied().collect::<BTreeSet<_>>(), owners);
            prop_assert_eq!(nudged.len(), nudged.iter().collect::<BTreeSet<_>>().len());
            prop_assert!(nudges.is_sorted_by_key(|nudge| nudge.first.due));
            for nudge in &nudges {
                let mut own: Vec<&DueItem> =
                    items.iter().filter(|item| item.owner == *nudge.owner()).collect();
                own.sort_unstable();
                own.truncate(NUDGE_ITEMS_MAX);
                prop_assert_eq!(nudge.items().collect::<Vec<_>>(), own);
            }
        }
    }
}
