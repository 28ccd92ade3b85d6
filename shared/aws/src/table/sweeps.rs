//! [`Sweeps`] on DynamoDB.

use super::Table;
use super::attributes::{Reader, json, s};
use crate::error::port_error;
use aws_sdk_dynamodb::types::AttributeValue;
use vernier_ledger::ports::{PortError, Sweeps};
use vernier_ledger::sweep::{Sweep, SweepMark};

fn key_of(sweep: Sweep<'_>) -> (AttributeValue, AttributeValue) {
    let name = match sweep {
        Sweep::Segments => "segments".to_owned(),
        Sweep::Parts(tenant) => format!("parts#{tenant}"),
    };
    (s("sweeps"), s(name))
}

impl Sweeps for Table {
    async fn sweep_mark(&self, sweep: Sweep<'_>) -> Result<Option<SweepMark>, PortError> {
        let (pk, sk) = key_of(sweep);
        let item = self.get(pk, sk, "read sweep").await?;
        item.map(|item| {
            Reader {
                what: "sweep",
                item: &item,
            }
            .json("mark")
        })
        .transpose()
    }

    async fn save_sweep_mark(&self, sweep: Sweep<'_>, mark: &SweepMark) -> Result<(), PortError> {
        let (pk, sk) = key_of(sweep);
        self.client
            .put_item()
            .table_name(&self.name)
            .item("pk", pk)
            .item("sk", sk)
            .item("mark", json(mark))
            .send()
            .await
            .map_err(|e| port_error("save sweep", e))?;
        Ok(())
    }
}
