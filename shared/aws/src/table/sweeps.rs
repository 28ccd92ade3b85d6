//! [`Sweeps`] and [`Leftovers`] on DynamoDB.

use super::Table;
use super::attributes::{Reader, json, s};
use crate::error::port_error;
use aws_sdk_dynamodb::types::AttributeValue;
use vernier_ledger::ports::{Leftovers, PortError, Sweeps};
use vernier_ledger::sweep::{Leftover, LeftoverKey, Sweep, SweepMark, UnknownTime};

/// The partition of all of them.
const SWEEPS: &str = "sweeps";

/// What the sort keys of leftovers begin with.
const LEFT: &str = "left#";

/// The sort key of the time that a restored table knows nothing of.
const UNKNOWN: &str = "unknown-time";

fn key_of(sweep: Sweep<'_>) -> String {
    match sweep {
        Sweep::Segments => "segments".to_owned(),
        Sweep::Parts(tenant) => format!("parts#{tenant}"),
    }
}

/// Sorts as the keys themselves do.
fn leftover_key(key: &LeftoverKey) -> String {
    let (start, kind) = (key.start.0, key.kind.as_str());
    let tenant = key.tenant.as_ref().map_or("", |tenant| tenant.as_str());
    format!("{LEFT}{start:015}#{kind}#{tenant}")
}

impl Table {
    async fn save_sweep(
        &self,
        sort_key: String,
        name: &str,
        value: AttributeValue,
    ) -> Result<(), PortError> {
        let put = self.client.put_item().table_name(&self.name);
        let put = put.item("pk", s(SWEEPS)).item("sk", s(sort_key));
        let saved = put.item(name, value).send().await;
        saved.map_err(|e| port_error("save sweep", e))?;
        Ok(())
    }

    async fn forget_sweep(&self, sort_key: String) -> Result<(), PortError> {
        let delete = self.client.delete_item().table_name(&self.name);
        let delete = delete.key("pk", s(SWEEPS)).key("sk", s(sort_key));
        let deleted = delete.send().await;
        deleted.map_err(|e| port_error("forget sweep", e))?;
        Ok(())
    }
}

impl Sweeps for Table {
    async fn sweep_mark(&self, sweep: Sweep<'_>) -> Result<Option<SweepMark>, PortError> {
        let item = self.get(s(SWEEPS), s(key_of(sweep)), "read sweep").await?;
        let read = |item| {
            let what = "sweep";
            Reader { what, item: &item }.json("mark")
        };
        item.map(read).transpose()
    }

    async fn save_sweep_mark(&self, sweep: Sweep<'_>, mark: &SweepMark) -> Result<(), PortError> {
        self.save_sweep(key_of(sweep), "mark", json(mark)).await
    }

    async fn unknown_time(&self) -> Result<Option<UnknownTime>, PortError> {
        let item = self.get(s(SWEEPS), s(UNKNOWN), "read unknown time").await?;
        let read = |item| {
            let what = "unknown time";
            Reader { what, item: &item }.json("unknown")
        };
        item.map(read).transpose()
    }

    async fn save_unknown_time(&self, unknown: Option<UnknownTime>) -> Result<(), PortError> {
        let key = UNKNOWN.to_owned();
        match unknown {
            Some(unknown) => self.save_sweep(key, "unknown", json(&unknown)).await,
            None => self.forget_sweep(key).await,
        }
    }
}

impl Leftovers for Table {
    async fn leftovers(
        &self,
        after: Option<&LeftoverKey>,
        count_max: u32,
    ) -> Result<Vec<Leftover>, PortError> {
        // A space sorts behind a key and before all that begin like it.
        let from = after.map_or(LEFT.to_owned(), |key| leftover_key(key) + " ");
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", s(SWEEPS))
            .expression_attribute_values(":from", s(from))
            .expression_attribute_values(":to", s(format!("{LEFT}~")))
            .consistent_read(true)
            .limit(i32::try_from(count_max).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|e| port_error("read leftovers", e))?;
        let items = answer.items.unwrap_or_default();
        let what = "leftover";
        let read = |item| Reader { what, item }.json("left");
        items.iter().map(read).collect()
    }

    async fn keep_leftover(&self, leftover: &Leftover) -> Result<(), PortError> {
        let key = leftover_key(&leftover.key);
        self.save_sweep(key, "left", json(leftover)).await
    }

    async fn forget_leftover(&self, key: &LeftoverKey) -> Result<(), PortError> {
        self.forget_sweep(leftover_key(key)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vernier_ledger::sweep::LeftoverKind;
    use vernier_ledger::time::Millis;

    #[test]
    fn sort_keys_are_in_the_order_of_leftovers() {
        let mut keys = Vec::new();
        for start in [0, 3_600_000, 1_788_254_100_000] {
            for kind in LeftoverKind::ALL {
                for tenant in [None, Some("school"), Some("school-2")] {
                    keys.push(LeftoverKey {
                        start: Millis(start),
                        kind,
                        tenant: tenant.map(|name| name.parse().expect("a tenant's name")),
                    });
                }
            }
        }
        assert!(keys.is_sorted());
        let texts: Vec<String> = keys.iter().map(leftover_key).collect();
        assert!(texts.is_sorted(), "{texts:?}");
        for pair in texts.windows(2) {
            assert!(format!("{} ", pair[0]) < pair[1], "{pair:?}");
        }
    }
}
