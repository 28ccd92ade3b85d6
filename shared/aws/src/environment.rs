//! Settings from the process environment, for each function's `context.rs` and for [`crate::config()`].

use std::str::FromStr;

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
