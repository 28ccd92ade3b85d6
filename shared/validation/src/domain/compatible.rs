//! Whether a new version of a schema accepts what the old one accepted.
use serde_json::{Map, Value};

use super::{SchemaRefusal, refuse};
use crate::text;

/// Keywords that say nothing about what is accepted.
const NOTES: [&str; 12] = [
    "$comment",
    "$id",
    "$schema",
    "$anchor",
    "default",
    "deprecated",
    "description",
    "examples",
    "format",
    "readOnly",
    "title",
    "writeOnly",
];
/// Bounds that may grow (`true`) or shrink (`false`).
const BOUNDS: [(&str, bool); 12] = [
    ("maximum", true),
    ("exclusiveMaximum", true),
    ("maxLength", true),
    ("maxItems", true),
    ("maxProperties", true),
    ("maxContains", true),
    ("minimum", false),
    ("exclusiveMinimum", false),
    ("minLength", false),
    ("minItems", false),
    ("minProperties", false),
    ("minContains", false),
];

/// Where `new` may reject what `old` accepted.
///
/// Properties that `old` did not name may be given a schema: that is how a type grows.
pub(super) fn compare(old: &Value, new: &Value) -> Vec<SchemaRefusal> {
    let mut found = Vec::new();
    schemas(old, new, "", &mut found);
    found
}

fn at(pointer: &str, token: &str) -> String {
    let mut out = pointer.to_owned();
    text::push_token(&mut out, token);
    out
}

fn schemas(old: &Value, new: &Value, pointer: &str, found: &mut Vec<SchemaRefusal>) {
    if old == new || *new == Value::Bool(true) || *old == Value::Bool(false) {
        return;
    }
    let empty = Map::new();
    let (old, new) = match (old, new) {
        (Value::Object(old), Value::Object(new)) => (old, new),
        (Value::Bool(true), Value::Object(new)) => (&empty, new),
        _ => return found.push(refuse(pointer, "accepts less than before")),
    };
    let keywords = old
        .keys()
        .chain(new.keys().filter(|k| !old.contains_key(*k)));
    for keyword in keywords.filter(|k| !NOTES.contains(&k.as_str()) && old.get(*k) != new.get(*k)) {
        keyword_change(
            keyword,
            old.get(keyword),
            new.get(keyword),
            &at(pointer, keyword),
            found,
        );
    }
}

/// What orders numbers: the double, and among integers of one double the integer.
fn order_of(number: &Value) -> Option<(f64, i128)> {
    let double = number.as_f64()?;
    let whole = number.as_i64().map(i128::from);
    let whole = whole.or_else(|| number.as_u64().map(i128::from));
    Some((double, whole.unwrap_or(double as i128)))
}

fn keyword_change(
    keyword: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    pointer: &str,
    found: &mut Vec<SchemaRefusal>,
) {
    if let Some((_, may_grow)) = BOUNDS.iter().find(|(name, _)| *name == keyword) {
        let wider = match (old.and_then(order_of), new.and_then(order_of)) {
            (Some(old), Some(new)) => (new >= old) == *may_grow || new == old,
            (_, None) => true,
            (None, Some(_)) => false,
        };
        if !wider {
            found.push(refuse(
                pointer,
                format!("{keyword} is narrower than before"),
            ));
        }
        return;
    }
    match (keyword, old, new) {
        (
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
            _,
            _,
        ) => {
            maps(keyword, old, new, pointer, found);
        }
        ("required" | "type" | "enum", _, _) => words(keyword, old, new, pointer, found),
        (
            "items"
            | "additionalProperties"
            | "unevaluatedProperties"
            | "propertyNames"
            | "contains",
            Some(old),
            Some(new),
        ) => {
            schemas(old, new, pointer, found);
        }
        ("items" | "additionalProperties" | "unevaluatedProperties", None, Some(new)) => {
            schemas(&Value::Bool(true), new, pointer, found);
        }
        // A condition that is gone accepts more, but in these a part of another stays behind.
        (_, Some(_), None)
            if !matches!(keyword, "if" | "then" | "else" | "$ref" | "prefixItems") => {}
        _ => found.push(refuse(
            pointer,
            format!("a change of {keyword} cannot be shown to be compatible"),
        )),
    }
}

/// Maps of schemas: one that was there is still there or is accepted by default.
fn maps(
    keyword: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    pointer: &str,
    found: &mut Vec<SchemaRefusal>,
) {
    let empty = Map::new();
    let old = old.and_then(Value::as_object).unwrap_or(&empty);
    let new = new.and_then(Value::as_object).unwrap_or(&empty);
    for (name, before) in old {
        match new.get(name) {
            Some(now) => schemas(before, now, &at(pointer, name), found),
            None => found.push(refuse(at(pointer, name), "is no longer there")),
        }
    }
    if matches!(keyword, "patternProperties" | "dependentSchemas") {
        for name in new.keys().filter(|name| !old.contains_key(*name)) {
            found.push(refuse(
                at(pointer, name),
                "is new and may reject what was accepted",
            ));
        }
    }
}

/// Sets of words: a type or value may be added, a required property may be dropped.
fn words(
    keyword: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    pointer: &str,
    found: &mut Vec<SchemaRefusal>,
) {
    let list = |value: Option<&Value>| -> Vec<Value> {
        match value {
            Some(Value::Array(list)) => list.clone(),
            Some(one) => vec![one.clone()],
            None => Vec::new(),
        }
    };
    let (before, now) = (list(old), list(new));
    let lost: Vec<String> = match keyword {
        "required" => now
            .iter()
            .filter(|word| !before.contains(word))
            .map(Value::to_string)
            .collect(),
        _ if new.is_none() => Vec::new(),
        _ if old.is_none() => vec![format!("all but {}", Value::Array(now))],
        // Every integer is a number.
        _ => before
            .iter()
            .filter(|w| {
                let widened =
                    keyword == "type" && **w == "integer" && now.iter().any(|n| n == "number");
                !widened && !now.contains(w)
            })
            .map(Value::to_string)
            .collect(),
    };
    if !lost.is_empty() {
        let what = if keyword == "required" {
            "newly required"
        } else {
            "no longer accepted"
        };
        found.push(refuse(
            pointer,
            format!("{what}: {}", text::shorten(&lost.join(", "))),
        ));
    }
}
