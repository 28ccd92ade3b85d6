//! Dollars against sums done by hand, and what holds of all of them.

use proptest::prelude::*;
use vernier_cost::{
    FunctionUse, IoWaits, Load, Measured, Rates, ShardLimit, StreamMode, Usage, billed_ms, knobs,
    naive, price, price_as_counted,
};

fn rates() -> Rates {
    Rates::built_in().expect("the built-in files are sound")
}

fn measured() -> Measured {
    Measured::built_in().expect("the built-in file is sound")
}

#[track_caller]
fn near(is: f64, by_hand: f64) {
    let error = (is - by_hand).abs() / by_hand.abs().max(1e-9);
    assert!(error < 1e-3, "{is}, by hand {by_hand}");
}

/// A million events of which nothing is known but what the test says.
fn million(size: f64) -> Usage {
    Usage {
        events: 1e6,
        events_per_envelope: size,
        raw_bytes_per_event: 1_445.0,
        ..Usage::default()
    }
}

fn counted(usage: &Usage, load: &Load) -> vernier_cost::Cost {
    price_as_counted(usage, &rates(), load)
}

#[test]
fn requests_cost_by_tier() {
    let mut usage = million(100.0);
    usage.api.requests = 10_000.0;
    near(
        counted(&usage, &Load::default()).per_billion.api_gateway,
        35.0,
    );
    usage.api.requests = 1e6;
    // 333 million at 3.50 and 667 at 2.80.
    near(
        counted(&usage, &Load::default()).per_billion.api_gateway,
        3_033.1,
    );
    // Ten billion: 1,165.50 + 1,867.60 + 9,000 at 2.38, and of that a tenth for each billion.
    let load = Load {
        events_per_month: 1e10,
        ..Load::default()
    };
    let cost = counted(&usage, &load);
    near(cost.month.api_gateway, 24_453.1);
    near(cost.per_billion.api_gateway, 2_445.31);
}

#[test]
fn a_function_is_billed_for_its_share_of_a_core_and_its_waits() {
    let function = FunctionUse {
        invocations: 1_000.0,
        cpu_ms: 800.0,
        io_waits: IoWaits {
            kinesis: 1_000.0,
            dynamodb: 1_000.0,
            s3: 0.0,
            kms: 0.0,
        },
        memory_mib: 512.0,
    };
    // 0.8 ms / (512 / 1,769) = 2.764; waits 12 + 6; half of a millisecond for rounding up.
    near(billed_ms(&function, &rates().assumed), 21.264);
    let mut whole = function;
    whole.memory_mib = 3_538.0;
    // A process uses one core, however many there are.
    near(billed_ms(&whole, &rates().assumed), 0.8 + 18.0 + 0.5);

    let mut usage = million(100.0);
    usage.lambda.input = FunctionUse {
        invocations: 10_000.0,
        cpu_ms: 8_000.0,
        io_waits: IoWaits {
            kinesis: 1e4,
            dynamodb: 1e4,
            s3: 0.0,
            kms: 0.0,
        },
        memory_mib: 512.0,
    };
    // 10 million at 0.20 a million, and 10^7 × 21.264 ms × 0.5 GB = 106,320 GB-s.
    near(
        counted(&usage, &Load::default()).per_billion.lambda,
        2.0 + 106_320.0 * 0.000_013_333_4,
    );
}

#[test]
fn shards_are_for_the_peak_by_the_limit_that_binds() {
    let mut usage = million(100.0);
    usage.kinesis.records = 10_000.0;
    usage.kinesis.bytes = 1e9;
    usage.kinesis.put_units = 40_000.0;
    // 1,000 bytes × 380.5 events/s × 3 = 1.14 MB/s; at 80 % of a shard that is 1.43: two.
    let cost = counted(&usage, &Load::default());
    assert_eq!((cost.shards, cost.shard_limit), (2.0, ShardLimit::Bytes));
    near(cost.per_billion.kinesis, 2.0 * 730.0 * 0.015 + 40.0 * 0.014);
    usage.kinesis.records = 2e6;
    // 761 records/s × 3 = 2,283: 2.85 shards.
    let cost = counted(&usage, &Load::default());
    assert_eq!((cost.shards, cost.shard_limit), (3.0, ShardLimit::Records));
    let on_demand = Load {
        stream_mode: StreamMode::OnDemand,
        ..Load::default()
    };
    usage.kinesis.records = 1e6;
    // 1,000 bytes and half a KB for rounding up: 1,512 × 10^9 in, 1,000 × 10^9 out.
    let gb = 1_073_741_824.0;
    near(
        counted(&usage, &on_demand).per_billion.kinesis,
        730.0 * 0.04 + 1.512e12 / gb * 0.08 + 1e12 / gb * 0.04,
    );
}

#[test]
fn the_table_costs_requests_storage_and_its_way_back() {
    let mut usage = million(100.0);
    usage.dynamodb.write_units = 20_000.0;
    usage.dynamodb.read_units = 8_000.0;
    usage.dynamodb.stored_bytes = 1_073_741.824 * 10.0;
    usage.api.requests = 10_000.0;
    // 20 million × 0.625, 8 million × 0.125, 10 GB × (0.25 + 0.20).
    near(
        counted(&usage, &Load::default()).per_billion.dynamodb,
        12.5 + 1.0 + 4.5,
    );
    let load = Load {
        receipt_days: 15.0,
        ..Load::default()
    };
    // 10 million receipts of 650 bytes half as long: 3.03 GB less.
    near(
        counted(&usage, &load).per_billion.dynamodb,
        18.0 - 6.5e9 / 1_073_741_824.0 / 2.0 * 0.45,
    );
    // Three months: what is no receipt is kept with the archive.
    let load = Load {
        retention_months: 3.0,
        ..Load::default()
    };
    near(
        counted(&usage, &load).per_billion.dynamodb,
        18.0 + (10.0 - 6.5e9 / 1_073_741_824.0) * 2.0 * 0.45,
    );
}

#[test]
fn the_bucket_costs_what_lies_in_it_as_long_as_it_lies() {
    let mut usage = million(100.0);
    usage.s3.puts = 500.0;
    usage.s3.gets = 700.0;
    usage.s3.segment_bytes = 1_073_741.824 * 100.0;
    usage.s3.archive_bytes = 1_073_741.824 * 200.0;
    let requests = 0.5e6 * 5e-6 + 0.7e6 * 0.4e-6;
    // A month: segments 100 GB, windows' files 112 for 16 of 30 days, days' 200.
    near(
        counted(&usage, &Load::default()).per_billion.s3,
        requests + (100.0 + 112.0 * 16.0 / 30.0 + 200.0) * 0.023,
    );
    // Three: segments 37 days, windows' files 16, days' files 90.
    let load = Load {
        retention_months: 3.0,
        ..Load::default()
    };
    let windows = 112.0 * 16.0 / 30.0;
    near(
        counted(&usage, &load).per_billion.s3,
        requests + (100.0 * 37.0 / 30.0 + windows + 200.0 * 3.0) * 0.023,
    );
    // The bucket honours the shorter of two rules: 31 days and 10.
    let load = Load {
        noncurrent_days: 1.0,
        ..load
    };
    let windows = 112.0 * 10.0 / 30.0;
    near(
        counted(&usage, &load).per_billion.s3,
        requests + (100.0 * 31.0 / 30.0 + windows + 200.0 * 3.0) * 0.023,
    );
}

#[test]
fn logs_signatures_and_messages_cost() {
    let mut usage = million(100.0);
    usage.logs.bytes = 1_073_741.824 * 8.0;
    usage.kms.signatures = 10.0;
    usage.sns.messages = 1_000.0;
    let cost = counted(&usage, &Load::default()).per_billion;
    near(cost.cloudwatch, 8.0 * 0.5 + 8.0 * 0.15 * 0.03);
    near(cost.kms, 0.15);
    near(cost.sns, 0.5);
    let quiet = Load {
        logs_info: false,
        ..Load::default()
    };
    near(
        counted(&usage, &quiet).per_billion.cloudwatch,
        0.45 * cost.cloudwatch,
    );
}

#[test]
fn batches_are_the_loads_and_not_the_runs() {
    let mut usage = million(100.0);
    usage.kinesis.records = 10_000.0;
    usage.kinesis.bytes = 138e6;
    // 3.805 records/s into one shard: a batch each 5 s and the wait for its first record.
    let per_month = 2_628_000.0 * 3.805_175 / (1.0 + 3.805_175 * 5.0);
    let cost = price(&usage, &rates(), &Load::default());
    near(cost.batches, per_month);
    near(
        cost.per_billion.dynamodb,
        per_month * (6.0 * 0.625e-6 + 5.0 * 0.125e-6),
    );
    // A run whose batches were twenty times as many, each with its six units, comes to the same.
    let mut small = usage;
    small.lambda.stream = FunctionUse {
        invocations: 10_000.0,
        cpu_ms: 20_000.0,
        io_waits: IoWaits {
            dynamodb: 40_000.0,
            s3: 10_000.0,
            ..IoWaits::default()
        },
        memory_mib: 1_024.0,
    };
    small.dynamodb.write_units = 60_000.0;
    small.dynamodb.read_units = 50_000.0;
    near(
        price(&small, &rates(), &Load::default())
            .per_billion
            .dynamodb,
        cost.per_billion.dynamodb,
    );
    // A load whose records come more slowly than the window ends has a batch for each.
    let slow = Load {
        events_per_month: 1e5,
        ..Load::default()
    };
    let cost = price(&usage, &rates(), &slow);
    assert!(
        cost.batches < 1_000.0 && cost.batches > 990.0,
        "{}",
        cost.batches
    );
}

#[test]
fn the_reference_load_stays_under_its_gate() {
    let (rates, measured, load) = (rates(), measured(), Load::default());
    let many = price(&measured.envelope_100, &rates, &load);
    let one = price(&measured.envelope_1, &rates, &load);
    assert!(many.per_billion.total <= 200.0, "{:?}", many.per_billion);
    assert!(one.per_billion.total > 10.0 * many.per_billion.total);
    let naive = price_as_counted(&naive(1_561.0, &rates.assumed), &rates, &load);
    assert!(naive.per_billion.total > one.per_billion.total);
    // The platform's fixed part is what a small school pays first.
    assert!(many.fixed_monthly.total < 30.0, "{:?}", many.fixed_monthly);
}

#[test]
fn measured_sizes_come_out_as_they_were_measured() {
    let (measured, rates) = (measured(), rates());
    for whole in [&measured.envelope_1, &measured.envelope_100] {
        let again = measured
            .at(whole.events_per_envelope, &rates.assumed)
            .times(whole.events);
        near(again.api.requests, whole.api.requests);
        near(again.dynamodb.write_units, whole.dynamodb.write_units);
        near(again.kinesis.put_units, whole.kinesis.put_units);
        near(again.lambda.input.cpu_ms, whole.lambda.input.cpu_ms);
        near(again.s3.archive_bytes, whole.s3.archive_bytes);
    }
    // An envelope of 10: a tenth of a request for each event.
    let ten = measured.at(10.0, &rates.assumed);
    near(ten.api.requests, 0.1);
    near(ten.kinesis.records, 0.1);
    // 1,000 events are 1.4 MB of text: two records, and as many units as their bytes fill.
    let thousand = measured.at(1_000.0, &rates.assumed);
    near(thousand.kinesis.records, 0.002);
    near(
        thousand.kinesis.put_units,
        0.002 * (thousand.kinesis.bytes / 0.002 / 25_600.0).ceil(),
    );
}

/// Larger envelopes may use more of something for each event, and a part for each event may come out
/// under nothing: the measured sizes still are what was measured.
#[test]
fn amounts_that_rise_or_fall_steeply_stay_as_they_were_measured() {
    let (mut measured, rates) = (measured(), rates());
    measured.envelope_1.s3.segment_bytes = 146e6;
    measured.envelope_100.s3.segment_bytes = 180e6;
    measured.envelope_1.s3.gets = 1e6;
    measured.envelope_100.s3.gets = 9_000.0;
    let at = |size| measured.at(size, &rates.assumed).times(1e6);
    near(at(1.0).s3.segment_bytes, 146e6);
    near(at(100.0).s3.segment_bytes, 180e6);
    near(at(1.0).s3.gets, 1e6);
    near(at(100.0).s3.gets, 9_000.0);
    assert!(at(10.0).s3.segment_bytes < 180e6 && at(10.0).s3.segment_bytes > 146e6);
    // 90 for each envelope of 100; no fewer than nothing further out.
    near(at(1_000.0).s3.gets, 900.0);
}

#[test]
fn knobs_are_ranked_and_each_saves_what_it_says() {
    let (measured, rates, load) = (measured(), rates(), Load::default());
    let usage = measured.envelope_1;
    let found = knobs(&measured, 1.0, &usage, &rates, &load);
    assert_eq!(found[0].name, "envelope", "{found:?}");
    assert!(
        found
            .windows(2)
            .all(|k| k[0].saves_monthly >= k[1].saves_monthly)
    );
    let now = price(&usage, &rates, &load).month_total();
    let quiet = Load {
        logs_info: false,
        ..load
    };
    let then = price(&usage, &rates, &quiet).month_total();
    let knob = found
        .iter()
        .find(|k| k.name == "LogFilter")
        .expect("logs cost something");
    near(knob.saves_monthly, now - then);
    // At the other end on demand pays less than shards only for hardly any load.
    let tiny = Load {
        events_per_month: 1e6,
        stream_mode: StreamMode::OnDemand,
        ..load
    };
    let found = knobs(&measured, 100.0, &measured.envelope_100, &rates, &tiny);
    assert!(found.iter().any(|k| k.name == "StreamMode"), "{found:?}");
}

/// Amounts of a usage, one by one. Not batches (stream's invocations): those of the load count, see
/// `batches_are_the_loads_and_not_the_runs`.
const AMOUNTS: [fn(&mut Usage) -> &mut f64; 24] = [
    |u| &mut u.api.requests,
    |u| &mut u.kinesis.put_units,
    |u| &mut u.kinesis.records,
    |u| &mut u.kinesis.bytes,
    |u| &mut u.lambda.input.invocations,
    |u| &mut u.lambda.input.cpu_ms,
    |u| &mut u.lambda.input.io_waits.kinesis,
    |u| &mut u.lambda.input.io_waits.dynamodb,
    |u| &mut u.lambda.input.io_waits.s3,
    |u| &mut u.lambda.stream.cpu_ms,
    |u| &mut u.lambda.stream.io_waits.dynamodb,
    |u| &mut u.lambda.stream.io_waits.s3,
    |u| &mut u.lambda.reconcile.invocations,
    |u| &mut u.lambda.reconcile.cpu_ms,
    |u| &mut u.lambda.reconcile.io_waits.kms,
    |u| &mut u.dynamodb.write_units,
    |u| &mut u.dynamodb.read_units,
    |u| &mut u.dynamodb.stored_bytes,
    |u| &mut u.s3.puts,
    |u| &mut u.s3.gets,
    |u| &mut u.s3.segment_bytes,
    |u| &mut u.s3.archive_bytes,
    |u| &mut u.kms.signatures,
    |u| &mut u.logs.bytes,
];

proptest! {
    #[test]
    fn more_of_anything_costs_no_less(
        which in 0..AMOUNTS.len(),
        more in 1.0..10.0_f64,
        events in 1e5..1e12_f64,
        peak in 1.0..20.0_f64,
        window in 1.0..300.0_f64,
        on_demand in any::<bool>(),
        envelope_1 in any::<bool>(),
    ) {
        let (rates, measured) = (rates(), measured());
        let load = Load {
            events_per_month: events,
            peak_to_mean: peak,
            batch_window_seconds: window,
            stream_mode: if on_demand { StreamMode::OnDemand } else { StreamMode::Provisioned },
            ..Load::default()
        };
        let mut usage = if envelope_1 { measured.envelope_1 } else { measured.envelope_100 };
        let before = price(&usage, &rates, &load).month_total();
        *AMOUNTS[which](&mut usage) *= more;
        let after = price(&usage, &rates, &load).month_total();
        prop_assert!(after >= before * (1.0 - 1e-9), "{which}: {before} to {after}");
    }

    #[test]
    fn keeping_longer_and_more_events_cost_no_less(
        events in 1e5..1e11_f64,
        more in 1.0..10.0_f64,
        months in 1.0..36.0_f64,
    ) {
        let (rates, usage) = (rates(), measured().envelope_100);
        let load = Load { events_per_month: events, ..Load::default() };
        let cost = |load: &Load| price(&usage, &rates, load).month_total();
        let longer = Load { retention_months: months, ..load };
        prop_assert!(cost(&longer) >= cost(&load));
        let larger = Load { events_per_month: events * more, ..load };
        prop_assert!(cost(&larger) >= cost(&load) * (1.0 - 1e-9));
    }
}
