//! Playbacks that somebody asked for: what is to be sent through again, and how far it is.
//!
//! A job moves from one revision to the next on condition, as a chain does: of two that move it one
//! wins, and the other has to look again. Its place is behind the last step that was finished, so
//! that a crash repeats one step at most; what a step does must bear that.

use crate::ids::{ReceiptId, TenantId};
use crate::limits::{PLAYBACK_COLUMN_BYTES_MAX, PLAYBACK_RECEIPTS_MAX, PLAYBACK_STREAM_RATE};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

/// A job's id, a UUIDv7: jobs sort by their beginning.
pub type PlaybackId = Uuid;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaybackState {
    /// Waits for its next step.
    Queued,
    /// Some of it is done.
    Running,
    /// Waits for somebody to resume it.
    Paused,
    /// All of it is done.
    Done,
    /// Somebody ended it; what was done stays.
    Cancelled,
    /// It cannot go on.
    Failed,
}

impl PlaybackState {
    /// Whether there may be more to do.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Paused)
    }

    /// Whether its next step may be taken.
    #[must_use]
    pub const fn is_due(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }

    /// Its name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// What somebody asks of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaybackAction {
    /// Take no further step.
    Pause,
    /// Go on.
    Resume,
    /// End it.
    Cancel,
}

/// From where events are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaybackSource {
    /// Sealed windows: the stored events of the archive.
    #[default]
    Archive,
    /// Sealed windows: the rejected events, judged again by the rules of today.
    Quarantine,
    /// Batches that the trigger gave up.
    Failures,
}

/// Where they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaybackTarget {
    /// Into the results, as the stream function merges them.
    Results,
    /// Onto the stream, in new envelopes of the same sensors.
    Stream,
}

/// Which events, by their columns; what is none lets all pass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaybackFilter {
    /// Type as a Caliper term, or a domain type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none", default)]
    pub type_name: Option<String>,
    /// Action as a Caliper term.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub action: Option<String>,
    /// The actor's id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actor: Option<String>,
    /// The course section's (group's) id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<String>,
    /// The sensor.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sensor: Option<String>,
    /// Of the quarantine: a rule that rejected it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaybackRequest {
    /// Received at or after; with `to`, unless receipts are named.
    #[serde(skip_serializing_if = "Option::is_none", default, with = "instant")]
    pub from: Option<Millis>,
    /// Received before.
    #[serde(skip_serializing_if = "Option::is_none", default, with = "instant")]
    pub to: Option<Millis>,
    /// Of these envelopes alone.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub receipts: BTreeSet<ReceiptId>,
    /// From where.
    #[serde(default)]
    pub source: PlaybackSource,
    /// Which of them.
    #[serde(default, deserialize_with = "crate::object::read")]
    pub filter: PlaybackFilter,
    /// Where to.
    pub target: PlaybackTarget,
    /// Change nothing, and say what would be changed.
    #[serde(default)]
    pub dry_run: bool,
    /// Events a second, on the average of a minute. Without one a playback of sealed events onto the stream gets
    /// [`PLAYBACK_STREAM_RATE`] when it begins, and everything else goes as fast as it can.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rate: Option<u32>,
}

/// Instants as RFC 3339.
mod instant {
    use crate::time::Millis;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    // The signature is serde's.
    #[allow(clippy::ref_option)]
    pub(super) fn serialize<S: Serializer>(at: &Option<Millis>, to: S) -> Result<S::Ok, S::Error> {
        at.map(Millis::rfc3339).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Millis>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let read = text.map(|text| Millis::of_request(&text));
        read.transpose().map_err(D::Error::custom)
    }
}

impl PlaybackRequest {
    /// What is wrong with it, with the JSON pointer to it; none when it can be done.
    #[must_use]
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let filter = &self.filter;
        let columns = [
            ("/filter/type", &filter.type_name),
            ("/filter/action", &filter.action),
            ("/filter/actor", &filter.actor),
            ("/filter/group", &filter.group),
            ("/filter/sensor", &filter.sensor),
            ("/filter/rule", &filter.rule),
        ];
        for (pointer, column) in columns {
            let bytes = column.as_ref().map_or(1, String::len);
            if bytes == 0 || bytes > PLAYBACK_COLUMN_BYTES_MAX {
                let why = format!("expected 1 to {PLAYBACK_COLUMN_BYTES_MAX} bytes");
                return Some((pointer, why));
            }
        }
        if self.receipts.len() > PLAYBACK_RECEIPTS_MAX {
            let why = format!("at most {PLAYBACK_RECEIPTS_MAX} at a time");
            return Some(("/receipts", why));
        }
        if self.rate == Some(0) {
            return Some(("/rate", "expected at least 1 event a second".to_owned()));
        }
        if let Some(problem) = self.source_problem() {
            return Some(problem);
        }
        if self.source == PlaybackSource::Failures {
            return None;
        }
        match (self.from, self.to, self.receipts.is_empty()) {
            (Some(from), Some(to), true) if from < to => None,
            (Some(_), Some(_), true) => Some(("/from", "must be before 'to'".to_owned())),
            (None, None, false) => None,
            (_, _, true) => Some((
                "/from",
                "expected 'from' and 'to', or 'receipts'".to_owned(),
            )),
            (_, _, false) => Some(("/receipts", "expected without 'from' and 'to'".to_owned())),
        }
    }

    /// What of it does not go with its source.
    fn source_problem(&self) -> Option<(&'static str, String)> {
        let wrong = |pointer, why: &str| Some((pointer, why.to_owned()));
        if self.filter.rule.is_some() && self.source != PlaybackSource::Quarantine {
            return wrong("/filter/rule", "only of the quarantine");
        }
        if self.source == PlaybackSource::Archive {
            return None;
        }
        if self.target != PlaybackTarget::Stream {
            return wrong(
                "/target",
                "expected \"stream\": results are of stored events",
            );
        }
        let is_narrowed = self.from.is_some() || self.to.is_some() || !self.receipts.is_empty();
        let is_filtered = self.filter != PlaybackFilter::default();
        match self.source {
            PlaybackSource::Failures if is_narrowed || is_filtered => wrong(
                "/source",
                "failures are brought back all: no range, no filter",
            ),
            PlaybackSource::Failures if self.rate.is_some() => {
                wrong("/rate", "failures come back as fast as they can")
            }
            _ => None,
        }
    }

    /// Whether it gets a rate where none is asked for: it would compete with sensors for the stream.
    #[must_use]
    const fn needs_rate(&self) -> bool {
        self.rate.is_none()
            && !self.dry_run
            && matches!(self.target, PlaybackTarget::Stream)
            && !matches!(self.source, PlaybackSource::Failures)
    }

    /// Whether a dry run's findings are kept in memory, so that a run that ends before it is over
    /// has to begin again.
    #[must_use]
    pub const fn compares(&self) -> bool {
        self.dry_run && matches!(self.target, PlaybackTarget::Results)
    }

    /// From the first to behind the last instant of received-at that it speaks of.
    #[must_use]
    pub fn span(&self) -> (Millis, Millis) {
        let received = |receipt: &ReceiptId| receipt.received_at();
        let first = self.receipts.first().map(received);
        let last = self.receipts.last().map(|r| Millis(received(r).0 + 1));
        let from = self.from.or(first).unwrap_or(Millis(0));
        (from, self.to.or(last).unwrap_or(from))
    }

    /// Whether an envelope's events are asked for.
    #[must_use]
    pub fn wants(&self, receipt: ReceiptId) -> bool {
        let (from, to) = self.span();
        let at = receipt.received_at();
        from <= at && at < to && (self.receipts.is_empty() || self.receipts.contains(&receipt))
    }
}

/// How far a job is: the next row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct PlaybackPosition {
    /// The seal's sequence.
    pub sequence: u64,
    /// Number of the file in the seal.
    pub file: u32,
    /// Number of the row in the file.
    pub row: u64,
}

/// How much of it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlaybackProgress {
    /// Seals that it goes through.
    pub seals: u64,
    /// Those it is done with.
    pub seals_done: u64,
    /// Events in them, whatever became of each.
    pub events: u64,
    /// Those behind its place.
    pub events_passed: u64,
    /// Those that were asked for and sent through (by a dry run: would have been).
    pub events_played: u64,
    /// Write units: of results, or of the receipts and claims of new envelopes. Or what they would be.
    pub writes: u64,
    /// Envelopes that were sent.
    #[serde(default)]
    pub envelopes: u64,
    /// Of the quarantine: events that today's rules reject as well; they stay where they are.
    #[serde(default)]
    pub rejected_again: u64,
}

/// A result that a dry run would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaybackExample {
    /// Whether there is none yet.
    pub created: bool,
    /// The course section's id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub section: Option<String>,
    /// The learner's id.
    pub learner: String,
    /// The assignment's id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub assignment: Option<String>,
    /// The attempt's id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attempt: Option<String>,
    /// Registers that would be set.
    pub registers: Vec<String>,
    /// The score that is there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub score_before: Option<f64>,
    /// The score that would be there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub score_after: Option<f64>,
}

/// What a dry run found: results by what would become of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PlaybackDiff {
    /// Not there yet.
    pub created: u64,
    /// There, with a register that is older or missing.
    pub changed: u64,
    /// There, as new or newer.
    pub same: u64,
    /// Some of those that would be created or changed.
    pub examples: Vec<PlaybackExample>,
}

/// One playback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaybackJob {
    /// Its id.
    pub id: PlaybackId,
    /// How often it was written: whoever writes it next says which one was seen.
    pub revision: u64,
    /// Public name of the token that asked for it.
    pub token_id: String,
    /// What was asked for.
    pub request: PlaybackRequest,
    /// Where it stands.
    pub state: PlaybackState,
    /// Why it failed.
    pub reason: Option<String>,
    /// When it was asked for.
    pub created_at: Millis,
    /// When it was last written.
    pub updated_at: Millis,
    /// Seals from this sequence on came later and are no part of it.
    pub before_sequence: u64,
    /// The next row.
    pub position: PlaybackPosition,
    /// How much is done.
    pub progress: PlaybackProgress,
    /// With a rate: the instant up to which events were allowed and taken.
    pub paced_until: Millis,
    /// Runs that a dry run did not end in: it begins again at each.
    pub tries: u32,
    /// What a dry run found.
    pub diff: Option<PlaybackDiff>,
}

/// A minute: what a rate allows at once, milliseconds.
const BURST_MILLIS: i64 = 60_000;

impl PlaybackJob {
    /// A new one, that goes through seals before a sequence. One that gets the default rate may begin with a minute's
    /// events, so that small ones are done at once.
    #[must_use]
    pub fn new(
        mut request: PlaybackRequest,
        token_id: &str,
        before_sequence: u64,
        progress: PlaybackProgress,
        now: Millis,
    ) -> Self {
        let mut paced_until = now;
        if request.needs_rate() {
            request.rate = Some(PLAYBACK_STREAM_RATE);
            paced_until = Millis(now.0 - BURST_MILLIS);
        }
        Self {
            id: ReceiptId::generate(now, 0).into(),
            revision: 1,
            token_id: token_id.to_owned(),
            request,
            state: PlaybackState::Queued,
            reason: None,
            created_at: now,
            updated_at: now,
            before_sequence,
            position: PlaybackPosition::default(),
            progress,
            paced_until,
            tries: 0,
            diff: None,
        }
    }

    /// The next revision, in a state.
    #[must_use]
    pub fn moved(&self, state: PlaybackState, now: Millis) -> Self {
        let mut next = self.clone();
        next.revision += 1;
        next.state = state;
        next.updated_at = now;
        next
    }

    /// The next revision, given up.
    #[must_use]
    pub fn failed(&self, reason: &str, now: Millis) -> Self {
        let mut next = self.moved(PlaybackState::Failed, now);
        next.reason = Some(reason.to_owned());
        next
    }

    /// The next revision after an action; itself where nothing is to be done, none where the action
    /// makes no sense any more.
    #[must_use]
    pub fn after(&self, action: PlaybackAction, now: Millis) -> Option<Self> {
        use PlaybackState::{Cancelled, Paused, Queued, Running};
        let same = Some(self.clone());
        match (action, self.state) {
            (PlaybackAction::Pause, Queued | Running) => Some(self.moved(Paused, now)),
            (PlaybackAction::Resume, Paused) => {
                let mut next = self.moved(Queued, now);
                // What a rate would have allowed in the pause is gone.
                next.paced_until = now;
                Some(next)
            }
            (PlaybackAction::Cancel, state) if state.is_open() => Some(self.moved(Cancelled, now)),
            (PlaybackAction::Pause, Paused)
            | (PlaybackAction::Resume, Queued | Running)
            | (PlaybackAction::Cancel, Cancelled) => same,
            _ => None,
        }
    }

    /// Events that the rate allows now; a dry run has none to keep.
    #[must_use]
    pub fn allowance(&self, now: Millis) -> u64 {
        let rate = self.request.rate.filter(|_| !self.request.dry_run);
        let Some(rate) = rate else {
            return u64::MAX;
        };
        let since = self.paced_until.0.max(now.0 - BURST_MILLIS);
        let millis = u64::try_from(now.0 - since).unwrap_or(0);
        millis.saturating_mul(u64::from(rate)) / 1_000
    }

    /// Notes that so many of the allowed events were taken.
    pub fn take(&mut self, events: u64, now: Millis) {
        let Some(rate) = self.request.rate else {
            return;
        };
        let since = self.paced_until.0.max(now.0 - BURST_MILLIS);
        let millis = events
            .saturating_mul(1_000)
            .div_ceil(u64::from(rate).max(1));
        self.paced_until = Millis(since + i64::try_from(millis).unwrap_or(i64::MAX / 2));
    }
}

/// Logs name a job so.
#[must_use]
pub fn named(tenant: &TenantId, job: &PlaybackJob) -> String {
    format!("playback {} of {tenant}", job.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn request(body: Value) -> PlaybackRequest {
        serde_json::from_value(body).expect("a request")
    }

    fn job(rate: Option<u32>) -> PlaybackJob {
        let mut asked = request(json!({
            "from": "2026-09-01T00:00:00Z", "to": "2026-09-02T00:00:00Z", "target": "results",
        }));
        asked.rate = rate;
        PlaybackJob::new(
            asked,
            "t",
            7,
            PlaybackProgress::default(),
            Millis(1_000_000),
        )
    }

    /// A job that an earlier version kept may have a range in that version's forms.
    #[test]
    fn a_kept_range_is_read_in_the_forms_of_earlier_versions() {
        let kept = json!({
            "from": "-000001-12-31T00:01:00.000Z", "to": "253402300799999", "target": "results",
        });
        let asked = request(kept);
        let range = (asked.from, asked.to);
        assert_eq!(
            range,
            (
                Some(Millis(-62_167_305_540_000)),
                Some(Millis(253_402_300_799_999))
            )
        );
        let again = serde_json::to_value(&asked).expect("JSON");
        assert_eq!(request(again), asked);
        let year = json!({"from": "2026", "to": "2027", "target": "results"});
        assert!(serde_json::from_value::<PlaybackRequest>(year).is_err());
    }

    #[test]
    fn a_request_names_a_range_or_receipts() {
        let receipt = ReceiptId::from_parts(Millis(90_000), 0, [1; 8]);
        let (from, to) = ("1970-01-01T00:01:00Z", "1970-01-01T00:02:00Z");
        for (body, wrong) in [
            (json!({"from": from, "to": to, "target": "results"}), None),
            (json!({"receipts": [receipt], "target": "results"}), None),
            (json!({"target": "results"}), Some("/from")),
            (json!({"from": from, "target": "results"}), Some("/from")),
            (
                json!({"from": to, "to": to, "target": "results"}),
                Some("/from"),
            ),
            (
                json!({"from": from, "to": to, "receipts": [receipt], "target": "results"}),
                Some("/receipts"),
            ),
            (
                json!({"from": from, "to": to, "target": "results", "rate": 0}),
                Some("/rate"),
            ),
            (
                json!({"from": from, "to": to, "target": "results", "filter": {"type": ""}}),
                Some("/filter/type"),
            ),
        ] {
            let asked = request(body.clone());
            assert_eq!(asked.problem().map(|(at, _)| at), wrong, "{body}");
            if wrong.is_none() {
                let later = ReceiptId::from_parts(Millis(120_000), 0, [1; 8]);
                assert!(asked.wants(receipt) && !asked.wants(later), "{body}");
            }
        }
        let misspelt =
            json!({"from": from, "to": to, "target": "results", "filter": {"aktor": "x"}});
        let read = serde_json::from_value::<PlaybackRequest>(misspelt);
        assert!(read.is_err(), "a misspelt filter must not widen it");
    }

    #[test]
    fn an_action_moves_a_job_once_and_never_one_that_ended() {
        let now = Millis(2_000_000);
        let queued = job(None);
        let paused = queued.after(PlaybackAction::Pause, now).expect("pauses");
        assert_eq!((paused.state, paused.revision), (PlaybackState::Paused, 2));
        assert_eq!(
            paused.after(PlaybackAction::Pause, now),
            Some(paused.clone())
        );
        let resumed = paused.after(PlaybackAction::Resume, now).expect("resumes");
        assert_eq!(
            (resumed.state, resumed.revision),
            (PlaybackState::Queued, 3)
        );
        let ended = resumed.after(PlaybackAction::Cancel, now).expect("ends");
        assert_eq!(
            ended.after(PlaybackAction::Cancel, now),
            Some(ended.clone())
        );
        assert_eq!(ended.after(PlaybackAction::Resume, now), None);
        assert_eq!(
            queued
                .failed("gone", now)
                .after(PlaybackAction::Cancel, now),
            None
        );
    }

    #[test]
    fn onto_the_stream_nothing_goes_without_a_rate() {
        let asked = |target: &str, source: &str, more: Value| {
            let mut body = json!({"target": target, "source": source});
            if source != "failures" {
                body["from"] = json!("2026-09-01T00:00:00Z");
                body["to"] = json!("2026-09-02T00:00:00Z");
            }
            for (name, value) in more.as_object().into_iter().flatten() {
                body[name.as_str()] = value.clone();
            }
            let asked = request(body);
            assert_eq!(asked.problem(), None);
            PlaybackJob::new(
                asked,
                "t",
                7,
                PlaybackProgress::default(),
                Millis(1_000_000),
            )
        };
        let usual = Some(PLAYBACK_STREAM_RATE);
        for (job, rate) in [
            (asked("stream", "archive", json!({})), usual),
            (asked("stream", "quarantine", json!({})), usual),
            (asked("stream", "archive", json!({"rate": null})), usual),
            (
                asked("stream", "archive", json!({"rate": 9_000})),
                Some(9_000),
            ),
            (asked("stream", "archive", json!({"dry_run": true})), None),
            (asked("stream", "failures", json!({})), None),
            (asked("results", "archive", json!({})), None),
        ] {
            assert_eq!(job.request.rate, rate, "{job:?}");
        }
        let mut job = asked("stream", "archive", json!({}));
        let minute = u64::from(PLAYBACK_STREAM_RATE) * 60;
        assert_eq!(job.allowance(job.created_at), minute);
        job.take(minute, job.created_at);
        assert_eq!(job.allowance(job.created_at), 0);
        assert_eq!(
            job.allowance(job.created_at.plus_seconds(10)),
            u64::from(PLAYBACK_STREAM_RATE) * 10
        );
    }

    #[test]
    fn a_rate_holds_on_the_average_and_at_most_a_minute_comes_at_once() {
        let mut paced = job(Some(10));
        let start = paced.created_at;
        assert_eq!(paced.allowance(start), 0);
        assert_eq!(paced.allowance(start.plus_seconds(5)), 50);
        paced.take(50, start.plus_seconds(5));
        assert_eq!(paced.allowance(start.plus_seconds(5)), 0);
        assert_eq!(paced.allowance(start.plus_seconds(6)), 10);
        assert_eq!(paced.allowance(start.plus_seconds(86_400)), 600);
        assert_eq!(job(None).allowance(start), u64::MAX);
    }
}
