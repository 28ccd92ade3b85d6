//! Reports over events: what is asked, the fold that takes the events, and the answer.

use super::history::HistoryOf;
use super::{Activity, Asking, Bucket, History, Reach, Rendered, Sections, Seen, Usage, Zone};
use crate::query::EventQuery;
use vernier_archive::search::Column;
use vernier_ledger::chunks::Counts;
use vernier_ledger::time::{Millis, TimeRange};
use vernier_web::ProblemDocument;

/// The range of received-at when none is given, seconds: a week.
const DEFAULT_SECONDS: i64 = 7 * 24 * 3_600;

/// The longest range, seconds: a month. A history's when none is given.
const SECONDS_MAX: i64 = 31 * 24 * 3_600;

/// Which events a report is over; a reader may leave out all others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only of this section (group); the inner none is that of events that name none.
    pub section: Option<Option<String>>,
    /// Only of this actor.
    pub actor: Option<String>,
}

impl Filter {
    fn passes(&self, seen: &Seen<'_>) -> bool {
        let section = self.section.as_ref();
        section.is_none_or(|section| section.as_deref() == seen.group)
            && (self.actor.is_none() || self.actor.as_deref() == seen.actor)
    }
}

#[derive(Debug)]
enum Fold {
    Sections(Sections),
    // Large: 168 counters.
    Activity(Box<Activity>),
    Usage(Usage),
    History(History),
}

/// A report over events, as it was asked for.
#[derive(Debug)]
pub struct Asked<'r> {
    asking: Asking<'r>,
    /// The range of received-at.
    pub range: TimeRange,
    /// Of the events.
    pub filter: Filter,
    fold: Fold,
}

impl<'r> Asked<'r> {
    /// Reads the parameters; none when the report is not one over events.
    ///
    /// # Errors
    /// Names the parameter and what it should be.
    pub fn read(name: &str, asking: Asking<'r>) -> Result<Option<Self>, ProblemDocument> {
        let known: &[&str] = match name {
            "sections" => &["from", "to"],
            "activity" => &["from", "to", "section", "learner", "zone"],
            "usage" => &["from", "to", "section", "zone", "bucket"],
            "history" => &["from", "to", "section", "learner", "assignment", "attempt"],
            _ => return Ok(None),
        };
        asking.request.only_query(known)?;
        let default = match name {
            "history" => SECONDS_MAX,
            _ => DEFAULT_SECONDS,
        };
        let range = asking.request.range(asking.now, default, SECONDS_MAX)?;
        let section = asking.section_if_any()?;
        let mut filter = Filter {
            section: section.map(|section| section.map(str::to_owned)),
            actor: None,
        };
        let fold = match name {
            "sections" => Fold::Sections(Sections::default()),
            "activity" => {
                filter.actor = asking.learner_if_any()?.map(str::to_owned);
                Fold::Activity(Box::new(Activity::new(Zone::read(asking.request)?)))
            }
            "usage" => Fold::Usage(usage(asking, range)?),
            _ => Fold::History(History::new(HistoryOf {
                section: asking.section()?.map(str::to_owned),
                learner: asking.learner()?.to_owned(),
                assignment: asking.id("assignment")?.map(str::to_owned),
                attempt: asking.id("attempt")?.map(str::to_owned),
            })),
        };
        Ok(Some(Self {
            asking,
            range,
            filter,
            fold,
        }))
    }

    /// The events that the fold wants, as far as a query can say it.
    pub(crate) fn query(&self) -> EventQuery {
        let mut query = EventQuery::between(self.range);
        if matches!(self.fold, Fold::History(_)) {
            query.disposition = None;
        }
        let group = self.filter.section.clone().flatten();
        let filters = [("group", group), ("actor", self.filter.actor.clone())];
        let filters = filters.into_iter();
        query.filters = filters
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        query
    }

    /// Their columns that the fold looks at.
    pub(crate) const fn columns(&self) -> &'static [Column] {
        use Column::{Action, Actor, Fingerprint, Group, Id, Kind, Result, Type};
        match self.fold {
            Fold::Sections(_) | Fold::Activity(_) => &[Group, Actor, Kind],
            Fold::Usage(_) => &[Group, Actor, Type, Kind],
            Fold::History(_) => &[Group, Actor, Type, Action, Id, Kind, Result, Fingerprint],
        }
    }

    /// The answer, once all events are taken.
    ///
    /// # Errors
    /// When it is too much for one.
    pub fn finish(self, reach: Reach) -> Result<Rendered, ProblemDocument> {
        let asking = self.asking;
        match self.fold {
            Fold::Sections(fold) => asking.render("sections.csv", &fold.finish()?, reach),
            Fold::Activity(fold) => asking.render("activity.csv", &fold.finish(), reach),
            Fold::Usage(fold) => asking.render("usage.csv", &fold.finish()?, reach),
            Fold::History(fold) => asking.render("history.csv", &fold.finish()?, reach),
        }
    }
}

impl crate::scan::Fold for Asked<'_> {
    /// A describe is something that was said of an entity and nothing that happened: no report counts it.
    fn add(&mut self, seen: &Seen<'_>) {
        let is_meant = self.range.contains(seen.received_at) && !seen.is_describe();
        if !is_meant || !self.filter.passes(seen) {
            return;
        }
        match &mut self.fold {
            Fold::Sections(fold) => fold.add(seen),
            Fold::Activity(fold) => fold.add(seen),
            Fold::Usage(fold) => fold.add(seen),
            Fold::History(fold) => fold.add(seen),
        }
    }

    fn takes_counts(&self, received: (Millis, Millis)) -> bool {
        let of_anybody = self.filter.actor.is_none();
        of_anybody
            && match &self.fold {
                Fold::Sections(_) | Fold::Activity(_) => true,
                Fold::Usage(fold) => fold.takes_counts(received),
                Fold::History(_) => false,
            }
    }

    fn add_counts(&mut self, (first, _): (Millis, Millis), counts: &Counts) {
        let wanted = self.filter.section.as_ref();
        let sections = counts.sections();
        for section in sections.filter(|own| wanted.is_none_or(|w| *w == own.section)) {
            match &mut self.fold {
                Fold::Sections(fold) => fold.add_counts(counts, section),
                Fold::Activity(fold) => fold.add_counts(counts, section),
                Fold::Usage(fold) => fold.add_counts(first, counts, section),
                Fold::History(_) => {}
            }
        }
    }
}

fn usage(asking: Asking<'_>, range: TimeRange) -> Result<Usage, ProblemDocument> {
    let bucket = match asking.request.query("bucket")? {
        Some("hour") => Bucket::Hour,
        Some("day") => Bucket::Day,
        _ => return Err(ProblemDocument::parameter("bucket", "expected hour or day")),
    };
    let starts = Zone::read(asking.request)?.starts(range, bucket);
    Ok(Usage::new(bucket, starts, range))
}
