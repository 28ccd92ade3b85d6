//! From a moment to the Caliper 1.2 event that a sensor would send for it.

use super::activity::{Act, Activity, Answer, DAY, Moment, SECOND, Sitting, item_halves_max};
use super::catalog::{PAGES, QUIZZES, SITE};
use super::entities::{duration, person, platform, player, quizzes, reader, score_entity};
use super::node::Node;
use super::{CONTEXT, Term, rfc3339};

/// Everything that the events of one activity share.
pub(super) struct Scene<'a> {
    activity: &'a Activity,
    term: &'a Term,
    course: String,
    section: String,
    learner: String,
    assessment: String,
    week_start: i64,
}

impl<'a> Scene<'a> {
    pub(super) fn new(activity: &'a Activity, term: &'a Term) -> Self {
        let cycle = &activity.cycle;
        let course = format!("{SITE}/{}/{}", term.slug, cycle.course.slug);
        let section = format!("{course}/{}", cycle.section);
        Self {
            learner: format!("{SITE}/users/{}", 100_001 + cycle.learner * 7),
            assessment: format!("{section}/assess/{}", cycle.week + 1),
            week_start: term.start + cycle.week as i64 * 7 * DAY,
            activity,
            term,
            course,
            section,
        }
    }

    /// The event of a moment, and its Caliper type.
    pub(super) fn event(&self, moment: &Moment) -> (&'static str, Node) {
        let (kind, profile) = kind_and_profile(&moment.act);
        let sitting = &self.activity.sittings[moment.sitting];
        let event = Node::default()
            .with("@context", CONTEXT)
            .with("id", moment.id.as_str())
            .with("type", kind)
            .with("profile", profile);
        let event = match moment.act {
            Act::LoggedIn | Act::LoggedOut => self.login(event, moment, sitting),
            Act::TimedOut => self.time_out(event, moment, sitting),
            Act::ItemGraded { attempt, item } => self.item_grade(event, moment.at, attempt, item),
            Act::Graded {
                attempt,
                score,
                halves,
            } => self.grade(event, moment.at, attempt, score, halves),
            _ => self.in_course(event, moment, sitting),
        };
        (kind, event)
    }

    fn login(&self, event: Node, moment: &Moment, sitting: &Sitting) -> Node {
        let leaving = matches!(moment.act, Act::LoggedOut);
        let event = event
            .with("actor", person(&self.learner))
            .with("action", if leaving { "LoggedOut" } else { "LoggedIn" })
            .with("object", platform())
            .with("eventTime", rfc3339(moment.at))
            .with("edApp", platform())
            .with("group", self.group_in_full())
            .with("membership", self.membership());
        event.with("session", self.session_in_full(sitting, leaving))
    }

    /// A time-out is told by the platform, about the session (Caliper 1.2, Session Profile).
    fn time_out(&self, event: Node, moment: &Moment, sitting: &Sitting) -> Node {
        event
            .with("actor", platform())
            .with("action", "TimedOut")
            .with("object", self.session_in_full(sitting, true))
            .with("eventTime", rfc3339(moment.at))
            .with("edApp", platform())
            .with("group", self.group_in_full())
            .with("membership", self.membership())
    }

    fn in_course(&self, event: Node, moment: &Moment, sitting: &Sitting) -> Node {
        let event = event.with("actor", person(&self.learner));
        let (event, app) = match moment.act {
            Act::Navigated { page, .. } => (
                event
                    .with("action", "NavigatedTo")
                    .with("object", self.page(page)),
                reader(),
            ),
            Act::Viewed { page } => (
                event
                    .with("action", "Viewed")
                    .with("object", self.page(page)),
                reader(),
            ),
            Act::Media {
                film,
                action,
                position,
                length,
            } => (self.media(event, film, action, position, length), player()),
            Act::NavigatedToAssessment => (
                event
                    .with("action", "NavigatedTo")
                    .with("object", self.assessment_entity()),
                platform(),
            ),
            Act::ViewedAssessment => (
                event
                    .with("action", "Viewed")
                    .with("object", self.assessment_entity()),
                quizzes(),
            ),
            Act::Assessment { attempt, action } => {
                let generated = self.attempt(attempt, moment.at, action == "Submitted");
                (
                    event
                        .with("action", action)
                        .with("object", self.assessment_entity())
                        .with("generated", generated),
                    quizzes(),
                )
            }
            Act::Item {
                attempt,
                item,
                action,
            } => (self.item_event(event, attempt, item, action), quizzes()),
            // Handled by the caller.
            Act::LoggedIn
            | Act::LoggedOut
            | Act::TimedOut
            | Act::ItemGraded { .. }
            | Act::Graded { .. } => (event, platform()),
        };
        let mut event = event.with("eventTime", rfc3339(moment.at));
        if let Act::Navigated { from, .. } = moment.act {
            let referrer = from.map_or_else(|| self.home(), |page| self.page_reference(page));
            event = event.with("referrer", referrer);
        } else if matches!(moment.act, Act::NavigatedToAssessment) {
            event = event.with("referrer", self.home());
        }
        event
            .with("edApp", app)
            .with("group", self.group())
            .with("membership", self.membership())
            .with("session", self.session(sitting))
    }

    fn media(
        &self,
        event: Node,
        film: u64,
        action: &'static str,
        position: i64,
        length: i64,
    ) -> Node {
        let id = format!(
            "{}/media/{}-{film}",
            self.section,
            self.activity.cycle.week + 1
        );
        let place = Node::entity(format!("{id}?t={position}"), "MediaLocation")
            .with("currentTime", duration(position * SECOND));
        let object = Node::entity(id, "VideoObject")
            .with("name", format!("{}, Lecture {film}", self.topic()))
            .with("mediaType", "video/mp4")
            .with("dateCreated", self.published())
            .with("duration", duration(length * SECOND));
        event
            .with("action", action)
            .with("object", object)
            .with("target", place)
    }

    fn item_event(&self, event: Node, attempt: usize, item: usize, action: &'static str) -> Node {
        let answer = self.activity.tries[attempt].answers[item];
        let generated = match action {
            "Completed" => self.response(attempt, item, answer),
            "Started" => self.item_attempt(attempt, item, answer, false),
            _ => self.item_attempt(attempt, item, answer, true),
        };
        event
            .with("action", action)
            .with("object", self.item(item))
            .with("generated", generated)
    }

    fn grade(&self, event: Node, at: i64, attempt: usize, score: u64, halves: u64) -> Node {
        let object = self.attempt(attempt, self.activity.tries[attempt].submitted, true);
        let id = self.attempt_id(attempt);
        let grader = Node::entity(format!("{QUIZZES}/autograder"), "SoftwareApplication")
            .with("name", "Quiz Autograder")
            .with("version", "4.1.0");
        let scored = score_entity(
            &format!("{id}/scores/{score}"),
            &id,
            halves,
            self.halves_max(),
            at,
        )
        .with("scoredBy", format!("{QUIZZES}/autograder"))
        .with(
            "comment",
            if self.activity.cycle.exam() && score == 1 {
                "without open items"
            } else {
                "all items"
            },
        );
        self.graded(event, at, grader, object, scored)
    }

    fn item_grade(&self, event: Node, at: i64, attempt: usize, item: usize) -> Node {
        let answer = self.activity.tries[attempt].answers[item];
        let id = self.item_attempt_id(attempt, item);
        let instructor = format!("{SITE}/users/{}", 900 + self.activity.cycle.section);
        let scored = score_entity(
            &format!("{id}/scores/1"),
            &id,
            answer.halves,
            item_halves_max(item),
            at,
        )
        .with("scoredBy", instructor.as_str())
        .with("comment", "graded by hand");
        let object = self.item_attempt(attempt, item, answer, true);
        self.graded(event, at, person(&instructor), object, scored)
    }

    fn graded(&self, event: Node, at: i64, actor: Node, object: Node, scored: Node) -> Node {
        event
            .with("actor", actor)
            .with("action", "Graded")
            .with("object", object)
            .with("generated", scored)
            .with("eventTime", rfc3339(at))
            .with("edApp", quizzes())
            .with("group", self.group())
    }

    fn group(&self) -> Node {
        let cycle = &self.activity.cycle;
        Node::entity(self.section.as_str(), "CourseSection")
            .with(
                "courseNumber",
                format!("{}-{:02}", cycle.course.number, cycle.section),
            )
            .with("academicSession", self.term.name.as_str())
    }

    /// The section in full, as a login tells it.
    fn group_in_full(&self) -> Node {
        let cycle = &self.activity.cycle;
        let course = Node::entity(self.course.as_str(), "CourseOffering")
            .with("courseNumber", cycle.course.number);
        self.group()
            .with(
                "name",
                format!("{}, Section {:02}", cycle.course.name, cycle.section),
            )
            .with("subOrganizationOf", course)
    }

    fn membership(&self) -> Node {
        Node::entity(
            format!(
                "{}/rosters/{}",
                self.section,
                100_001 + self.activity.cycle.learner * 7
            ),
            "Membership",
        )
        .with("member", self.learner.as_str())
        .with("organization", self.section.as_str())
        .with("roles", vec!["Learner"])
        .with("status", "Active")
    }

    fn session(&self, sitting: &Sitting) -> Node {
        Node::entity(format!("{SITE}/sessions/{}", sitting.id), "Session")
            .with("startedAtTime", rfc3339(sitting.started))
    }

    /// The session in full, as its beginning and its end tell it.
    fn session_in_full(&self, sitting: &Sitting, over: bool) -> Node {
        let client = Node::entity(sitting.client.as_str(), "SoftwareApplication")
            .with("host", SITE)
            .with("userAgent", sitting.user_agent);
        let session = self
            .session(sitting)
            .with("user", person(&self.learner))
            .with("client", client);
        if over {
            return session
                .with("endedAtTime", rfc3339(sitting.ended))
                .with("duration", duration(sitting.ended - sitting.started));
        }
        session
    }

    fn topic(&self) -> &'static str {
        let topics = self.activity.cycle.course.topics;
        topics[(self.activity.cycle.week as usize / 2) % topics.len()]
    }

    fn published(&self) -> String {
        rfc3339(self.week_start - 7 * DAY)
    }

    fn section_reference(&self) -> Node {
        Node::entity(self.section.as_str(), "CourseSection")
    }

    fn home(&self) -> Node {
        Node::entity(format!("{}/home", self.section), "WebPage").with("name", "Course Home")
    }

    fn page_reference(&self, page: usize) -> Node {
        let id = format!(
            "{}/weeks/{}/pages/{}",
            self.section,
            self.activity.cycle.week + 1,
            page + 1
        );
        Node::entity(id, PAGES[page].0)
    }

    fn page(&self, page: usize) -> Node {
        let (week, topic) = (self.activity.cycle.week + 1, self.topic());
        let part_of = Node::entity(
            format!("{}/weeks/{week}", self.section),
            "DigitalResourceCollection",
        )
        .with("name", format!("Week {week}: {topic}"));
        self.page_reference(page)
            .with("name", format!("{topic}: {}", PAGES[page].1))
            .with("isPartOf", part_of)
            .with("dateCreated", self.published())
            .with("version", "1.0")
    }

    fn halves_max(&self) -> u64 {
        (0..self.activity.cycle.items as usize)
            .map(item_halves_max)
            .sum()
    }

    fn assessment_reference(&self) -> Node {
        Node::entity(self.assessment.as_str(), "Assessment")
    }

    fn assessment_entity(&self) -> Node {
        let cycle = &self.activity.cycle;
        let kind = if cycle.exam() { "Exam" } else { "Quiz" };
        self.assessment_reference()
            .with(
                "name",
                format!("{kind} {}: {}", cycle.week + 1, self.topic()),
            )
            .with("isPartOf", self.section_reference())
            .with("dateCreated", self.published())
            .with("dateToStartOn", rfc3339(self.week_start))
            .with("dateToSubmit", rfc3339(self.week_start + 7 * DAY - SECOND))
            .with("maxAttempts", cycle.attempts_allowed())
            .with("maxSubmits", cycle.attempts_allowed())
            .with("maxScore", self.halves_max() as f64 / 2.0)
            .with("version", "1.0")
    }

    fn attempt_id(&self, attempt: usize) -> String {
        format!(
            "{}/users/{}/attempts/{}",
            self.assessment,
            100_001 + self.activity.cycle.learner * 7,
            attempt + 1
        )
    }

    fn attempt(&self, attempt: usize, at: i64, over: bool) -> Node {
        let started = self.activity.tries[attempt].started;
        let entity = Node::entity(self.attempt_id(attempt), "Attempt")
            .with("assignee", self.learner.as_str())
            .with("assignable", self.assessment.as_str())
            .with("count", attempt as u64 + 1)
            .with("dateCreated", rfc3339(started))
            .with("startedAtTime", rfc3339(started));
        if over {
            return entity
                .with("endedAtTime", rfc3339(at))
                .with("duration", duration(at - started));
        }
        entity
    }

    fn item_id(&self, item: usize) -> String {
        format!("{}/items/{}", self.assessment, item + 1)
    }

    fn item(&self, item: usize) -> Node {
        Node::entity(self.item_id(item), "AssessmentItem")
            .with("name", format!("Item {}", item + 1))
            .with("isPartOf", self.assessment_reference())
            .with("maxScore", item_halves_max(item) as f64 / 2.0)
            .with("isTimeDependent", false)
            .with("version", "1.0")
    }

    fn item_attempt_id(&self, attempt: usize, item: usize) -> String {
        let learner = 100_001 + self.activity.cycle.learner * 7;
        format!(
            "{}/users/{learner}/attempts/{}",
            self.item_id(item),
            attempt + 1
        )
    }

    fn item_attempt(&self, attempt: usize, item: usize, answer: Answer, over: bool) -> Node {
        let entity = Node::entity(self.item_attempt_id(attempt, item), "Attempt")
            .with("assignee", self.learner.as_str())
            .with("assignable", self.item_id(item))
            .with("isPartOf", self.attempt_id(attempt))
            .with("count", attempt as u64 + 1)
            .with("dateCreated", rfc3339(answer.started))
            .with("startedAtTime", rfc3339(answer.started));
        if over {
            return entity.with("endedAtTime", rfc3339(answer.ended));
        }
        entity
    }

    fn response(&self, attempt: usize, item: usize, answer: Answer) -> Node {
        let choice = answer.choice as usize % 4;
        let kind = [
            "MultipleChoiceResponse",
            "TrueFalseResponse",
            "MultipleResponseResponse",
            "FillinBlankResponse",
        ];
        let learner = 100_001 + self.activity.cycle.learner * 7;
        let id = format!(
            "{}/users/{learner}/responses/{}",
            self.item_id(item),
            attempt + 1
        );
        let entity = Node::entity(id, kind[item % 4])
            .with("attempt", self.item_attempt(attempt, item, answer, true))
            .with("dateCreated", rfc3339(answer.ended))
            .with("startedAtTime", rfc3339(answer.started))
            .with("endedAtTime", rfc3339(answer.ended));
        match item % 4 {
            0 => entity.with("value", ["A", "B", "C", "D"][choice]),
            1 => entity.with("value", if choice < 2 { "true" } else { "false" }),
            2 => entity.with("values", vec!["A", ["B", "C", "D", "E"][choice]]),
            _ => entity.with(
                "values",
                vec![self.topic(), ["first", "second", "third", "fourth"][choice]],
            ),
        }
    }
}

const fn kind_and_profile(act: &Act) -> (&'static str, &'static str) {
    match act {
        Act::LoggedIn | Act::LoggedOut | Act::TimedOut => ("SessionEvent", "SessionProfile"),
        Act::Navigated { .. } => ("NavigationEvent", "ReadingProfile"),
        Act::Viewed { .. } => ("ViewEvent", "ReadingProfile"),
        Act::Media { .. } => ("MediaEvent", "MediaProfile"),
        Act::NavigatedToAssessment => ("NavigationEvent", "AssessmentProfile"),
        Act::ViewedAssessment => ("ViewEvent", "AssessmentProfile"),
        Act::Assessment { .. } => ("AssessmentEvent", "AssessmentProfile"),
        Act::Item { .. } => ("AssessmentItemEvent", "AssessmentProfile"),
        Act::ItemGraded { .. } | Act::Graded { .. } => ("GradeEvent", "GradingProfile"),
    }
}
