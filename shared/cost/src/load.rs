//! What is asked of the platform: how many events, in what envelopes, kept how long.

use serde::Serialize;

/// How the stream's capacity is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamMode {
    /// Shards for the peak, by the hour.
    Provisioned,
    /// By the GB.
    OnDemand,
}

/// A month's load and the settings that its cost depends on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Load {
    /// Events of a month.
    pub events_per_month: f64,
    /// Busiest second to mean.
    pub peak_to_mean: f64,
    /// `BatchWindowSeconds`: how long the trigger gathers, which is most of an event's way.
    pub batch_window_seconds: f64,
    /// How long the archive is kept, months of 30 days. Nothing else is kept longer than it.
    pub retention_months: f64,
    /// `SegmentDays`.
    pub segment_days: f64,
    /// `NoncurrentDays`: the bucket keeps what is deleted.
    pub noncurrent_days: f64,
    /// `SweptDays`: the bucket keeps what is deleted and has another sealed copy, `noncurrent_days` at most.
    pub swept_days: f64,
    /// `ReceiptDays`.
    pub receipt_days: f64,
    /// `StreamMode`.
    pub stream_mode: StreamMode,
    /// Whether `LogFilter` lets lines of level info through.
    pub logs_info: bool,
}

impl Default for Load {
    /// The reference load: a billion events a month, 3 times as many at the peak, 5 seconds, one month
    /// of storage.
    fn default() -> Self {
        Self {
            events_per_month: 1e9,
            peak_to_mean: 3.0,
            batch_window_seconds: 5.0,
            retention_months: 1.0,
            segment_days: 30.0,
            noncurrent_days: 30.0,
            swept_days: 7.0,
            receipt_days: 30.0,
            stream_mode: StreamMode::Provisioned,
            logs_info: true,
        }
    }
}

impl Load {
    /// Days of a month of storage.
    pub(crate) const MONTH_DAYS: f64 = 30.0;

    /// Months that something is kept for so many days, the archive's time at most.
    pub(crate) fn months(&self, days: f64) -> f64 {
        (days / Self::MONTH_DAYS).min(self.retention_months)
    }
}
