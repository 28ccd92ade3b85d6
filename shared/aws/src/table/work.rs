//! [`WorkLists`] on DynamoDB: an owner's entries in a partition of its own, and the due index by owners' slots.

use super::Table;
use super::attributes::{Item, Reader, json, s};
use crate::error::{misshapen, port_error, took_place};
use aws_sdk_dynamodb::types::AttributeValue;
use std::sync::atomic::Ordering;
use vernier_ledger::block_item::Listing;
use vernier_ledger::ports::PortError;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Expected, Nonce, Nudge, Owner, WorkEntry, WorkKey, WorkLists};

const WHAT: &str = "work";

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

fn index_key(nudge: &Nudge) -> AttributeValue {
    let Nudge { due, owner, nonce } = nudge;
    s(format!("{}#{owner}#{nonce}", due_key(*due)))
}

fn read_entry(item: &Item) -> Result<WorkEntry, PortError> {
    Reader { what: WHAT, item }.json("entry")
}

fn read_nudge(item: &Item) -> Result<Nudge, PortError> {
    let reader = Reader { what: "due", item };
    let mut parts = reader.text("sk")?.split('#');
    let nudge = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(due), Some(owner), Some(nonce), None) => Some(Nudge {
            due: Millis(due.parse().map_err(|_| misshapen("due", "sk"))?),
            owner: owner.parse().map_err(|_| misshapen("due", "sk"))?,
            nonce: Nonce::try_from(nonce.to_owned()).map_err(|_| misshapen("due", "sk"))?,
        }),
        _ => None,
    };
    nudge.ok_or_else(|| misshapen("due", "sk"))
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

    async fn put_nudge(&self, nudge: &Nudge) -> Result<(), PortError> {
        let request = self.client.put_item().table_name(&self.name);
        let request = request
            .item("pk", slot(nudge.owner.slot()))
            .item("sk", index_key(nudge));
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

    async fn due_work(&self, index_slot: u8, at: Millis) -> Result<Vec<Nudge>, PortError> {
        let range = ("0".to_owned(), format!("{}~", due_key(at)));
        let items = self
            .query(slot(index_slot), Some(range), "read due")
            .await?;
        let mut nudges = items
            .iter()
            .map(read_nudge)
            .collect::<Result<Vec<_>, _>>()?;
        // The ledger's own list stands behind all tenants', which its name does not.
        nudges.sort();
        Ok(nudges)
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

    async fn remove_nudge(&self, nudge: &Nudge) -> Result<(), PortError> {
        let request = self.client.delete_item().table_name(&self.name);
        let request = request
            .key("pk", slot(nudge.owner.slot()))
            .key("sk", index_key(nudge));
        let removed = request.send().await;
        removed.map_err(|e| port_error("remove due", e))?;
        Ok(())
    }
}
