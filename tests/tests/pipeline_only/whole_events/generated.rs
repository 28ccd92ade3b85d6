//! Events as sensors may write them: any time, any id, any number, in any spelling of JSON.

use proptest::prelude::*;
use vernier_ledger::time::Millis;

/// The first instants of years 0 and 10000, milliseconds since 1970.
const YEARS: std::ops::Range<i64> = -62_167_219_200_000..253_402_300_800_000;

/// A JSON value by its tokens, so that it can be sent with any space between them.
#[derive(Debug, Clone)]
pub(super) struct Json(Vec<String>);

impl Json {
    fn token(text: impl Into<String>) -> Self {
        Self(vec![text.into()])
    }

    fn object(members: Vec<(&str, Self)>) -> Self {
        let mut tokens = vec!["{".to_owned()];
        for (name, value) in members {
            if tokens.len() > 1 {
                tokens.push(",".to_owned());
            }
            tokens.extend([format!("\"{name}\""), ":".to_owned()]);
            tokens.extend(value.0);
        }
        tokens.push("}".to_owned());
        Self(tokens)
    }

    /// The value with this between its tokens.
    pub(super) fn spaced(&self, space: &str) -> String {
        self.0.join(space)
    }
}

/// A text, and one of its spellings in JSON.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) text: String,
    json: Json,
}

impl Text {
    /// A spelling that has some characters as escapes: for each one bit says whether.
    fn new(text: String, escaped: u64) -> Self {
        let mut json = String::from("\"");
        for (at, letter) in text.chars().enumerate() {
            if letter < ' ' || escaped >> (at % 64) & 1 == 1 {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    json.push_str(&format!("\\u{unit:04x}"));
                }
            } else if matches!(letter, '"' | '\\') {
                json.extend(['\\', letter]);
            } else {
                json.push(letter);
            }
        }
        json.push('"');
        let json = Json::token(json);
        Self { text, json }
    }
}

/// A time as an event says it, and the instant that it means.
#[derive(Debug, Clone)]
pub(super) struct Time {
    json: Json,
    pub(super) at: Millis,
}

impl Time {
    fn quoted(text: &str, at: i64) -> Self {
        let json = Json::token(format!("\"{text}\""));
        let at = Millis(at);
        Self { json, at }
    }
}

/// What a clock in any zone may show, milliseconds since its own 1970.
fn clock_millis() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => YEARS,
        2 => 1_600_000_000_000..1_800_000_000_000i64,
        1 => Just(YEARS.start),
        1 => Just(YEARS.end - 1),
        1 => -2i64..2,
    ]
}

/// A form that sensors have: separators, with or without seconds and fraction, any zone.
fn sensor_time() -> impl Strategy<Value = Time> {
    let marks = ("[Tt ]", "[.,]", "|[0-9]{1,12}", 0..4u8, " ?");
    let zone = (-1_439..=1_439i64, 0..4u8);
    (clock_millis(), marks, zone).prop_map(|(clock, marks, (offset, zone))| {
        let (separator, point, fraction, seconds, space) = marks;
        let text = Millis(clock).rfc3339();
        let minute = clock.div_euclid(60_000) * 60_000;
        let (seconds, second_millis) = match seconds {
            0 => ("", 0),
            1 => (":60", 59_000),
            _ => (&text[16..19], clock.rem_euclid(60_000) / 1_000 * 1_000),
        };
        let (fraction, millis) = match (seconds, fraction.len()) {
            ("", _) | (_, 0) => (String::new(), 0),
            _ => {
                let millis = format!("{fraction}00")[..3].parse().expect("digits");
                (format!("{point}{fraction}"), millis)
            }
        };
        let (zone, offset_minutes) = match zone {
            0 => ("Z".to_owned(), 0),
            1 => (format!("{:+03}", offset / 60), offset / 60 * 60),
            form => {
                let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs());
                let colon = if form == 2 { ":" } else { "" };
                let zone = format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60);
                (zone, offset)
            }
        };
        let (day, hour) = (&text[..10], &text[11..16]);
        let text = format!("{day}{separator}{hour}{seconds}{fraction}{space}{zone}");
        let at = minute + second_millis + millis - offset_minutes * 60_000;
        Time::quoted(&text, at)
    })
}

/// Caliper's own form, a leap second among them.
fn caliper_time() -> impl Strategy<Value = Time> {
    (clock_millis(), any::<bool>()).prop_map(|(at, leaps)| {
        let mut text = Millis(at).rfc3339();
        if leaps && text[17..19] == *"59" {
            text.replace_range(17..19, "60");
        }
        Time::quoted(&text, at)
    })
}

fn any_time() -> impl Strategy<Value = Time> {
    let epoch = (1_000_000_000_000..10_000_000_000_000i64, any::<bool>());
    prop_oneof![
        5 => caliper_time(),
        3 => sensor_time(),
        1 => epoch.prop_map(|(at, quoted)| match quoted {
            true => Time::quoted(&at.to_string(), at),
            false => Time { json: Json::token(at.to_string()), at: Millis(at) },
        }),
    ]
}

/// A number as an event says it, and the double nearest to it, which may be infinite.
#[derive(Debug, Clone)]
pub(super) struct Number {
    json: Json,
    pub(super) double: f64,
}

fn any_number() -> impl Strategy<Value = Number> {
    let text = prop_oneof![
        6 => "-?(0|[1-9][0-9]{0,17})",
        3 => "-?[1-9][0-9]{18,307}",
        1 => "-?[1-9][0-9]{308,399}",
        4 => "-?(0|[1-9][0-9]{0,20})\\.[0-9]{1,30}",
        3 => "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,10})?[eE][+-]?0?[0-9]{1,2}",
        2 => "-?[1-9]\\.[0-9]{1,20}[eE]([+-]?[12][0-9]{2}|-3[0-9]{2})",
        2 => "-0|-0\\.0|0e0|-0E-7|1\\.7976931348623157e308|5e-324|2e-324|1e-400|9007199254740993",
        1 => "1e309|-1\\.0E400|1e99999",
    ];
    text.prop_map(|text| Number {
        double: text.parse().expect("a number"),
        json: Json::token(text),
    })
}

/// One of a few UUIDs in any spelling, so that some come again.
fn uuid_id() -> impl Strategy<Value = String> {
    let urn = prop_oneof![4 => Just("urn:uuid:"), 1 => Just("URN:UUID:"), 1 => Just("")];
    (0..4u8, any::<u64>(), urn).prop_map(|(which, mut bits, urn)| {
        let uuid = format!("0f8e1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5{which:x}");
        let letter = |letter: char| {
            bits = bits.rotate_left(1);
            match bits & 1 {
                1 => letter.to_ascii_uppercase(),
                _ => letter,
            }
        };
        let uuid: String = uuid.chars().map(letter).collect();
        format!("{urn}{uuid}")
    })
}

fn any_id() -> impl Strategy<Value = Text> {
    let id = prop_oneof![
        6 => uuid_id(),
        1 => any::<u128>().prop_map(|bits| format!("urn:uuid:{}", uuid::Uuid::from_u128(bits))),
        1 => "https://a\\.example/[Ee]/(%2[Ff]|é|Ü|😀|[?&+#=]){1,6}",
        1 => (1..3_000usize).prop_map(|length| format!("https://a.example/{}", "x".repeat(length))),
        1 => "_:[a-c]|urn:uuid:[xX]|\\PC{1,12}",
    ];
    let escaped = prop_oneof![4 => Just(0), 1 => any::<u64>()];
    (id, escaped).prop_map(|(id, escaped)| Text::new(id, escaped))
}

/// What a grade event says of its attempt.
#[derive(Debug, Clone)]
pub(super) struct Grade {
    pub(super) given: Number,
    maximum: Number,
    most_of_assignable: Number,
    pub(super) started_at: Time,
    pub(super) ended_at: Time,
    pub(super) count: u64,
    pub(super) duration_millis: i64,
}

impl Grade {
    /// The most that the score can be: the score's own, where that is not 0 or the assignable's is not
    /// more.
    pub(super) fn maximum(&self) -> f64 {
        let own = self.maximum.double;
        let other = self.most_of_assignable.double;
        if own == 0.0 && other > 0.0 {
            other
        } else {
            own
        }
    }

    fn numbers(&self) -> [&Number; 3] {
        [&self.given, &self.maximum, &self.most_of_assignable]
    }
}

fn any_grade() -> impl Strategy<Value = Grade> {
    let numbers = (any_number(), any_number(), any_number());
    let duration_millis = prop_oneof![0..10_000_000i64, Just(i64::MAX / 1_000 * 1_000)];
    let count = prop_oneof![1..9u64, any::<u64>()];
    (numbers, (any_time(), any_time()), count, duration_millis).prop_map(
        |(numbers, (started_at, ended_at), count, duration_millis)| Grade {
            given: numbers.0,
            maximum: numbers.1,
            most_of_assignable: numbers.2,
            started_at,
            ended_at,
            count,
            duration_millis,
        },
    )
}

/// An event before its place in the history is known.
#[derive(Debug, Clone)]
pub(super) struct AnyEvent {
    pub(super) id: Text,
    pub(super) time: Time,
    others: [Time; 2],
    number: Number,
    name: Text,
    pub(super) grade: Option<Grade>,
    /// What stands between its tokens as it is sent.
    pub(super) space: String,
}

/// Any event that validation accepts.
pub(super) fn any_event() -> impl Strategy<Value = AnyEvent> {
    let grade = prop_oneof![Just(None), any_grade().prop_map(Some)];
    let name = ("\\PC{0,9}|[\u{1}-\u{1f}\"\\\\/]{1,4}", any::<u64>());
    let space = prop_oneof![3 => Just(String::new()), 1 => "[ \n\r\t]{1,3}"];
    let times = (any_time(), any_time(), any_time());
    (any_id(), times, any_number(), name, grade, space).prop_map(
        |(id, (time, first, second), number, (name, escaped), grade, space)| AnyEvent {
            id,
            time,
            others: [first, second],
            number,
            name: Text::new(name, escaped),
            grade,
            space,
        },
    )
}

fn entity(kind: &str, id: &str, more: Vec<(&str, Json)>) -> Json {
    let id = Json::token(format!("\"https://school.example/{id}\""));
    let kind = Json::token(format!("\"{kind}\""));
    Json::object(
        [("id", id), ("type", kind)]
            .into_iter()
            .chain(more)
            .collect(),
    )
}

impl AnyEvent {
    /// The same event under another spelling of its id.
    pub(super) fn respelled(&self) -> Self {
        let text = &self.id.text;
        let is_small = |letter: char| letter.is_ascii_lowercase();
        let respelled = match text.split_once("uuid:") {
            Some((before, uuid)) if uuid.contains(is_small) => {
                format!("{before}uuid:{}", uuid.to_ascii_uppercase())
            }
            Some((before, uuid)) => format!("{before}uuid:{}", uuid.to_ascii_lowercase()),
            None => text.clone(),
        };
        Self {
            id: Text::new(respelled, 0),
            ..self.clone()
        }
    }

    /// Whether every number in it is within the range of doubles.
    pub(super) fn is_finite(&self) -> bool {
        let graded = self.grade.iter().flat_map(Grade::numbers);
        let mut numbers = graded.chain([&self.number]);
        numbers.all(|number| number.double.is_finite())
    }

    /// The event's tokens; `attempt` names the attempt of a grade.
    pub(super) fn json(&self, attempt: &str) -> Json {
        let [first, second] = self.others.clone().map(|time| time.json);
        let extensions = Json::object(vec![("n", self.number.json.clone())]);
        let page = vec![
            ("name", self.name.json.clone()),
            ("dateCreated", first.clone()),
            ("dateModified", second),
            ("extensions", extensions),
        ];
        let (kind, profile, action, object) = match &self.grade {
            None => (
                "ViewEvent",
                "ReadingProfile",
                "Viewed",
                entity("WebPage", "p", page),
            ),
            Some(grade) => (
                "GradeEvent",
                "GradingProfile",
                "Graded",
                self.attempt(grade, attempt),
            ),
        };
        let quoted = |text: &str| Json::token(format!("\"{text}\""));
        let actor = match &self.grade {
            None => entity("Person", "jane", Vec::new()),
            Some(_) => entity("SoftwareApplication", "grader", Vec::new()),
        };
        let mut members = vec![
            ("@context", quoted(vernier_tests::envelopes::CONTEXT)),
            ("id", self.id.json.clone()),
            ("type", quoted(kind)),
            ("profile", quoted(profile)),
            ("actor", actor),
            ("action", quoted(action)),
            ("object", object),
            ("eventTime", self.time.json.clone()),
            ("edApp", entity("SoftwareApplication", "lms", Vec::new())),
            ("group", entity("CourseSection", "section", Vec::new())),
        ];
        if let Some(grade) = &self.grade {
            let score = vec![
                ("scoreGiven", grade.given.json.clone()),
                ("maxScore", grade.maximum.json.clone()),
                ("dateCreated", first),
                (
                    "extensions",
                    Json::object(vec![("n", self.number.json.clone())]),
                ),
            ];
            members.push(("generated", entity("Score", "score", score)));
        }
        Json::object(members)
    }

    fn attempt(&self, grade: &Grade, attempt: &str) -> Json {
        let assignable = vec![
            ("maxScore", grade.most_of_assignable.json.clone()),
            ("dateToSubmit", self.others[1].json.clone()),
        ];
        let assignable = entity("AssignableDigitalResource", "quiz", assignable);
        let (seconds, millis) = (grade.duration_millis / 1_000, grade.duration_millis % 1_000);
        let members = vec![
            ("assignee", entity("Person", "jane", Vec::new())),
            ("assignable", assignable),
            ("count", Json::token(grade.count.to_string())),
            ("startedAtTime", grade.started_at.json.clone()),
            ("endedAtTime", grade.ended_at.json.clone()),
            (
                "duration",
                Json::token(format!("\"PT{seconds}.{millis:03}S\"")),
            ),
        ];
        entity("Attempt", attempt, members)
    }
}
