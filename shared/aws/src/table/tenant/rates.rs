//! [`RateCounters`] as one item of the table for each tenant that has rates.

use crate::error::{misshapen, port_error};
use crate::table::Table;
use crate::table::attributes::{Item, n, s, ttl};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::PortError;
use vernier_ledger::rates::{Move, RateCounters, RateUnit, SpendOutcome, Spending, SpentUntil};

const WHAT: &str = "rates";

/// The sort key of a tenant's instants.
const SPENT: &str = "spent";

fn partition(tenant: &TenantId) -> AttributeValue {
    s(format!("rates#{tenant}"))
}

fn read(item: &Item) -> Result<SpentUntil, PortError> {
    let mut until = SpentUntil::default();
    for unit in RateUnit::ALL {
        match item.get(unit.as_str()) {
            None => {}
            Some(AttributeValue::N(text)) => {
                let micros = text.parse().map_err(|_| misshapen(WHAT, unit.as_str()))?;
                until.set(unit, micros);
            }
            Some(_) => return Err(misshapen(WHAT, unit.as_str())),
        }
    }
    Ok(until)
}

impl RateCounters for Table {
    async fn spend(
        &self,
        tenant: &TenantId,
        spending: &Spending,
    ) -> Result<SpendOutcome, PortError> {
        let mut sets = vec!["#ttl = :ttl".to_owned()];
        let mut conditions = Vec::new();
        let mut request = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", partition(tenant))
            .key("sk", s(SPENT))
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", ttl(spending.expires))
            .expression_attribute_values(":floor", n(spending.floor_micros));
        if spending.charges.iter().any(|c| matches!(c.by, Move::By(_))) {
            request = request.expression_attribute_values(":ceiling", n(spending.ceiling_micros));
        }
        for charge in &spending.charges {
            let unit = charge.unit;
            let (set, condition, micros) = match charge.by {
                Move::To(micros) => (
                    format!("#{unit} = :{unit}"),
                    format!("(attribute_not_exists(#{unit}) OR #{unit} < :floor)"),
                    micros,
                ),
                Move::By(micros) => (
                    format!("#{unit} = #{unit} + :{unit}"),
                    format!("(#{unit} BETWEEN :floor AND :ceiling)"),
                    micros,
                ),
            };
            sets.push(set);
            conditions.push(condition);
            request = request
                .expression_attribute_names(format!("#{unit}"), unit.as_str())
                .expression_attribute_values(format!(":{unit}"), n(micros));
        }
        let answer = request
            .update_expression(format!("SET {}", sets.join(", ")))
            .condition_expression(conditions.join(" AND "))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let error = match answer {
            Ok(_) => return Ok(SpendOutcome::Spent),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(
                aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(
                    failed,
                ),
            ) => {
                // Not every store gives back what is there.
                let stored = match failed.item() {
                    Some(item) => Some(item.clone()),
                    None => self.get(partition(tenant), s(SPENT), "read rates").await?,
                };
                let stored = stored.as_ref().map(read).transpose()?;
                Ok(SpendOutcome::Kept(stored.unwrap_or_default()))
            }
            _ => Err(port_error("charge rates", error)),
        }
    }

    async fn forget_spent(&self, tenant: &TenantId) -> Result<(), PortError> {
        self.client
            .delete_item()
            .table_name(&self.name)
            .key("pk", partition(tenant))
            .key("sk", s(SPENT))
            .send()
            .await
            .map_err(|e| port_error("forget spent rates", e))?;
        Ok(())
    }
}
