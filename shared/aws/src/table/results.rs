//! [`Results`] on DynamoDB: one item per result, in one of its section's partitions by learner, so
//! that a learner's results in a section are one query and a section's a query for each slot.
//!
//! Each register is two attributes, its value and its cause. A merge is one conditional update:
//! every register that it sets must be absent or caused by nothing greater. Only where that fails
//! is the stored state looked at, which the failed update itself gives back.

use super::Table;
use super::attributes::{Item, Reader, b, json, s};
use crate::error::{misshapen, port_error};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use futures::stream::{self, StreamExt, TryStreamExt};
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::{RESULT_SLOTS, RESULTS_READ_MAX};
use vernier_ledger::ports::{PortError, Results};
use vernier_ledger::results::{
    Cause, Register, Registers, ResultItem, ResultKey, ResultList, id_digest,
};

const WHAT: &str = "result";

/// Updates of one merge: each failure means that another writer was quicker with a newer event.
const MERGE_TRIES_MAX: usize = 8;

/// A register's attributes: value and cause.
type Attributes = (&'static str, &'static str);

const SCORE: Attributes = ("score", "score_cause");
const STATUS: Attributes = ("status", "status_cause");
const STARTED: Attributes = ("started", "started_cause");
const SUBMITTED: Attributes = ("submitted", "submitted_cause");
const COUNT: Attributes = ("count", "count_cause");

/// One of the partitions that a section's results lie in.
#[derive(Clone, Copy)]
struct SectionSlot<'a> {
    section: Option<&'a str>,
    slot: u8,
}

impl SectionSlot<'_> {
    fn partition(self, tenant: &TenantId) -> AttributeValue {
        let rest = ResultKey::partition(tenant, self.section, self.slot);
        s(format!("results#{rest}"))
    }
}

fn keys(tenant: &TenantId, key: &ResultKey) -> (AttributeValue, AttributeValue) {
    let slot = SectionSlot {
        section: key.section.as_deref(),
        slot: ResultKey::slot_of(&key.learner),
    };
    (slot.partition(tenant), s(key.sort_key()))
}

/// Registers as attribute values.
fn attributes(registers: &Registers) -> Vec<(Attributes, AttributeValue, AttributeValue)> {
    fn pair<T: serde::Serialize>(
        names: Attributes,
        register: &Option<Register<T>>,
    ) -> Option<(Attributes, AttributeValue, AttributeValue)> {
        let register = register.as_ref()?;
        Some((names, json(&register.value), b(register.cause.as_bytes())))
    }
    [
        pair(SCORE, &registers.score),
        pair(STATUS, &registers.status),
        pair(STARTED, &registers.started),
        pair(SUBMITTED, &registers.submitted),
        pair(COUNT, &registers.count),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn read_register<T: serde::de::DeserializeOwned>(
    reader: &Reader<'_>,
    (value, cause): Attributes,
) -> Result<Option<Register<T>>, PortError> {
    let Some(stored) = reader.json_if_any(value)? else {
        return Ok(None);
    };
    let bytes = reader.bytes_if_any(cause).and_then(Cause::from_bytes);
    let cause = bytes.ok_or_else(|| misshapen(WHAT, cause))?;
    Ok(Some(Register {
        value: stored,
        cause,
    }))
}

fn read_registers(item: &Item) -> Result<Registers, PortError> {
    let reader = Reader { what: WHAT, item };
    Ok(Registers {
        score: read_register(&reader, SCORE)?,
        status: read_register(&reader, STATUS)?,
        started: read_register(&reader, STARTED)?,
        submitted: read_register(&reader, SUBMITTED)?,
        count: read_register(&reader, COUNT)?,
    })
}

/// A result of the section whose partition the item lies in: an item does not repeat the section's id.
fn read_result(section: Option<&str>, item: &Item) -> Result<ResultItem, PortError> {
    let reader = Reader { what: WHAT, item };
    let key = ResultKey {
        section: section.map(str::to_owned),
        learner: reader.text("learner")?.to_owned(),
        assignment: reader.text_if_any("assignment").map(str::to_owned),
        attempt: reader.text_if_any("attempt").map(str::to_owned),
    };
    Ok(ResultItem {
        key,
        registers: read_registers(item)?,
    })
}

/// The update that sets the key's ids and the registers, if none of them is newer in the table.
/// An equal cause is the same event: setting it again costs what looking at it would.
fn with_registers(
    mut update: UpdateItemFluentBuilder,
    key: &ResultKey,
    registers: &Registers,
) -> UpdateItemFluentBuilder {
    let (mut sets, mut conditions) = (Vec::new(), Vec::new());
    for (name, id) in [
        ("learner", &Some(key.learner.clone())),
        ("assignment", &key.assignment),
        ("attempt", &key.attempt),
    ] {
        if let Some(id) = id {
            sets.push(format!("#{name} = :{name}"));
            update = update
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), s(id));
        }
    }
    for ((value, cause), new_value, new_cause) in attributes(registers) {
        sets.push(format!("#{value} = :{value}, #{cause} = :{cause}"));
        conditions.push(format!(
            "(attribute_not_exists(#{cause}) OR #{cause} <= :{cause})"
        ));
        update = update
            .expression_attribute_names(format!("#{value}"), value)
            .expression_attribute_names(format!("#{cause}"), cause)
            .expression_attribute_values(format!(":{value}"), new_value)
            .expression_attribute_values(format!(":{cause}"), new_cause);
    }
    update
        .update_expression(format!("SET {}", sets.join(", ")))
        .condition_expression(conditions.join(" AND "))
}

impl Table {
    /// One conditional update; the stored registers when one of them is newer.
    async fn update_result(
        &self,
        tenant: &TenantId,
        key: &ResultKey,
        registers: &Registers,
    ) -> Result<Option<Registers>, PortError> {
        let (pk, sk) = keys(tenant, key);
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", pk.clone())
            .key("sk", sk.clone())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let answer = with_registers(update, key, registers).send().await;
        let error = match answer {
            Ok(_) => return Ok(None),
            Err(error) => error,
        };
        let Some(UpdateItemError::ConditionalCheckFailedException(failed)) =
            error.as_service_error()
        else {
            return Err(port_error("merge result", error));
        };
        // Not every endpoint gives the item back.
        let item = match failed.item().filter(|item| !item.is_empty()) {
            Some(item) => Some(item.clone()),
            None => self.get(pk, sk, "read result").await?,
        };
        let stored = item.as_ref().map(read_registers).transpose()?;
        Ok(Some(stored.unwrap_or_default()))
    }

    /// At most `most` results of a section's slot, all or those of one learner.
    async fn results_in(
        &self,
        tenant: &TenantId,
        slot: SectionSlot<'_>,
        learner: Option<&str>,
        most: usize,
    ) -> Result<ResultList, PortError> {
        let pk = slot.partition(tenant);
        let mut query = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .expression_attribute_values(":pk", pk);
        query = match learner {
            None => query.key_condition_expression("pk = :pk"),
            Some(learner) => query
                .key_condition_expression("pk = :pk AND begins_with(sk, :learner)")
                .expression_attribute_values(
                    ":learner",
                    s(format!("{}#", id_digest(Some(learner)))),
                ),
        };
        let mut pages = query.into_paginator().send();
        let mut list = ResultList::default();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| port_error("list results", e))?;
            for item in page.items() {
                if list.items.len() == most {
                    list.more = true;
                    return Ok(list);
                }
                list.items.push(read_result(slot.section, item)?);
            }
        }
        Ok(list)
    }
}

impl Results for Table {
    async fn merge(
        &self,
        tenant: &TenantId,
        key: &ResultKey,
        registers: &Registers,
    ) -> Result<(), PortError> {
        let mut left = registers.clone();
        for _ in 0..MERGE_TRIES_MAX {
            if left.is_empty() {
                return Ok(());
            }
            match self.update_result(tenant, key, &left).await? {
                None => return Ok(()),
                Some(stored) => left = left.newer_than(&stored),
            }
        }
        Err(PortError::Retryable(
            "merge result: others kept writing it".into(),
        ))
    }

    async fn of_learner(
        &self,
        tenant: &TenantId,
        section: Option<&str>,
        learner: &str,
    ) -> Result<ResultList, PortError> {
        let slot = SectionSlot {
            section,
            slot: ResultKey::slot_of(learner),
        };
        let most = RESULTS_READ_MAX;
        let mut list = self.results_in(tenant, slot, Some(learner), most).await?;
        list.items.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(list)
    }

    async fn of_section(
        &self,
        tenant: &TenantId,
        section: Option<&str>,
    ) -> Result<ResultList, PortError> {
        let most = RESULTS_READ_MAX / usize::from(RESULT_SLOTS);
        let slots: Vec<ResultList> = stream::iter(0..RESULT_SLOTS)
            .map(|slot| self.results_in(tenant, SectionSlot { section, slot }, None, most))
            .buffer_unordered(usize::from(RESULT_SLOTS))
            .try_collect()
            .await?;
        let mut list = ResultList::default();
        for slot in slots {
            list.more |= slot.more;
            list.items.extend(slot.items);
        }
        list.items.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vernier_ledger::digest::Fingerprint;
    use vernier_ledger::results::{Count, Score, Started, Status, Submitted};
    use vernier_ledger::time::Millis;

    fn register<T>(value: T) -> Option<Register<T>> {
        let id = Some("urn:uuid:a50ca17f-5971-47bb-8fca-4e6e6879001d");
        let cause = Cause::new(Millis(1_479_204_930_000), id, &Fingerprint::of(b""));
        Some(Register { value, cause })
    }

    /// Invariant 8: docs/tables.md promises that a usual result costs one write unit, whatever
    /// the tenant's name.
    #[test]
    fn a_usual_result_is_under_1_kb() {
        let section = "https://example.edu/terms/201601/courses/7/sections/1/g";
        let assignment = format!("{section}/assess/1");
        let learner = "https://example.edu/users/5544330";
        let key = ResultKey {
            section: Some(section.to_owned()),
            learner: learner.to_owned(),
            attempt: Some(format!("{assignment}/users/554433/attempts/1")),
            assignment: Some(assignment),
        };
        let at = Millis(1_479_204_930_000);
        let registers = Registers {
            score: register(Score {
                given: Some(10.0),
                maximum: Some(15.0),
                by: Some("https://example.edu/autograder".to_owned()),
            }),
            status: register(Status {
                action: "Graded".to_owned(),
            }),
            started: register(Started { at }),
            submitted: register(Submitted {
                at: Some(at),
                duration_millis: Some(630_000),
            }),
            count: register(Count {
                count: Some(1),
                part_of: None,
            }),
        };
        let bytes = |value: &AttributeValue| match value {
            AttributeValue::S(text) => text.len(),
            AttributeValue::B(blob) => blob.as_ref().len(),
            other => panic!("{other:?}"),
        };
        let tenant = "t".repeat(63).parse().expect("a tenant's name");
        let (pk, sk) = keys(&tenant, &key);
        let mut size = "pk".len() + bytes(&pk) + "sk".len() + bytes(&sk);
        let ids = [&key.assignment, &key.attempt];
        size += ids
            .iter()
            .filter_map(|id| id.as_ref())
            .map(String::len)
            .sum::<usize>();
        size += learner.len() + "assignment".len() + "attempt".len() + "learner".len();
        let all = attributes(&registers);
        assert_eq!(all.len(), 5);
        for ((value, cause), stored, stored_cause) in &all {
            size += value.len() + bytes(stored) + cause.len() + bytes(stored_cause);
        }
        assert!((840..=1_024).contains(&size), "{size}");
    }
}
