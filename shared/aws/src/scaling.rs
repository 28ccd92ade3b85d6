//! [`Shards`] on Kinesis, [`StreamMetrics`] on CloudWatch.

use crate::error::port_error;
use crate::kinesis::KinesisStream;
use aws_config::SdkConfig;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, ScanBy};
use aws_sdk_kinesis::types::{ScalingType, StreamStatus};
use aws_smithy_types::DateTime;
use std::collections::BTreeMap;
use vernier_ledger::ports::{PortError, Shards, StreamMetrics};
use vernier_ledger::scaling::{StreamLoad, StreamShards};
use vernier_ledger::time::Minute;

/// Sums of a stream's metrics, by the id that a query gives them.
const SUMS: [(&str, &str); 3] = [
    ("bytes", "IncomingBytes"),
    ("records", "IncomingRecords"),
    ("refused", "WriteProvisionedThroughputExceeded"),
];

impl Shards for KinesisStream {
    async fn shards(&self) -> Result<StreamShards, PortError> {
        let request = self.client.describe_stream_summary();
        let answer = request.stream_name(&self.name).send().await;
        let answer = answer.map_err(|e| port_error("describe stream", e))?;
        let summary = answer.stream_description_summary.ok_or_else(|| {
            PortError::Retryable("describe stream: no description in the answer".into())
        })?;
        Ok(StreamShards {
            open: u32::try_from(summary.open_shard_count).unwrap_or(0),
            is_steady: summary.stream_status == StreamStatus::Active,
        })
    }

    async fn reshard(&self, to: u32) -> Result<(), PortError> {
        let shards = i32::try_from(to).map_err(|e| PortError::Fatal(format!("reshard: {e}")))?;
        self.client
            .update_shard_count()
            .stream_name(&self.name)
            .target_shard_count(shards)
            .scaling_type(ScalingType::UniformScaling)
            .send()
            .await
            .map_err(|e| port_error("reshard", e))?;
        Ok(())
    }
}

/// The metrics of one stream.
#[derive(Debug, Clone)]
pub struct KinesisMetrics {
    client: aws_sdk_cloudwatch::Client,
    stream: String,
}

impl KinesisMetrics {
    /// Those of the stream of this name.
    #[must_use]
    pub fn new(config: &SdkConfig, stream: impl Into<String>) -> Self {
        Self {
            client: aws_sdk_cloudwatch::Client::new(config),
            stream: stream.into(),
        }
    }

    fn query(&self, id: &str, name: &str, step_minutes: u32) -> MetricDataQuery {
        let stream = Dimension::builder().name("StreamName").value(&self.stream);
        let metric = Metric::builder()
            .namespace("AWS/Kinesis")
            .metric_name(name)
            .dimensions(stream.build());
        let period = i32::try_from(step_minutes * 60).unwrap_or(i32::MAX);
        let sum = MetricStat::builder().metric(metric.build()).stat("Sum");
        MetricDataQuery::builder()
            .id(id)
            .metric_stat(sum.period(period).build())
            .build()
    }
}

impl StreamMetrics for KinesisMetrics {
    async fn loads(
        &self,
        from: Minute,
        to: Minute,
        step_minutes: u32,
    ) -> Result<Vec<StreamLoad>, PortError> {
        let queries = SUMS.map(|(id, name)| self.query(id, name, step_minutes));
        let mut pages = self
            .client
            .get_metric_data()
            .set_metric_data_queries(Some(queries.to_vec()))
            .start_time(DateTime::from_secs(from.0 * 60))
            .end_time(DateTime::from_secs(to.0 * 60))
            .scan_by(ScanBy::TimestampAscending)
            .into_paginator()
            .send();
        let mut found: BTreeMap<Minute, StreamLoad> = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| port_error("read metrics", e))?;
            for result in page.metric_data_results() {
                for (at, value) in result.timestamps().iter().zip(result.values()) {
                    let minute = Minute(at.secs().div_euclid(60));
                    let load = found.entry(minute).or_insert(StreamLoad {
                        minute,
                        minutes: step_minutes,
                        bytes: 0.0,
                        records: 0.0,
                        refused: 0.0,
                    });
                    match result.id() {
                        Some("bytes") => load.bytes += value,
                        Some("records") => load.records += value,
                        _ => load.refused += value,
                    }
                }
            }
        }
        Ok(found.into_values().collect())
    }
}
