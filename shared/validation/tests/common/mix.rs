//! The reference mix: a deterministic course of valid Caliper 1.2 events of about 1.4 KB.
use std::fmt::Write as _;

/// SplitMix64: the same figures on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn uuid(random: &mut Random) -> String {
    let (a, b) = (random.next(), random.next());
    format!(
        "urn:uuid:{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        b >> 52,
        b & 0xffff_ffff_ffff
    )
}

fn time(random: &mut Random) -> String {
    format!(
        "2026-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        1 + random.below(12),
        1 + random.below(28),
        random.below(24),
        random.below(60),
        random.below(60),
        random.below(1000)
    )
}

/// What an event of a course has besides its action.
fn surroundings(random: &mut Random, user: u64, course: u64) -> String {
    let section = format!(
        "https://example.edu/terms/202601/courses/{course}/sections/{}",
        1 + random.below(4)
    );
    let mut out = String::new();
    write!(
        out,
        r#""edApp":{{"id":"https://example.edu","type":"SoftwareApplication","version":"v2"}},"group":{{"id":"{section}","type":"CourseSection","courseNumber":"CPS {course}-01","academicSession":"Spring 2026"}},"membership":{{"id":"{section}/rosters/1/members/{user}","type":"Membership","member":"https://example.edu/users/{user}","organization":"{section}","roles":["Learner"],"status":"Active","dateCreated":"{}"}},"session":{{"id":"https://example.edu/sessions/{:016x}{:016x}","type":"Session","startedAtTime":"{}"}}"#,
        time(random),
        random.next(),
        random.next(),
        time(random)
    )
    .expect("writing to a string");
    out
}

fn attempt(user: u64, assessment: &str, random: &mut Random) -> String {
    format!(
        r#"{{"id":"{assessment}/users/{user}/attempts/1","type":"Attempt","assignee":{{"id":"https://example.edu/users/{user}","type":"Person"}},"assignable":{{"id":"{assessment}","type":"Assessment"}},"count":1,"dateCreated":"{}","startedAtTime":"{}","duration":"PT{}M{}S"}}"#,
        time(random),
        time(random),
        random.below(60),
        random.below(60)
    )
}

/// Profile, type, action, object, and what else the kind of event has.
fn body(
    random: &mut Random,
    user: u64,
    course: u64,
) -> (&'static str, &'static str, &'static str, String, String) {
    let base = format!("https://example.edu/terms/202601/courses/{course}");
    let assessment = format!("{base}/assess/{}", random.below(9));
    let quiz = format!(
        r#"{{"id":"{assessment}","type":"Assessment","name":"Quiz {}","dateToSubmit":"{}","maxAttempts":2,"maxSubmits":2,"maxScore":15.0,"version":"1.0"}}"#,
        random.below(9),
        time(random)
    );
    match random.below(6) {
        0 => {
            let page = format!(
                r#"{{"id":"{base}/pages/{}","type":"WebPage","name":"Chapter “{}”","mediaType":"text/html","isPartOf":{{"id":"{base}/resources","type":"DigitalResourceCollection","name":"Readings"}},"datePublished":"{}"}}"#,
                random.below(99),
                random.below(30),
                time(random)
            );
            ("ReadingProfile", "ViewEvent", "Viewed", page, String::new())
        }
        1 => {
            let page = format!(
                r#"{{"id":"{base}/pages/{}","type":"WebPage","name":"Syllabus"}}"#,
                random.below(99)
            );
            let referrer = format!(
                r#""referrer":{{"id":"{base}/pages/{}","type":"WebPage"}},"#,
                random.below(99)
            );
            (
                "ReadingProfile",
                "NavigationEvent",
                "NavigatedTo",
                page,
                referrer,
            )
        }
        2 => {
            let attempt = attempt(user, &assessment, random);
            (
                "AssessmentProfile",
                "AssessmentEvent",
                if random.below(2) == 0 {
                    "Started"
                } else {
                    "Submitted"
                },
                quiz,
                format!(r#""generated":{attempt},"#),
            )
        }
        3 => {
            let attempt = attempt(user, &assessment, random);
            let score = format!(
                r#""generated":{{"id":"{assessment}/users/{user}/attempts/1/scores/1","type":"Score","attempt":"{assessment}/users/{user}/attempts/1","maxScore":15.0,"scoreGiven":{}.5,"scoredBy":{{"id":"https://example.edu/autograder","type":"SoftwareApplication"}},"comment":"auto-graded exam"}},"#,
                random.below(15)
            );
            ("GradingProfile", "GradeEvent", "Graded", attempt, score)
        }
        4 => {
            let video = format!(
                r#"{{"id":"https://example.edu/videos/{}","type":"VideoObject","name":"Welcome","mediaType":"video/ogg","duration":"PT20M20S"}}"#,
                random.below(999)
            );
            let target = format!(
                r#""target":{{"id":"https://example.edu/videos/1?t={0}","type":"MediaLocation","currentTime":"PT{0}S"}},"#,
                random.below(600)
            );
            (
                "MediaProfile",
                "MediaEvent",
                if random.below(2) == 0 {
                    "Paused"
                } else {
                    "Resumed"
                },
                video,
                target,
            )
        }
        _ => {
            let message = format!(
                r#"{{"id":"{base}/forums/2/topics/1/messages/{}","type":"Message","body":"Is the \"sensor\" implementation ready?\nSee page {}.","isPartOf":{{"id":"{base}/forums/2/topics/1","type":"Thread","name":"Sensors","isPartOf":{{"id":"{base}/forums/2","type":"Forum"}}}},"dateCreated":"{}"}}"#,
                random.below(999),
                random.below(99),
                time(random)
            );
            (
                "ForumProfile",
                "MessageEvent",
                "Posted",
                message,
                String::new(),
            )
        }
    }
}

/// `count` events, always the same ones.
pub(crate) fn events(count: usize) -> Vec<String> {
    let mut random = Random(2026);
    (0..count)
        .map(|_| {
            let (user, course) = (100_000 + random.below(900_000), 100 + random.below(80));
            let (profile, kind, action, object, more) = body(&mut random, user, course);
            format!(
                r#"{{"@context":"http://purl.imsglobal.org/ctx/caliper/v1p2","id":"{}","type":"{kind}","profile":"{profile}","actor":{{"id":"https://example.edu/users/{user}","type":"Person"}},"action":"{action}","object":{object},{more}"eventTime":"{}",{},"extensions":{{"com.example.tool":{{"build":{},"client":"browser","region":"eu-1"}}}}}}"#,
                uuid(&mut random),
                time(&mut random),
                surroundings(&mut random, user, course),
                random.below(100_000),
            )
        })
        .collect()
}

/// An envelope of events.
#[allow(dead_code)]
pub(crate) fn envelope(events: &[String]) -> String {
    format!(
        r#"{{"sensor":"https://example.edu/sensors/1","sendTime":"2026-11-15T11:05:01.000Z","dataVersion":"http://purl.imsglobal.org/ctx/caliper/v1p2","data":[{}]}}"#,
        events.join(",")
    )
}
