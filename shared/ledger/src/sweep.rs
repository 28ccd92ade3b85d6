//! How far the sweeps are that remove what is not needed any more, and what they had to leave.

use crate::ids::TenantId;
use crate::ports::PortError;
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Which sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sweep<'t> {
    /// Segments and oversize events that are sealed, and objects that nothing names.
    Segments,
    /// A tenant's parts that no seal names.
    Parts(&'t TenantId),
}

/// How far the sweep is within the hour that begins where its mark is through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "in", rename_all = "snake_case")]
pub enum SweepPlace {
    /// In the hour's segments, behind an object.
    Segments {
        /// The last object that was judged; none at the beginning.
        after: Option<String>,
    },
    /// In the segments of an earlier hour, of which some were so young that a commit could still name them.
    Young {
        /// The last object that was judged; none at the beginning.
        after: Option<String>,
    },
    /// In the oversize events of the day that the hour ends, behind a tenant.
    Oversize {
        /// The last tenant whose events were judged; none at the beginning.
        after: Option<TenantId>,
    },
}

/// A segment that was to go and is not wholly sealed, as earlier versions remember it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftSegment {
    /// When its commit landed, by the commit's record; of one of several commits the first.
    pub committed_at: Millis,
    /// Its key.
    pub object: String,
}

/// A tenant's oversize events of a day (UTC) that were to go and may not be wholly sealed, as earlier versions remember
/// them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftDay {
    /// The day's beginning.
    pub start: Millis,
    /// Whose.
    pub tenant: TenantId,
}

/// How far a sweep is. Its size does not depend on how much it had to leave: that is a [`Leftover`] each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SweepMark {
    /// Swept before this instant.
    pub through: Millis,
    /// How far the hour from there on is swept; none where it is not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<SweepPlace>,
    /// The leftover that was looked at last; the next look begins behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<LeftoverKey>,
    /// The object behind which the look at that leftover's hour was cut off; none where it was whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_after: Option<String>,
    /// Segments that an earlier version left; they become leftovers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left: BTreeSet<LeftSegment>,
    /// Days of oversize events that an earlier version left; they become leftovers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left_days: BTreeSet<LeftDay>,
}

/// What a sweep left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftoverKind {
    /// Oversize events of a tenant's day that may not be wholly sealed.
    Oversize,
    /// Segments of an hour that hold something of a tenant that is not sealed.
    Segments,
    /// Oversize events of a tenant's day that no seal has, and that a commit may still name.
    Unclaimed,
    /// Segments of an hour that no commit names, and that were written while this table knew nothing.
    Unknown,
}

impl LeftoverKind {
    /// Every kind, in their order.
    pub const ALL: [Self; 4] = [
        Self::Oversize,
        Self::Segments,
        Self::Unclaimed,
        Self::Unknown,
    ];

    /// The kind's name in keys, which sort as the kinds do.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Oversize => "oversize",
            Self::Segments => "segments",
            Self::Unclaimed => "unclaimed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether somebody must look: something that should be sealed is not.
    #[must_use]
    pub const fn is_overdue(self) -> bool {
        matches!(self, Self::Oversize | Self::Segments)
    }
}

/// Which leftover: one for each hour or day, kind and tenant, whatever their number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftoverKey {
    /// The beginning of the hour of segments, or of the day of oversize events.
    pub start: Millis,
    /// The kind of the objects, which says why they were left.
    pub kind: LeftoverKind,
    /// Whose it is; none where nobody knows.
    pub tenant: Option<TenantId>,
}

/// Objects that a sweep left behind; they are looked at again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// The hour or day, kind and tenant of the objects.
    pub key: LeftoverKey,
    /// How many the last look found on one page of the bucket's list: at least so many there are.
    pub objects: u64,
    /// The key of the first of them.
    pub first: String,
}

/// When objects may have been written of which this table knows nothing: it was restored to an earlier time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownTime {
    /// What the restored table knew last.
    pub from: Millis,
    /// When it was first seen that the table had been restored.
    pub until: Millis,
}

impl UnknownTime {
    /// Clocks differ, and a function that was under way may have written a little longer, seconds.
    const AROUND_SECONDS: i64 = 15 * 60;

    /// Whether an object that was written then may be unknown to the table.
    #[must_use]
    pub const fn has(&self, written_at: Millis) -> bool {
        self.from.plus_seconds(-Self::AROUND_SECONDS).0 <= written_at.0
            && written_at.0 <= self.until.plus_seconds(Self::AROUND_SECONDS).0
    }

    /// The time that spans this one and another.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            from: self.from.min(other.from),
            until: self.until.max(other.until),
        }
    }
}

/// How far sweeps are.
#[allow(async_fn_in_trait)]
pub trait Sweeps {
    /// A sweep's mark; none before it was first saved.
    async fn sweep_mark(&self, sweep: Sweep<'_>) -> Result<Option<SweepMark>, PortError>;

    /// Saves a mark over the one before.
    async fn save_sweep_mark(&self, sweep: Sweep<'_>, mark: &SweepMark) -> Result<(), PortError>;

    /// When objects may have been written of which this table knows nothing, read consistently; none where it was
    /// never restored, or an operator has said that it is over.
    async fn unknown_time(&self) -> Result<Option<UnknownTime>, PortError>;

    /// Keeps that time over the one before, or none any more.
    async fn save_unknown_time(&self, unknown: Option<UnknownTime>) -> Result<(), PortError>;
}

/// What sweeps left behind.
#[allow(async_fn_in_trait)]
pub trait Leftovers {
    /// The leftovers behind one, in the order of their keys, at most `count_max`, read consistently.
    async fn leftovers(
        &self,
        after: Option<&LeftoverKey>,
        count_max: u32,
    ) -> Result<Vec<Leftover>, PortError>;

    /// Keeps a leftover over the one before of its key. Durable on return.
    async fn keep_leftover(&self, leftover: &Leftover) -> Result<(), PortError>;

    /// Forgets a leftover. That there is none is as good.
    async fn forget_leftover(&self, key: &LeftoverKey) -> Result<(), PortError>;
}

/// Leftovers of one read.
const LEFTOVERS_AT_A_TIME: u32 = 100;

/// Every leftover, in the order of their keys.
///
/// # Errors
/// Whatever error reading the table gives.
pub async fn all_leftovers<T: Leftovers>(table: &T) -> Result<Vec<Leftover>, PortError> {
    let mut all: Vec<Leftover> = Vec::new();
    loop {
        let after = all.last().map(|last| &last.key);
        let page = table.leftovers(after, LEFTOVERS_AT_A_TIME).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_sort_as_their_names_do() {
        let names = LeftoverKind::ALL.map(LeftoverKind::as_str);
        assert!(names.is_sorted());
        assert!(LeftoverKind::ALL.is_sorted());
    }

    #[test]
    fn a_mark_of_an_earlier_version_is_read_with_its_lists() {
        let text = r#"{"through":3600000,"left":[{"committed_at":7,"object":"segments/a"}],"left_days":[{"start":0,"tenant":"school"}]}"#;
        let mark: SweepMark = serde_json::from_str(text).expect("a mark");
        assert_eq!((mark.left.len(), mark.left_days.len()), (1, 1));
        assert_eq!(mark.place, None);
        let mark = SweepMark {
            through: Millis(7),
            place: Some(SweepPlace::Young {
                after: Some("segments/a".to_owned()),
            }),
            ..SweepMark::default()
        };
        let text = serde_json::to_string(&mark).expect("plain data");
        assert_eq!(
            text,
            r#"{"through":7,"place":{"in":"young","after":"segments/a"}}"#
        );
        assert_eq!(serde_json::from_str::<SweepMark>(&text).ok(), Some(mark));
    }

    #[test]
    fn a_time_without_knowledge_spans_all_restores() {
        let one = UnknownTime {
            from: Millis(10_000_000),
            until: Millis(20_000_000),
        };
        let other = UnknownTime {
            from: Millis(15_000_000),
            until: Millis(40_000_000),
        };
        let both = one.with(other);
        assert!(both.has(Millis(30_000_000)) && both.has(Millis(9_500_000)));
        assert!(!both.has(Millis(1)) && !both.has(Millis(50_000_000)));
    }
}
