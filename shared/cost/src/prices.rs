//! Dated prices and assumptions, read from the files beside the code.

use serde::Deserialize;
use std::collections::BTreeMap;

/// The built-in prices: us-east-1, list.
const PRICES: &str = include_str!("../prices/us-east-1.json");

/// The built-in assumptions.
const ASSUMPTIONS: &str = include_str!("../prices/assumptions.json");

/// One step of a price that falls with the amount.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tier {
    /// A month's units up to which it holds, all units counted; none: without end.
    up_to: Option<f64>,
    /// Dollars for each [`Price::per`] units.
    dollars: f64,
}

/// What one kind of unit costs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "PriceText")]
pub struct Price {
    tiers: Vec<Tier>,
    per: f64,
    /// What is counted.
    pub unit: String,
    /// Where the price was read.
    pub source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceText {
    dollars: Option<f64>,
    tiers: Option<Vec<Tier>>,
    per: f64,
    unit: String,
    source: String,
}

impl TryFrom<PriceText> for Price {
    type Error = String;

    fn try_from(text: PriceText) -> Result<Self, String> {
        let tiers = match (text.dollars, text.tiers) {
            (Some(dollars), None) => vec![Tier {
                up_to: None,
                dollars,
            }],
            (None, Some(tiers)) => tiers,
            _ => return Err(format!("{}: either dollars or tiers", text.unit)),
        };
        let bounds: Vec<f64> = tiers
            .iter()
            .map(|t| t.up_to.unwrap_or(f64::INFINITY))
            .collect();
        let last_is_open = bounds.last() == Some(&f64::INFINITY);
        if !last_is_open || !bounds.windows(2).all(|b| b[0] < b[1]) {
            return Err(format!("{}: tiers do not rise to an open end", text.unit));
        }
        if text.per <= 0.0 || tiers.iter().any(|t| t.dollars < 0.0) {
            return Err(format!("{}: below nothing", text.unit));
        }
        Ok(Self {
            tiers,
            per: text.per,
            unit: text.unit,
            source: text.source,
        })
    }
}

impl Price {
    /// What a month's `units` cost, dollars; each tier's part at its own price.
    #[must_use]
    pub fn of(&self, units: f64) -> f64 {
        let (mut dollars, mut below) = (0.0, 0.0);
        for tier in &self.tiers {
            let end = tier.up_to.unwrap_or(f64::INFINITY);
            let part = (units.min(end) - below).max(0.0);
            dollars += part / self.per * tier.dollars;
            below = end;
        }
        dollars
    }

    /// What one unit costs where few are used, dollars.
    #[must_use]
    pub fn first(&self) -> f64 {
        self.tiers.first().map_or(0.0, |t| t.dollars) / self.per
    }
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident of $value:ty { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $value,)*
        }
    };
}

named! {
    /// The price of each unit.
    PriceList of Price {
        /// A request to a REST API.
        api_request,
        /// An invocation.
        lambda_request,
        /// A GB-second on arm64.
        lambda_gb_second,
        /// A shard-hour.
        kinesis_shard_hour,
        /// A PUT payload unit.
        kinesis_put_unit,
        /// A stream-hour on demand.
        kinesis_on_demand_stream_hour,
        /// A GB written on demand.
        kinesis_on_demand_gb_in,
        /// A GB read on demand.
        kinesis_on_demand_gb_out,
        /// A write request unit.
        dynamodb_write_unit,
        /// A read request unit.
        dynamodb_read_unit,
        /// A GB-month in a table.
        dynamodb_gb_month,
        /// A GB-month under point-in-time recovery.
        dynamodb_pitr_gb_month,
        /// A PUT, COPY, POST or LIST.
        s3_put,
        /// A GET or HEAD.
        s3_get,
        /// A GB-month in the bucket.
        s3_gb_month,
        /// A GB of logs taken in.
        log_gb,
        /// A GB-month of logs.
        log_gb_month,
        /// A custom metric and month.
        metric_month,
        /// An alarm and month.
        alarm_month,
        /// A dashboard and month.
        dashboard_month,
        /// A metric asked for.
        metric_read,
        /// A key and month.
        kms_key_month,
        /// A signature.
        kms_signature,
        /// A message.
        sns_message,
        /// A GB sent to the internet.
        transfer_out_gb,
    }
}

/// Prices of one region at one day.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Where.
    pub region: String,
    /// In what.
    pub currency: String,
    /// The day on which they were looked up.
    pub as_of: String,
    /// What is not in them.
    pub note: String,
    /// The prices.
    pub prices: PriceList,
}

/// A value that is assumed, and why.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assumed {
    /// The value.
    pub value: f64,
    /// In what unit.
    pub unit: String,
    /// Where it comes from.
    pub why: String,
}

named! {
    /// What prices alone do not say; each value's unit and reason stand in its file.
    Assumptions of Assumed {
        /// A wait for Kinesis, ms.
        kinesis_wait_ms,
        /// A wait for DynamoDB, ms.
        dynamodb_wait_ms,
        /// A wait for S3, ms.
        s3_wait_ms,
        /// A wait for KMS, ms.
        kms_wait_ms,
        /// Memory with one core, MiB.
        core_mib,
        /// Graviton's processor time to the measured.
        graviton_cpu,
        /// Hours of a month.
        hours_per_month,
        /// A shard's bytes.
        shard_bytes_per_second,
        /// A shard's records.
        shard_records_per_second,
        /// How far a shard is used at the peak.
        shard_use_max,
        /// A PUT unit's bytes.
        put_unit_bytes,
        /// A frame's text.
        frame_text_bytes,
        /// A trigger batch's bytes.
        batch_bytes_max,
        /// A trigger batch's records.
        batch_records_max,
        /// Write units of a batch.
        batch_write_units,
        /// Read units of a batch.
        batch_read_units,
        /// Processor time of a batch, ms.
        batch_cpu_ms,
        /// Waits for DynamoDB of a batch.
        batch_dynamodb_waits,
        /// Waits for S3 of a batch.
        batch_s3_waits,
        /// Log bytes of a batch.
        batch_log_bytes,
        /// GETs of a batch.
        batch_gets,
        /// A receipt in the table.
        receipt_bytes,
        /// How long windows' files stay.
        compact_days,
        /// Windows' files to the days'.
        windows_bytes_share,
        /// What LogFilter=warn leaves out.
        info_log_share,
        /// Scheduled runs.
        scheduled_runs_per_month,
        /// Time of a scheduled run, ms.
        scheduled_run_ms,
        /// Read units of a scheduled run.
        scheduled_run_read_units,
        /// Write units of a scheduled run.
        scheduled_run_write_units,
        /// PUTs of a scheduled run.
        scheduled_run_puts,
        /// Memory of a scheduled run, GiB.
        scheduled_run_gib,
        /// Alarms.
        alarms,
        /// Metrics.
        metrics,
        /// Dashboards.
        dashboards,
        /// Keys.
        keys,
        /// How far logs are compressed.
        logs_compressed,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AssumptionsText {
    as_of: String,
    #[serde(rename = "note")]
    _note: String,
    assumptions: Assumptions,
}

/// Prices and assumptions together.
#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    /// The prices.
    pub prices: Prices,
    /// The assumptions.
    pub assumed: Assumptions,
    /// The day of the assumptions.
    pub assumed_as_of: String,
}

impl Rates {
    /// Those that are built in.
    ///
    /// # Errors
    /// The files beside the code are not what they should be; a test reads them.
    pub fn built_in() -> Result<Self, serde_json::Error> {
        let text: AssumptionsText = serde_json::from_str(ASSUMPTIONS)?;
        Ok(Self {
            prices: serde_json::from_str(PRICES)?,
            assumed: text.assumptions,
            assumed_as_of: text.as_of,
        })
    }
}

/// Every built-in assumption by name.
///
/// # Errors
/// As [`Rates::built_in`].
pub fn assumptions_by_name() -> Result<BTreeMap<String, Assumed>, serde_json::Error> {
    #[derive(Deserialize)]
    struct ByName {
        assumptions: BTreeMap<String, Assumed>,
    }
    serde_json::from_str::<ByName>(ASSUMPTIONS).map(|t| t.assumptions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> Result<Price, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn the_built_in_files_are_sound() {
        let rates = Rates::built_in().expect("they are read");
        assert_eq!(
            (rates.prices.region.as_str(), rates.prices.currency.as_str()),
            ("us-east-1", "USD")
        );
        for (name, assumed) in assumptions_by_name().expect("read") {
            assert!(assumed.value >= 0.0, "{name}");
            assert!(
                !assumed.unit.is_empty() && !assumed.why.is_empty(),
                "{name}"
            );
        }
    }

    #[test]
    fn tiers_each_cost_their_own_price() {
        let rates = Rates::built_in().expect("read");
        let api = &rates.prices.prices.api_request;
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        near(api.of(0.0), 0.0);
        near(api.of(10e6), 35.0);
        near(api.of(333e6), 1_165.5);
        near(api.of(1e9), 1_165.5 + 667.0 * 2.8);
        near(
            api.of(21e9),
            1_165.5 + 667.0 * 2.8 + 19_000.0 * 2.38 + 1_000.0 * 1.51,
        );
        near(api.first(), 3.5e-6);
    }

    #[test]
    fn tiers_that_do_not_reach_everywhere_are_refused() {
        for text in [
            r#"{"tiers": [{"up_to": 5, "dollars": 1}], "per": 1, "unit": "u", "source": "s"}"#,
            r#"{"tiers": [{"up_to": 5, "dollars": 1}, {"up_to": 4, "dollars": 1}, {"dollars": 1}], "per": 1, "unit": "u", "source": "s"}"#,
            r#"{"dollars": 1, "tiers": [], "per": 1, "unit": "u", "source": "s"}"#,
            r#"{"dollars": 1, "per": 0, "unit": "u", "source": "s"}"#,
            r#"{"dollars": 1, "per": 1, "unit": "u"}"#,
        ] {
            assert!(price(text).is_err(), "{text}");
        }
    }
}
