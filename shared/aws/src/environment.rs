//! Settings from the process environment, for each function's `context.rs` and for [`crate::config()`].

use std::str::FromStr;
use vernier_ledger::closing::WindowTimes;

const WINDOW_SECONDS: &str = "VERNIER_WINDOW_SECONDS";
const GRACE_SECONDS: &str = "VERNIER_GRACE_SECONDS";
const STREAM_TIMEOUT_SECONDS: &str = "VERNIER_STREAM_TIMEOUT_SECONDS";
const CLOCK_SKEW_SECONDS: &str = "VERNIER_CLOCK_SKEW_SECONDS";
const LATE_SECONDS: &str = "VERNIER_LATE_SECONDS";

/// A variable's text.
///
/// # Errors
/// Names the variable when it is missing or empty.
pub fn text(name: &str) -> Result<String, String> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        _ => Err(format!("the environment has no {name}")),
    }
}

/// A variable's text, or another where it is missing or empty.
#[must_use]
pub fn text_or(name: &str, otherwise: &str) -> String {
    text(name).unwrap_or_else(|_| otherwise.to_owned())
}

/// A variable's number.
///
/// # Errors
/// Names the variable when it is missing or not such a number.
pub fn number<T: FromStr>(name: &str) -> Result<T, String> {
    let value = text(name)?;
    value
        .parse()
        .map_err(|_| format!("{name} is {value:?}, not a whole number in range"))
}

/// How windows are cut and how long they may take to add up: `VERNIER_WINDOW_SECONDS` (whole minutes),
/// `VERNIER_GRACE_SECONDS`, `VERNIER_STREAM_TIMEOUT_SECONDS`, `VERNIER_CLOCK_SKEW_SECONDS` and `VERNIER_LATE_SECONDS`.
/// All functions must have the same.
///
/// # Errors
/// Names the variable that is missing or misshapen; says why the grace is too short for the other times.
pub fn window_times() -> Result<WindowTimes, String> {
    let window_seconds: u32 = number(WINDOW_SECONDS)?;
    if window_seconds == 0 || !window_seconds.is_multiple_of(60) {
        return Err(format!(
            "{WINDOW_SECONDS} is {window_seconds}, not a multiple of 60"
        ));
    }
    let times = WindowTimes {
        window_minutes: window_seconds / 60,
        grace_seconds: number(GRACE_SECONDS)?,
        stream_timeout_seconds: number(STREAM_TIMEOUT_SECONDS)?,
        skew_seconds: number(CLOCK_SKEW_SECONDS)?,
        late_seconds: number(LATE_SECONDS)?,
    };
    let checked = times.checked();
    checked.map_err(|error| format!("{GRACE_SECONDS}: {error}"))
}
