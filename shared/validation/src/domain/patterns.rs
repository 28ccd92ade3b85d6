//! What a schema's patterns may cost.
use jsonschema::{Draft, PatternOptions, ValidationOptions};
use serde_json::{Value, json};

use super::{SchemaRefusal, refuse};
use crate::{
    limits::{PATTERN_BYTES_MAX, SCHEMA_PATTERNS_BYTES_MAX},
    text,
};

/// Sizes that a compiled pattern is counted as.
const SIZES: [usize; 4] = [16 << 10, 64 << 10, 256 << 10, PATTERN_BYTES_MAX];

/// How schemas are compiled: 2020-12, and patterns of at most so many bytes on an engine without
/// backtracking.
pub(super) fn options<'s>(pattern_bytes_max: usize) -> ValidationOptions<'s> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(
            PatternOptions::regex()
                .size_limit(pattern_bytes_max)
                .dfa_size_limit(pattern_bytes_max),
        )
}

/// What a schema's patterns take when compiled, bytes.
///
/// Compiling is bounded too: each pattern counts at least the smallest size, so that at most
/// [`SCHEMA_PATTERNS_BYTES_MAX`] / 16 KiB = 256 of them are looked at.
///
/// # Errors
/// Names the pattern with which they go past [`SCHEMA_PATTERNS_BYTES_MAX`], or the one that is no
/// pattern or too large by itself.
pub(super) fn bytes_of(schema: &Value) -> Result<usize, SchemaRefusal> {
    let mut sum = 0;
    add(schema, "", &mut sum)?;
    Ok(sum)
}

fn add(value: &Value, pointer: &str, sum: &mut usize) -> Result<(), SchemaRefusal> {
    let at = |token: &str| {
        let mut out = pointer.to_owned();
        text::push_token(&mut out, token);
        out
    };
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(pattern) if key == "pattern" => count(pattern, &at(key), sum)?,
                    Value::Object(by_pattern) if key == "patternProperties" => {
                        for pattern in by_pattern.keys() {
                            count(pattern, &at(key), sum)?;
                        }
                        add(member, &at(key), sum)?;
                    }
                    _ => add(member, &at(key), sum)?,
                }
            }
            Ok(())
        }
        Value::Array(list) => {
            let mut each = list.iter().enumerate();
            each.try_for_each(|(index, member)| add(member, &at(&index.to_string()), sum))
        }
        _ => Ok(()),
    }
}

fn count(pattern: &str, pointer: &str, sum: &mut usize) -> Result<(), SchemaRefusal> {
    let schema = json!({ "pattern": pattern });
    let mut refusal = None;
    for size in SIZES {
        match options(size).build(&schema) {
            Ok(_) => {
                *sum += size;
                if *sum > SCHEMA_PATTERNS_BYTES_MAX {
                    let why = format!(
                        "the patterns up to here take more than {SCHEMA_PATTERNS_BYTES_MAX} bytes when compiled"
                    );
                    return Err(refuse(pointer, why));
                }
                return Ok(());
            }
            Err(error) => refusal = Some(text::shorten(&error.to_string())),
        }
    }
    Err(refuse(pointer, refusal.unwrap_or_default()))
}
