//! The expressions that the ledger's adapters send: conditions, key conditions, and updates that
//! set attributes (DynamoDB Developer Guide: Condition and filter expressions, Update expressions).

use super::item::{Item, compare};
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// An expression's placeholders.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placeholders<'r> {
    names: Option<&'r Map<String, Value>>,
    values: Option<&'r Map<String, Value>>,
}

impl<'r> Placeholders<'r> {
    /// Those of a request.
    pub(super) fn of(request: &'r Value) -> Self {
        Self {
            names: request["ExpressionAttributeNames"].as_object(),
            values: request["ExpressionAttributeValues"].as_object(),
        }
    }

    fn name<'t>(&self, token: &'t str) -> Result<&'t str, String>
    where
        'r: 't,
    {
        if !token.starts_with('#') {
            return Ok(token);
        }
        let named = self.names.and_then(|names| names.get(token)?.as_str());
        named.ok_or_else(|| format!("no name {token}"))
    }

    fn value(&self, token: &str) -> Result<&'r Value, String> {
        let value = self.values.and_then(|values| values.get(token));
        value.ok_or_else(|| format!("no value {token}"))
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '#' | ':')
}

fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if ["<=", ">=", "<>"].iter().any(|o| rest.starts_with(o)) {
            2
        } else {
            first.len_utf8()
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    found
}

/// A condition being read against an item, from left to right.
struct Reader<'e> {
    tokens: Vec<&'e str>,
    at: usize,
    placeholders: Placeholders<'e>,
    item: &'e Item,
}

impl<'e> Reader<'e> {
    fn peek(&self) -> &'e str {
        self.tokens.get(self.at).copied().unwrap_or_default()
    }

    fn next(&mut self) -> &'e str {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn takes(&mut self, token: &str) -> bool {
        let is_next = self.peek() == token;
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        match self.next() {
            found if found == token => Ok(()),
            found => Err(format!("{found:?} where {token:?} should be")),
        }
    }

    fn any(&mut self) -> Result<bool, String> {
        let mut holds = self.all()?;
        while self.takes("OR") {
            holds |= self.all()?;
        }
        Ok(holds)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut holds = self.one()?;
        while self.takes("AND") {
            holds &= self.one()?;
        }
        Ok(holds)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.takes("NOT") {
            return Ok(!self.one()?);
        }
        if self.takes("(") {
            let holds = self.any()?;
            self.expect(")")?;
            return Ok(holds);
        }
        match self.peek() {
            "attribute_exists" => Ok(self.argument()?.is_some()),
            "attribute_not_exists" => Ok(self.argument()?.is_none()),
            "begins_with" => self.begins_with(),
            _ => self.comparison(),
        }
    }

    fn argument(&mut self) -> Result<Option<&'e Value>, String> {
        self.at += 1;
        self.expect("(")?;
        let value = self.operand()?;
        self.expect(")")?;
        Ok(value)
    }

    fn begins_with(&mut self) -> Result<bool, String> {
        self.at += 1;
        self.expect("(")?;
        let text = self.operand()?;
        self.expect(",")?;
        let start = self.operand()?;
        self.expect(")")?;
        let plain = |v: Option<&'e Value>| v.and_then(|v| v["S"].as_str());
        Ok(plain(text)
            .zip(plain(start))
            .is_some_and(|(text, start)| text.starts_with(start)))
    }

    fn comparison(&mut self) -> Result<bool, String> {
        let left = self.operand()?;
        let operator = self.next();
        if operator == "BETWEEN" {
            let low = self.operand()?;
            self.expect("AND")?;
            let high = self.operand()?;
            return Ok(order(left, low).is_some_and(Ordering::is_ge)
                && order(left, high).is_some_and(Ordering::is_le));
        }
        let order = order(left, self.operand()?);
        match operator {
            "=" => Ok(order == Some(Ordering::Equal)),
            "<>" => Ok(order != Some(Ordering::Equal)),
            "<" => Ok(order.is_some_and(Ordering::is_lt)),
            "<=" => Ok(order.is_some_and(Ordering::is_le)),
            ">" => Ok(order.is_some_and(Ordering::is_gt)),
            ">=" => Ok(order.is_some_and(Ordering::is_ge)),
            other => Err(format!("no operator {other:?}")),
        }
    }

    /// A placeholder's value, or what the item has at a path.
    fn operand(&mut self) -> Result<Option<&'e Value>, String> {
        let token = self.next();
        if token.starts_with(':') {
            return self.placeholders.value(token).map(Some);
        }
        let mut found = self.item.get(self.placeholders.name(token)?);
        while self.takes(".") {
            let step = self.next();
            let name = self.placeholders.name(step)?;
            found = found.and_then(|value| value["M"].get(name));
        }
        Ok(found)
    }
}

fn order(a: Option<&Value>, b: Option<&Value>) -> Option<Ordering> {
    compare(a?, b?)
}

/// Whether a condition holds of an item.
///
/// # Errors
/// What of the expression is not understood.
pub(super) fn holds(
    text: &str,
    placeholders: Placeholders<'_>,
    item: &Item,
) -> Result<bool, String> {
    let mut reader = Reader {
        tokens: tokens(text),
        at: 0,
        placeholders,
        item,
    };
    let holds = reader.any()?;
    match reader.peek() {
        "" => Ok(holds),
        rest => Err(format!("{rest:?} after the condition's end")),
    }
}

/// Sets what an update sets: `SET name = :value, sum = sum + :value, other = if_not_exists(other, :value), …`,
/// and nothing else.
///
/// # Errors
/// What of the expression is not understood.
pub(super) fn update(
    text: &str,
    placeholders: Placeholders<'_>,
    item: &mut Item,
) -> Result<(), String> {
    let tokens = tokens(text);
    let Some((&"SET", mut rest)) = tokens.split_first() else {
        return Err(format!("an update that does not set: {text}"));
    };
    loop {
        rest = match rest {
            [
                name,
                "=",
                "if_not_exists",
                "(",
                looked_at,
                ",",
                value,
                ")",
                rest @ ..,
            ] => {
                if !item.contains_key(placeholders.name(looked_at)?) {
                    set(placeholders, item, name, value)?;
                }
                rest
            }
            [name, "=", of, "+", value, rest @ ..] => {
                add(placeholders, item, [name, of, value])?;
                rest
            }
            [name, "=", value, rest @ ..] => {
                set(placeholders, item, name, value)?;
                rest
            }
            _ => return Err(format!("no plain assignment: {text}")),
        };
        match rest {
            [] => return Ok(()),
            [",", more @ ..] => rest = more,
            _ => return Err(format!("no plain assignment: {text}")),
        }
    }
}

fn set(
    placeholders: Placeholders<'_>,
    item: &mut Item,
    name: &str,
    value: &str,
) -> Result<(), String> {
    let value = placeholders.value(value)?.clone();
    item.insert(placeholders.name(name)?.to_owned(), value);
    Ok(())
}

/// Sets an attribute, the first, to the sum of another and a value.
fn add(
    placeholders: Placeholders<'_>,
    item: &mut Item,
    [name, of, value]: [&str; 3],
) -> Result<(), String> {
    let number = |value: Option<&Value>| value.and_then(|v| v["N"].as_str()?.parse::<i64>().ok());
    let of = number(item.get(placeholders.name(of)?));
    let value = number(Some(placeholders.value(value)?));
    let sum = of.zip(value).ok_or("no whole numbers to add")?;
    let sum = serde_json::json!({ "N": (sum.0 + sum.1).to_string() });
    item.insert(placeholders.name(name)?.to_owned(), sum);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn item() -> Item {
        let item = json!({
            "pk": {"S": "a#1"}, "n": {"N": "7"},
            "c0": {"M": {"attempt": {"N": "2"}, "shard": {"S": "x"}}},
        });
        item.as_object().cloned().unwrap_or_default()
    }

    fn request() -> Value {
        json!({
            "ExpressionAttributeNames": {"#c": "c0", "#d": "c1", "#attempt": "attempt", "#shard": "shard"},
            "ExpressionAttributeValues": {":two": {"N": "2"}, ":three": {"N": "3"}, ":x": {"S": "x"},
                ":low": {"S": "a"}, ":high": {"S": "b"}, ":ten": {"N": "10"}},
        })
    }

    #[test]
    fn conditions_hold_or_do_not() {
        let request = request();
        for (text, expected) in [
            ("attribute_not_exists(pk)", false),
            ("attribute_exists(pk)", true),
            ("attribute_not_exists(#d)", true),
            ("attribute_not_exists(#c) OR #c.#attempt < :two", false),
            (
                "attribute_not_exists(#c) OR #c.#attempt < :three OR (#c.#shard = :x)",
                true,
            ),
            (
                "(#c.#shard = :x AND #c.#attempt = :three) OR NOT #c.#shard = :x",
                false,
            ),
            ("pk BETWEEN :low AND :high", true),
            ("begins_with(pk, :low) AND n <= :ten", true),
            ("#d.#attempt <= :ten", false),
            ("n <> :ten", true),
        ] {
            let held = holds(text, Placeholders::of(&request), &item());
            assert_eq!(held, Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let request = request();
        for text in [
            "n = :none",
            "n LIKE :two",
            "n = :two)",
            "size(n) = :two",
            "(n = :two",
        ] {
            assert!(
                holds(text, Placeholders::of(&request), &item()).is_err(),
                "{text}"
            );
        }
        for text in [
            "REMOVE n",
            "SET n = n - :two",
            "SET n = n + :x",
            "SET n = :none",
        ] {
            assert!(
                update(text, Placeholders::of(&request), &mut item()).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn updates_set() {
        let (request, mut item) = (request(), item());
        let text = "SET n = if_not_exists(n, :two), m = if_not_exists(m, :two), #d = :x";
        let done = update(text, Placeholders::of(&request), &mut item);
        assert_eq!(done, Ok(()));
        let set = (&item["n"], &item["m"], &item["c1"]);
        assert_eq!(
            set,
            (&json!({"N": "7"}), &json!({"N": "2"}), &json!({"S": "x"}))
        );
        let done = update("SET n = :ten", Placeholders::of(&request), &mut item);
        assert_eq!((done, &item["n"]), (Ok(()), &json!({"N": "10"})));
        let done = update(
            "SET n = n + :two, m = :x",
            Placeholders::of(&request),
            &mut item,
        );
        assert_eq!((done, &item["n"]), (Ok(()), &json!({"N": "12"})));
    }
}
