//! [`WorkLists`] on DynamoDB: an owner's entries in a partition of its own, and the due index by owners' slots.

use super::Table;
use super::attributes::{Item, Reader, json, n, s};
use crate::error::{misshapen, port_error, took_place};
use aws_sdk_dynamodb::types::AttributeValue;
use std::sync::atomic::Ordering;
use vernier_ledger::block_item::Listing;
use vernier_ledger::ports::PortError;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{DueItem, Expected, Nonce, Owner, WorkEntry, WorkKey, WorkLists};

const WHAT: &str = "work";

/// The attribute of an index item that has [`DueItem::lone_since`].
const LONE_SINCE: &str = "lone_since";

fn list_of(owner: &Owner) -> AttributeValue {
    s(format!("work#{owner}"))
}

fn slot(slot: u8) -> AttributeValue {
    s(format!("due#{slot}"))
}

/// Text order is the order of instants.
fn due_key(at: Millis) -> String {
    format!("{:015}", at.0.max(0))
}

fn index_key(item: &DueItem) -> AttributeValue {
    let due = due_key(item.due);
    s(format!("{due}#{}#{}", item.owner, item.nonce))
}

fn read_entry(item: &Item) -> Result<WorkEntry, PortError> {
    Reader { what: WHAT, item }.json("entry")
}

fn read_due_item(item: &Item) -> Result<DueItem, PortError> {
    let reader = Reader { what: "due", item };
    let mut parts = reader.text("sk")?.split('#');
    let key = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(due), Some(owner), Some(nonce), None) => Some((due, owner, nonce)),
        _ => None,
    };
    let bad = || misshapen("due", "sk");
    let (due, owner, nonce) = key.ok_or_else(bad)?;
    let lone_since = match item.contains_key(LONE_SINCE) {
        true => Some(Millis(reader.number(LONE_SINCE)?)),
        false => None,
    };
    Ok(DueItem {
        due: Millis(due.parse().map_err(|_| bad())?),
        owner: owner.parse().map_err(|_| bad())?,
        nonce: Nonce::try_from(nonce.to_owned()).map_err(|_| bad())?,
        lone_since,
    })
}

impl WorkLists for Table {
    async fn work(&self, owner: &Owner) -> Result<Vec<WorkEntry>, PortError> {
        let items = self.query(list_of(owner), None, "read work").await?;
        let entries = items.iter().map(read_entry);
        let mut entries = entries.collect::<Result<Vec<WorkEntry>, _>>()?;
        // Causes have an order of their own, which is not their names'.
        entries.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(entries)
    }

    async fn work_entry(
        &self,
        owner: &Owner,
        key: &WorkKey,
    ) -> Result<Option<WorkEntry>, PortError> {
        let item = self.get(list_of(owner), s(key.to_string()), "read work");
        item.await?.as_ref().map(read_entry).transpose()
    }

    async fn put_due(&self, item: &DueItem) -> Result<(), PortError> {
        let request = self.client.put_item().table_name(&self.name);
        let request = request
            .item("pk", slot(item.owner.slot()))
            .item("sk", index_key(item));
        let put = request.send().await;
        put.map_err(|e| port_error("put due", e))?;
        Ok(())
    }

    async fn put_entry(
        &self,
        owner: &Owner,
        entry: &WorkEntry,
        expected: Expected,
    ) -> Result<bool, PortError> {
        let request = self
            .client
            .put_item()
            .table_name(&self.name)
            .item("pk", list_of(owner))
            .item("sk", s(entry.key.to_string()))
            .item("entry", json(entry))
            .item("nonce", s(entry.nonce.to_string()));
        let request = match expected {
            Expected::Anything => request,
            Expected::Nothing => request.condition_expression("attribute_not_exists(pk)"),
            Expected::Seen(nonce) => request
                .condition_expression("nonce = :seen")
                .expression_attribute_values(":seen", s(nonce.to_string())),
        };
        if took_place(request.send().await, "put work")? {
            return Ok(true);
        }
        // An earlier try of the same call, whose answer was lost, may have put the entry.
        let there = self.work_entry(owner, &entry.key).await?;
        Ok(there.is_some_and(|there| there.nonce == entry.nonce))
    }

    async fn remove_entry(&self, owner: &Owner, seen: &WorkEntry) -> Result<bool, PortError> {
        let request = self.client.delete_item().table_name(&self.name);
        let request = request
            .key("pk", list_of(owner))
            .key("sk", s(seen.key.to_string()))
            .condition_expression("nonce = :seen")
            .expression_attribute_values(":seen", s(seen.nonce.to_string()));
        took_place(request.send().await, "remove work")
    }

    async fn due_work(&self, index_slot: u8, at: Millis) -> Result<Vec<DueItem>, PortError> {
        let range = ("0".to_owned(), format!("{}~", due_key(at)));
        let items = self
            .query(slot(index_slot), Some(range), "read due")
            .await?;
        let mut due = items
            .iter()
            .map(read_due_item)
            .collect::<Result<Vec<_>, _>>()?;
        // The ledger's own list stands behind all tenants', which its name does not.
        due.sort();
        Ok(due)
    }

    async fn is_seeded(&self) -> Result<bool, PortError> {
        if self.is_seeded.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let seeded = self.listing_mark().await?.is_some_and(|mark| mark.seeded);
        // Once for a process: it stays so.
        self.is_seeded.store(seeded, Ordering::Relaxed);
        Ok(seeded)
    }

    async fn mark_lone(&self, item: &DueItem, since: Millis) -> Result<(), PortError> {
        let request = self.client.update_item().table_name(&self.name);
        let request = request
            .key("pk", slot(item.owner.slot()))
            .key("sk", index_key(item))
            .update_expression(format!("SET {LONE_SINCE} = :since"))
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":since", n(since.0));
        took_place(request.send().await, "mark due").map(|_| ())
    }

    async fn remove_due(&self, item: &DueItem) -> Result<(), PortError> {
        let request = self.client.delete_item().table_name(&self.name);
        let request = request
            .key("pk", slot(item.owner.slot()))
            .key("sk", index_key(item));
        let removed = request.send().await;
        removed.map_err(|e| port_error("remove due", e))?;
        Ok(())
    }
}
