//! The sensors' side: events and envelopes as they were sent, so that the oracle knows what every
//! stored line must be.

use super::script::{EventSpec, Variant};
use std::fmt::Write as _;
use vernier_ledger::ids::ReceiptId;

/// The name of a tenant by its number, and how many lanes it has.
#[must_use]
pub fn tenant(number: u16) -> (String, u16) {
    (format!("school-{number}"), 1 + number % 2)
}

/// The sensor of all.
pub const SENSOR: &str = "https://school.example/sensors/1";

/// A sensor's bytes between the keys of an event: insignificant, and gone after compaction.
const SPACE: &str = " \n  ";

impl EventSpec {
    /// Whether the rules accept it.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.variant != Variant::Invalid
    }

    /// The event's id.
    #[must_use]
    pub fn event_id(&self) -> String {
        format!("urn:uuid:00000000-0000-4000-8000-{:012}", self.id)
    }

    /// The event that means the same in its usual spelling.
    #[must_use]
    pub const fn plain(&self) -> Self {
        let variant = match self.variant {
            Variant::Respelled => Variant::Plain,
            other => other,
        };
        Self { variant, ..*self }
    }

    /// The event as it must be stored.
    #[must_use]
    pub fn compact(&self) -> String {
        self.text("")
    }

    /// The learner that a grade is for.
    #[must_use]
    pub fn learner(&self) -> String {
        format!("https://school.example/users/{}", self.id % 3)
    }

    /// When it happened: grades of one learner share some instants.
    #[must_use]
    pub fn time(&self) -> String {
        format!(
            "2026-11-20T{:02}:15:00.000Z",
            5 + u32::from(self.id) * 5 % 4
        )
    }

    /// What a grade gives; none for other events.
    #[must_use]
    pub fn score(&self) -> Option<u8> {
        match self.variant {
            Variant::Grade => Some(self.id),
            Variant::OtherGrade => Some(self.id + 50),
            _ => None,
        }
    }

    fn text(&self, space: &str) -> String {
        let (kind, rest) = match self.score() {
            Some(score) => ("GradeEvent", self.grade(score, space)),
            None => ("NavigationEvent", self.navigation(space)),
        };
        let time = if self.is_accepted() {
            self.time()
        } else {
            "yesterday".to_owned()
        };
        format!(
            "{{{space}\"@context\":{space}\"http://purl.imsglobal.org/ctx/caliper/v1p2\",\
             \"id\":\"{}\",{space}\"type\":\"{kind}\",{rest},{space}\"eventTime\":\"{time}\",\
             \"group\":{space}{{\"id\":\"https://school.example/sections/3\",\"type\":\"CourseSection\"}}{space}}}",
            self.event_id(),
        )
    }

    fn navigation(&self, space: &str) -> String {
        let padding = match self.variant {
            Variant::Large => 400_000,
            Variant::Oversize => 1_100_000,
            _ => 0,
        };
        let name = match self.variant {
            Variant::Other => "Lesson \\\"Elf\\\"",
            Variant::Respelled => "Lesson, {\\\"Zw\\u00f6lf\\\"}",
            _ => "Lesson, {\\\"Zw\u{f6}lf\\\"}",
        };
        let actor = if self.is_accepted() {
            format!(
                "\"actor\":{space}{{\"id\":\"{}\",\"type\":\"Person\"}},",
                self.learner()
            )
        } else {
            String::new()
        };
        format!(
            "\"profile\":\"ReadingProfile\",{actor}\"action\":\"NavigatedTo\",{space}\
             \"object\":{{\"id\":\"https://school.example/pages/12\",\"type\":\"WebPage\",\
             \"name\":\"{name}{}\"}}",
            "n".repeat(padding),
        )
    }

    fn grade(&self, score: u8, space: &str) -> String {
        let grader = "{\"id\":\"https://school.example/grader\",\"type\":\"SoftwareApplication\"}";
        let quiz = "https://school.example/quizzes/4";
        let attempt = format!("{quiz}/{}", self.id % 3);
        format!(
            "\"profile\":\"GradingProfile\",\"actor\":{grader},\"action\":\"Graded\",{space}\
             \"object\":{{\"id\":\"{attempt}\",\"type\":\"Attempt\",\
             \"assignee\":{{\"id\":\"{}\",\"type\":\"Person\"}},\
             \"assignable\":{{\"id\":\"{quiz}\",\"type\":\"Assessment\"}},\"count\":1}},\
             \"generated\":{{\"id\":\"{attempt}/score\",\"type\":\"Score\",\"attempt\":\"{attempt}\",\
             \"scoreGiven\":{score}.0,\"maxScore\":100.0}}",
            self.learner(),
        )
    }
}

/// An envelope's bytes; sensors differ in their white space.
#[must_use]
pub fn body(events: &[EventSpec], spaced: bool) -> Vec<u8> {
    let space = if spaced { SPACE } else { "" };
    let mut body = format!(
        "{{\"sensor\":\"{SENSOR}\",{space}\"sendTime\":\"2026-11-20T10:15:01.000Z\",\
         \"dataVersion\":\"http://purl.imsglobal.org/ctx/caliper/v1p2\",\"data\":["
    );
    for (n, event) in events.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(body, "{comma}{space}{}", event.text(space));
    }
    body.push_str("]}");
    body.into_bytes()
}

/// An envelope that a sensor has.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Number of its tenant.
    pub tenant: usize,
    /// Its events, in order.
    pub events: Vec<EventSpec>,
    /// Its bytes.
    pub body: std::sync::Arc<Vec<u8>>,
    /// Whether the sensor was told that it is safe.
    pub answered: bool,
}

/// One try to send an envelope: what the input function was called with.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// The receipt that it was given.
    pub receipt: ReceiptId,
    /// Which envelope.
    pub envelope: usize,
    /// Whether it was answered with a 2xx.
    pub acknowledged: bool,
}
