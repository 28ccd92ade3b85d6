//! One DynamoDB table: the operations that the ledger's adapters call, and their units.

use super::Counts;
use super::expression::{Placeholders, holds, update};
use super::item::{Item, STORED_EXTRA_BYTES, item_bytes};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const WRITE_UNIT_BYTES: u64 = 1_024;
const READ_UNIT_BYTES: u64 = 4_096;

/// A partition key and a sort key.
type Key = (String, String);

/// The items, in order.
#[derive(Debug, Default)]
pub struct Table {
    items: BTreeMap<Key, Item>,
}

/// Why an operation fails: the error's name in the protocol, and its other members.
#[derive(Debug, PartialEq)]
pub(super) struct Failure(pub(super) &'static str, pub(super) Value);

impl Failure {
    fn unknown(why: impl ToString) -> Self {
        Self("ValidationException", json!({ "message": why.to_string() }))
    }
}

fn key_of(item: &Value) -> Result<Key, Failure> {
    let part = |name: &str| item[name]["S"].as_str().map(str::to_owned);
    part("pk")
        .zip(part("sk"))
        .ok_or_else(|| Failure::unknown("no key"))
}

/// What a key begins with, up to its first `#`.
fn family(pk: &str) -> &str {
    pk.split('#').next().unwrap_or(pk)
}

fn units(bytes: u64, unit: u64) -> u64 {
    bytes.div_ceil(unit).max(1)
}

/// A write that may be made: what it replaces, what it leaves, whether its condition holds.
struct Write {
    key: Key,
    before: Option<Item>,
    after: Item,
    holds: bool,
}

impl Write {
    fn units(&self) -> u64 {
        let before = self.before.as_ref().map_or(0, item_bytes);
        // A write that is refused is paid for what is there.
        let after = if self.holds {
            item_bytes(&self.after)
        } else {
            0
        };
        units(before.max(after), WRITE_UNIT_BYTES)
    }
}

impl Table {
    /// Puts an item without counting.
    ///
    /// # Panics
    /// When it has no key.
    pub(super) fn keep(&mut self, item: Value) {
        let key = key_of(&item).expect("an item with a key");
        let item = item.as_object().cloned().unwrap_or_default();
        self.items.insert(key, item);
    }

    pub(super) fn all_items(&self) -> Vec<Value> {
        let items = self.items.values();
        items.map(|item| Value::Object(item.clone())).collect()
    }

    pub(super) fn stored_bytes(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for ((pk, _), item) in &self.items {
            *all.entry(family(pk).to_owned()).or_default() += item_bytes(item) + STORED_EXTRA_BYTES;
        }
        all
    }

    /// Answers one operation.
    pub(super) fn call(
        &mut self,
        operation: &str,
        request: &Value,
        counts: &mut Counts,
    ) -> Result<Value, Failure> {
        match operation {
            "GetItem" => self.get(request, counts),
            "Query" => self.query(request, counts),
            "PutItem" => {
                let write = self.put(request)?;
                counts.count(operation, family(&write.key.0));
                self.one(write, request, counts)
            }
            "UpdateItem" => {
                let write = self.update(request)?;
                counts.count(operation, family(&write.key.0));
                self.one(write, request, counts)
            }
            "DeleteItem" => {
                let write = self.delete(request)?;
                counts.count(operation, family(&write.key.0));
                self.one(write, request, counts)
            }
            "TransactWriteItems" => self.transact(request, counts),
            "BatchWriteItem" => self.write_batch(request, counts),
            other => Err(Failure::unknown(format!("no operation {other}"))),
        }
    }

    fn get(&self, request: &Value, counts: &mut Counts) -> Result<Value, Failure> {
        let key = key_of(&request["Key"])?;
        counts.count("GetItem", family(&key.0));
        let item = self.items.get(&key);
        let units = units(item.map_or(0, item_bytes), READ_UNIT_BYTES);
        Counts::pay(&mut counts.read_units, family(&key.0), units);
        Ok(item.map_or_else(|| json!({}), |item| json!({ "Item": item })))
    }

    fn query(&self, request: &Value, counts: &mut Counts) -> Result<Value, Failure> {
        let condition = request["KeyConditionExpression"]
            .as_str()
            .unwrap_or_default();
        let placeholders = Placeholders::of(request);
        let pk = request["ExpressionAttributeValues"][":pk"]["S"].as_str();
        let pk = pk.ok_or_else(|| Failure::unknown("no :pk"))?;
        counts.count("Query", family(pk));
        let start = (pk.to_owned(), String::new());
        let partition = self.items.range(start..).take_while(|((p, _), _)| p == pk);
        let mut found = Vec::new();
        let mut bytes = 0;
        let limit = request["Limit"].as_u64().unwrap_or(u64::MAX);
        for (_, item) in partition {
            if found.len() as u64 >= limit {
                break;
            }
            if holds(condition, placeholders, item).map_err(Failure::unknown)? {
                bytes += item_bytes(item);
                found.push(item);
            }
        }
        let units = units(bytes, READ_UNIT_BYTES);
        Counts::pay(&mut counts.read_units, family(pk), units);
        Ok(json!({ "Items": found, "Count": found.len() }))
    }

    fn condition(request: &Value, item: Option<&Item>) -> Result<bool, Failure> {
        let Some(condition) = request["ConditionExpression"].as_str() else {
            return Ok(true);
        };
        let nothing = Item::new();
        let item = item.unwrap_or(&nothing);
        holds(condition, Placeholders::of(request), item).map_err(Failure::unknown)
    }

    fn put(&self, request: &Value) -> Result<Write, Failure> {
        let key = key_of(&request["Item"])?;
        let before = self.items.get(&key).cloned();
        Ok(Write {
            holds: Self::condition(request, before.as_ref())?,
            after: request["Item"].as_object().cloned().unwrap_or_default(),
            before,
            key,
        })
    }

    fn delete(&self, request: &Value) -> Result<Write, Failure> {
        let key = key_of(&request["Key"])?;
        let before = self.items.get(&key).cloned();
        Ok(Write {
            holds: Self::condition(request, before.as_ref())?,
            after: Item::default(),
            before,
            key,
        })
    }

    fn update(&self, request: &Value) -> Result<Write, Failure> {
        let key = key_of(&request["Key"])?;
        let before = self.items.get(&key).cloned();
        let new = || request["Key"].as_object().cloned().unwrap_or_default();
        let mut after = before.clone().unwrap_or_else(new);
        let text = request["UpdateExpression"].as_str().unwrap_or_default();
        let holds = Self::condition(request, before.as_ref())?;
        if holds {
            update(text, Placeholders::of(request), &mut after).map_err(Failure::unknown)?;
        }
        Ok(Write {
            holds,
            after,
            before,
            key,
        })
    }

    /// Makes a write whose condition holds.
    fn make(&mut self, write: Write) {
        match write.after.is_empty() {
            true => self.items.remove(&write.key),
            false => self.items.insert(write.key, write.after),
        };
    }

    /// Puts items without a condition, as a batch does.
    fn write_batch(&mut self, request: &Value, counts: &mut Counts) -> Result<Value, Failure> {
        let tables = request["RequestItems"].as_object();
        let requests = tables.into_iter().flat_map(|tables| tables.values());
        for part in requests.filter_map(Value::as_array).flatten() {
            let Some(put) = part.get("PutRequest") else {
                return Err(Failure::unknown("no PutRequest"));
            };
            let write = self.put(put)?;
            counts.count("BatchWriteItem", family(&write.key.0));
            Counts::pay(&mut counts.write_units, family(&write.key.0), write.units());
            self.make(write);
        }
        Ok(json!({ "UnprocessedItems": {} }))
    }

    fn one(
        &mut self,
        write: Write,
        request: &Value,
        counts: &mut Counts,
    ) -> Result<Value, Failure> {
        let family = family(&write.key.0);
        Counts::pay(&mut counts.write_units, family, write.units());
        if write.holds {
            self.make(write);
            return Ok(json!({}));
        }
        counts.failed_write_units += write.units();
        let mut error = json!({ "message": "The conditional request failed" });
        if request["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD" {
            error["Item"] = json!(write.before.unwrap_or_default());
        }
        Err(Failure("ConditionalCheckFailedException", error))
    }

    fn transact(&mut self, request: &Value, counts: &mut Counts) -> Result<Value, Failure> {
        let parts = request["TransactItems"].as_array();
        let mut writes = Vec::new();
        for part in parts.into_iter().flatten() {
            let write = match (part.get("Put"), part.get("Update"), part.get("Delete")) {
                (Some(put), ..) => self.put(put)?,
                (_, Some(update), _) => self.update(update)?,
                (.., Some(delete)) => self.delete(delete)?,
                _ => return Err(Failure::unknown("neither Put nor Update nor Delete")),
            };
            writes.push(write);
        }
        let families: Vec<&str> = writes.iter().map(|w| family(&w.key.0)).collect();
        counts.count("TransactWriteItems", &families.join("+"));
        // Prepared and committed: each write is paid twice.
        for write in &writes {
            let family = family(&write.key.0);
            Counts::pay(&mut counts.write_units, family, 2 * write.units());
        }
        if writes.iter().all(|w| w.holds) {
            writes.into_iter().for_each(|write| self.make(write));
            return Ok(json!({}));
        }
        counts.failed_write_units += writes.iter().map(|w| 2 * w.units()).sum::<u64>();
        let reason = |w: &Write| match w.holds {
            true => json!({ "Code": "None" }),
            false => json!({ "Code": "ConditionalCheckFailed" }),
        };
        let reasons: Vec<Value> = writes.iter().map(reason).collect();
        let error = json!({ "Message": "cancelled", "CancellationReasons": reasons });
        Err(Failure("TransactionCanceledException", error))
    }
}
