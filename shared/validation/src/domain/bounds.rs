//! What a tenant's schema may be: finite, on its own, and small when unfolded.
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{SchemaRefusal, refuse};
use crate::{limits::SCHEMA_UNFOLDED_MAX, text};

/// Keywords that hold one subschema.
const ONE: [&str; 12] = [
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "additionalItems",
];
/// Keywords that hold a list of them.
const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords that hold a map of them that are applied.
const MAPS: [&str; 3] = ["dependentSchemas", "patternProperties", "properties"];
/// Keywords that make a schema depend on more than itself.
const REFUSED: [&str; 5] = [
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
    "$vocabulary",
];

/// Refuses a schema that refers outside, refers to itself, or is too large when unfolded.
pub(super) fn check(schema: &Value) -> Result<(), SchemaRefusal> {
    if let Some(draft) = schema.get("$schema").and_then(Value::as_str)
        && draft.trim_end_matches('#') != "https://json-schema.org/draft/2020-12/schema"
    {
        return Err(refuse(
            "/$schema",
            format!(
                "only JSON Schema 2020-12 is taken, not {}",
                text::shorten(draft)
            ),
        ));
    }
    if !schema.is_object() {
        return Err(refuse("", "a schema is an object"));
    }
    let mut unfolder = Unfolder {
        root: schema,
        sizes: HashMap::new(),
    };
    unfolder.size(schema, "")?;
    Ok(())
}

struct Unfolder<'s> {
    root: &'s Value,
    /// Unfolded size by pointer; none while it is being found.
    sizes: HashMap<String, Option<u64>>,
}

impl Unfolder<'_> {
    /// How many subschemas there are when every reference is replaced by what it refers to.
    fn size(&mut self, schema: &Value, pointer: &str) -> Result<u64, SchemaRefusal> {
        match self.sizes.get(pointer) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => {
                return Err(refuse(
                    pointer,
                    "the schema refers to itself; a recursive schema is not taken",
                ));
            }
            None => {}
        }
        let Value::Object(map) = schema else {
            return Ok(1);
        };
        self.sizes.insert(pointer.to_owned(), None);
        let mut size = 1u64;
        for (keyword, value) in map {
            size =
                size.saturating_add(self.keyword(map, keyword, value, &child(pointer, keyword))?);
        }
        // Unevaluated… looks a second time at what its neighbours looked at.
        if map.contains_key("unevaluatedProperties") || map.contains_key("unevaluatedItems") {
            size = size.saturating_mul(2);
        }
        if size > SCHEMA_UNFOLDED_MAX {
            return Err(refuse(
                pointer,
                format!("the schema unfolds to more than {SCHEMA_UNFOLDED_MAX} subschemas"),
            ));
        }
        self.sizes.insert(pointer.to_owned(), Some(size));
        Ok(size)
    }

    fn keyword(
        &mut self,
        map: &Map<String, Value>,
        keyword: &str,
        value: &Value,
        at: &str,
    ) -> Result<u64, SchemaRefusal> {
        if REFUSED.contains(&keyword) {
            return Err(refuse(at, format!("{keyword} is not taken")));
        }
        if (keyword == "$id" || keyword == "$anchor")
            && !std::ptr::eq(map, self.root.as_object().unwrap_or(map))
        {
            return Err(refuse(
                at,
                format!("{keyword} is taken at the top only; refer by pointer"),
            ));
        }
        if keyword == "$ref" {
            return self.reference(value, at);
        }
        if keyword == "enum" || keyword == "const" {
            return Ok(value.as_array().map_or(0, |list| list.len() as u64 / 16));
        }
        let mut size = 0u64;
        if ONE.contains(&keyword) {
            size = self.size(value, at)?;
        } else if let (true, Value::Array(list)) = (LISTS.contains(&keyword), value) {
            for (index, schema) in list.iter().enumerate() {
                size = size.saturating_add(self.size(schema, &child(at, &index.to_string()))?);
            }
        } else if let (true, Value::Object(map)) = (
            MAPS.contains(&keyword) || keyword == "$defs" || keyword == "definitions",
            value,
        ) {
            for (name, schema) in map {
                let one = self.size(schema, &child(at, name))?;
                // Definitions count where they are referred to, but are looked at all the same.
                size = size.saturating_add(if MAPS.contains(&keyword) { one } else { 0 });
            }
        }
        Ok(size)
    }

    fn reference(&mut self, value: &Value, at: &str) -> Result<u64, SchemaRefusal> {
        let target = value.as_str().unwrap_or_default();
        let Some(pointer) = target
            .strip_prefix('#')
            .filter(|p| p.is_empty() || p.starts_with('/'))
        else {
            return Err(refuse(
                at,
                format!(
                    "only references within the schema (#/…) are taken, not {}",
                    text::shorten(target)
                ),
            ));
        };
        let decoded = percent_decode(pointer);
        let root = self.root;
        match root.pointer(&decoded) {
            Some(schema) => self.size(schema, &decoded),
            None => Err(refuse(
                at,
                format!("{} refers to nothing", text::shorten(target)),
            )),
        }
    }
}

fn child(pointer: &str, token: &str) -> String {
    let mut out = pointer.to_owned();
    text::push_token(&mut out, token);
    out
}

/// A pointer in a URI fragment may have escapes.
fn percent_decode(fragment: &str) -> String {
    let bytes = fragment.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| fragment.get(at + 1..at + 3))
            .flatten();
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
