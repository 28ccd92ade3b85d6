//! How a tenant (or one of its sensors) wants its events judged.
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::domain::DomainSchemas;

/// Whether a deviation from the specification rejects an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The specification decides.
    #[default]
    Strict,
    /// Known deviations are accepted and recorded.
    Lenient,
}

/// Whose deviations the lenient mode knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Profile {
    /// Any sensor.
    #[default]
    #[serde(rename = "generic")]
    Generic,
    /// Moodle with the Caliper 1.0 library for PHP.
    #[serde(rename = "moodle-1.0")]
    Moodle10,
    /// Canvas Live Events.
    #[serde(rename = "canvas")]
    Canvas,
    /// Blackboard Learn.
    #[serde(rename = "blackboard")]
    Blackboard,
    /// Open edX event-routing-backends.
    #[serde(rename = "openedx")]
    OpenEdx,
}

impl Profile {
    /// Every profile, in the order of the documentation.
    pub const ALL: [Profile; 5] = [
        Profile::Generic,
        Profile::Moodle10,
        Profile::Canvas,
        Profile::Blackboard,
        Profile::OpenEdx,
    ];

    /// The name used in configuration and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Generic => "generic",
            Profile::Moodle10 => "moodle-1.0",
            Profile::Canvas => "canvas",
            Profile::Blackboard => "blackboard",
            Profile::OpenEdx => "openedx",
        }
    }
}

impl Mode {
    /// The name used in configuration and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Strict => "strict",
            Mode::Lenient => "lenient",
        }
    }
}

/// A name that is no [`Mode`] and no [`Profile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// What was given.
    pub given: String,
    /// What there is.
    pub known: &'static str,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown name {:?}, there are {}", self.given, self.known)
    }
}

impl std::error::Error for UnknownName {}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        [Mode::Strict, Mode::Lenient]
            .into_iter()
            .find(|m| m.name() == text)
            .ok_or_else(|| UnknownName {
                given: text.to_owned(),
                known: "strict, lenient",
            })
    }
}

impl FromStr for Profile {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Profile::ALL
            .into_iter()
            .find(|p| p.name() == text)
            .ok_or_else(|| UnknownName {
                given: text.to_owned(),
                known: "generic, moodle-1.0, canvas, blackboard, openedx",
            })
    }
}

/// What to judge by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy<'s> {
    /// Strict or lenient.
    pub mode: Mode,
    /// Whose deviations are known; used in lenient mode only.
    pub profile: Profile,
    /// The tenant's own event types.
    pub domain: Option<&'s DomainSchemas>,
    /// When the events were received, milliseconds since 1970-01-01T00:00:00Z: an event that
    /// happened well after that has a deviation. None where nobody knows.
    pub received_at: Option<i64>,
}

impl Policy<'_> {
    /// A policy without domain schemas, for events of any age.
    pub const fn new(mode: Mode, profile: Profile) -> Self {
        Policy {
            mode,
            profile,
            domain: None,
            received_at: None,
        }
    }
}
