//! docs/limits.md.

use super::{
    IN_FLIGHT, LANE_ENVELOPES_PER_SECOND, LANES_MAX, Needs, OneShard, Quota, Quotas, RATES,
    STREAM_KEYS_MAX, WINDOW_MINUTES,
};
use crate::{Load, Measured, Rates, ShardLimit};
use std::fmt::Write;

/// Envelopes of the page, events.
const SIZES: [f64; 2] = [100.0, 1.0];

/// Cores of sealing that one worker has, and so one tenant: sealing goes from window to window.
const SEALING_CORES_MAX: f64 = 1.0;

/// A number with thousands apart; small ones with two figures.
fn number(value: f64) -> String {
    if value < 9.95 && value.fract() != 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A needed amount, and whether the account must ask for more.
fn against(needed: f64, quota: &Quota) -> String {
    if needed <= quota.value {
        number(needed)
    } else if quota.can_be_raised {
        format!("**{}**: raise {}", number(needed), number(quota.value))
    } else {
        format!("**{}**: over {}", number(needed), number(quota.value))
    }
}

fn row(text: &mut String, name: &str, needs: &[Needs], cell: impl Fn(&Needs) -> String) {
    let cells: Vec<String> = needs.iter().map(cell).collect();
    let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
}

/// The page.
#[must_use]
pub fn page(measured: &Measured, rates: &Rates, quotas: &Quotas) -> String {
    let window = Load::default().batch_window_seconds;
    let mut text = head(measured, rates, quotas, window);
    for size in SIZES {
        one_shard(&mut text, measured, size, rates);
    }
    for size in SIZES {
        let of = |rate| Needs::of(measured, size, rate, window, &rates.assumed);
        table(&mut text, size, &RATES.map(of), quotas);
    }
    text.push_str(&arithmetic(measured, rates, window));
    text.push_str(&one_tenant(measured, rates, window));
    quota_list(&mut text, quotas);
    text
}

fn head(measured: &Measured, rates: &Rates, quotas: &Quotas, window: f64) -> String {
    format!(
        "# Limits\n\n\
        What a rate of events needs of each service, and which of an account's quotas must be raised for \
        it.\nThis page is computed: `vernier cost --limits` prints it, and a test holds the two together. \
        Figures of\nuse are those of {} (`shared/cost/measured/`), assumptions those of {} and quotas those \
        of {}\n(`shared/cost/prices/`). Rates are those of the busiest second; batches are gathered for {} s.\n\n",
        measured.as_of,
        rates.assumed_as_of,
        quotas.as_of,
        number(window)
    )
}

fn one_shard(text: &mut String, measured: &Measured, size: f64, rates: &Rates) {
    let one = OneShard::of(measured, size, &rates.assumed);
    let rows = [
        ("the shard's bytes (1 MB/s)", one.by_bytes),
        ("the shard's records (1,000/s)", one.by_records),
        ("the function's processor time", one.by_function),
        ("claims, 32 at once", one.by_claims),
        ("results, 32 at once", one.by_results),
    ];
    let _ = write!(
        text,
        "## One shard and its stream function, envelopes of {}\n\n| limit | events/s |\n|---|---:|\n",
        number(size)
    );
    let first = rows.iter().map(|r| r.1).fold(f64::INFINITY, f64::min);
    for (name, rate) in rows {
        let mark = if rate <= first { "**" } else { "" };
        let _ = writeln!(text, "| {name} | {mark}{}{mark} |", number(rate));
    }
    text.push_str(
        "\nThe commit's transaction has two items whatever the batch holds; the service takes 100.\n\n",
    );
}

fn table(text: &mut String, size: f64, needs: &[Needs], quotas: &Quotas) {
    let q = &quotas.quotas;
    let _ = write!(text, "## Envelopes of {}\n\n", number(size));
    row(text, "events/s", needs, |n| number(n.rate));
    text.push_str("|---|---:|---:|---:|---:|\n");
    row(text, "requests/s", needs, |n| {
        against(n.requests, &q.api_requests_per_second)
    });
    row(text, "input at once", needs, |n| {
        against(n.input_concurrency.ceil(), &q.lambda_concurrency)
    });
    row(text, "shards, and stream at once", needs, |n| {
        against(n.shards, &q.kinesis_stream_shards)
    });
    row(text, "decided by", needs, |n| {
        match n.shard_limit {
            ShardLimit::Bytes => "bytes",
            ShardLimit::Records => "records",
        }
        .to_owned()
    });
    row(text, "both functions at once", needs, |n| {
        against(
            (n.input_concurrency + n.shards).ceil(),
            &q.lambda_concurrency,
        )
    });
    row(text, "events of a batch", needs, |n| number(n.batch_events));
    row(text, "StreamMemoryMib, at least", needs, |n| {
        number(n.stream_mib)
    });
    row(text, "a batch takes, ms", needs, |n| number(n.batch_ms));
    row(text, "write units/s", needs, |n| {
        against(n.write_units, &q.table_write_units_per_second)
    });
    row(text, "read units/s", needs, |n| {
        against(n.read_units, &q.table_read_units_per_second)
    });
    row(text, "lanes, if one tenant sends it all", needs, |n| {
        if n.lanes <= LANES_MAX {
            number(n.lanes)
        } else {
            format!("**{}**: at most {}", number(n.lanes), number(LANES_MAX))
        }
    });
    row(text, "PUTs/s of segments", needs, |n| {
        against(n.puts, &q.prefix_puts_per_second)
    });
    row(text, "sealing cores, if one tenant sends all", needs, |n| {
        let cores = number(n.sealing_cores);
        if n.sealing_cores <= SEALING_CORES_MAX {
            cores
        } else {
            format!("**{cores}**: one worker has 1")
        }
    });
    text.push('\n');
}

fn arithmetic(measured: &Measured, rates: &Rates, window: f64) -> String {
    let a = &rates.assumed;
    let usage = measured.at(100.0, a);
    let each = usage.times(1.0 / usage.events);
    let needs = Needs::of(measured, 100.0, RATES[1], window, a);
    format!(
        "## The arithmetic, at 100,000 events/s in envelopes of 100\n\n\
        - **Requests**: 100,000 / 100 = {requests}/s. `RequestsPerSecondMax` lets so many through: 10,000 at \
        most until\n  the account has more and the template's bound is raised with it.\n\
        - **Input**: {input_ms} ms a request (processor time in {input_mib} MiB's share of a core, waits for \
        Kinesis and for\n  the receipt) × {requests}/s = {concurrency} at once.\n\
        - **Shards**: {bytes} bytes an event × 100,000 = {mbps} MB/s, and 1,000 records/s; a shard takes 1 \
        MB/s or 1,000\n  records/s and is planned to be used to {use_max} of it at the peak: {shards}. One \
        batch of a shard is under way at\n  a time (one cursor), so there are as many executions of stream.\n\
        - **A batch** is what a shard takes in {window} s, or 4.4 MB, or 10,000 records: {batch_events} events. It \
        takes their\n  processor time ({stream_us} µs each, more in less than a core), a wait for each {in_flight} claims \
        and each {in_flight} results,\n  and four more waits. The memory is the least in which that is half of \
        the window.\n\
        - **Write units**: a receipt and a claim for each envelope, a result for each tenth event, six for each \
        batch.\n\
        - **Lanes**: a lane's receipts are one partition of 1,000 write units/s, two for each envelope: 500 \
        envelopes/s. A\n  throttled tenant gets twice as many each minute by itself, 256 at most.\n\
        - **Sealing**: {seal_us} µs of a core an event. A tenant's windows are sealed one after the other by one worker, \
        tenants\n  beside each other, `WorkersMax` at once. What is not sealed yet stays readable, and is kept; \
        but a tenant with more\n  than {seal_rate} events/s in the long run (a core; `ReconcileMemoryMib` 1,769) falls \
        behind with its seals.\n\n",
        requests = number(needs.requests),
        input_ms = number(needs.input_ms),
        input_mib = number(usage.lambda.input.memory_mib),
        concurrency = number(needs.input_concurrency.ceil()),
        bytes = number(each.kinesis.bytes),
        mbps = number(each.kinesis.bytes * RATES[1] / 1e6),
        use_max = a.shard_use_max.value,
        shards = number(needs.shards),
        window = number(window),
        batch_events = number(needs.batch_events),
        stream_us = number(each.lambda.stream.cpu_ms * 1e3),
        in_flight = number(IN_FLIGHT),
        seal_us = number(each.lambda.reconcile.cpu_ms * 1e3),
        seal_rate = number(1e3 / each.lambda.reconcile.cpu_ms),
    )
}

/// What the most that is asked for needs when one tenant sends all of it.
fn one_tenant(measured: &Measured, rates: &Rates, window: f64) -> String {
    let rate = RATES[RATES.len() - 1];
    let needs = Needs::of(measured, 100.0, rate, window, &rates.assumed);
    let use_max = rates.assumed.shard_use_max.value;
    let envelopes = LANES_MAX * LANE_ENVELOPES_PER_SECOND;
    let usage = measured.at(100.0, &rates.assumed);
    let bytes = rate * usage.kinesis.bytes / usage.events;
    let two = |value: f64| format!("{value:.2}");
    format!(
        "## One tenant with {rate} events/s\n\n\
        Two places take so much a second and no more, whoever sends: a shard, by the partition keys that fall on it, \
        and the\npartition of a receipt, by its lane. A tenant begins with one key and one lane (or `--lanes`). Where it \
        is throttled it\ngets twice as many, at most once a minute, by itself and for good. A neighbour is not \
        touched; one whose key lies\non the same full shard is throttled as well, and moves away with its second key.\n\n\
        - **Keys**: {shards} shards need at least as many keys, {doublings} doublings or minutes from one. At the most, {keys} keys,\n  \
        each shard has {each} on the average and the fullest one {fullest} times as many (√(2 ln n) deviations of \
        √mean): {hottest} of\n  what it takes, where shards are planned to be used to {use_max}. A key is {key_kb} KB/s.\n\
        - **Shards** do not come with the keys: `ScaleShards` or the operator brings them, and until then the whole stream is\n  \
        full for everybody. More keys make it full evenly.\n\
        - **Lanes**: {requests} envelopes/s in envelopes of 100 are {lanes} lanes, and there are {lanes_max}, since a receipt's id \
        has a byte\n  for them. {lanes_max} take {envelopes} envelopes/s: {rate} events/s are taken in envelopes of {least} or more. \
        Eight\n  doublings bring all of them in eight minutes; until then some envelopes are answered 503 and sent again.\n\
        - **Who lists receipts** asks for each minute in each lane: {queries} queries for a window of {window_minutes} minutes, with \
        {lanes_max}\n  lanes, 16 at once; half a read unit each where nothing is.\n\
        - **A block item** is written for each shard in whose batch the tenant is. A small tenant that was throttled on a full\n  \
        stream is on more shards than it needs, and has one for each envelope at most.\n\n",
        rate = number(rate),
        shards = number(needs.shards),
        doublings = number(needs.shards.log2().ceil()),
        keys = number(STREAM_KEYS_MAX),
        each = number(STREAM_KEYS_MAX / needs.shards),
        fullest = two(needs.fullest_shard),
        hottest = two(needs.fullest_shard * use_max),
        key_kb = two(bytes / STREAM_KEYS_MAX / 1e3),
        requests = number(needs.requests),
        lanes = number(needs.lanes),
        lanes_max = number(LANES_MAX),
        envelopes = number(envelopes),
        least = number((rate / envelopes).ceil()),
        queries = number(WINDOW_MINUTES * LANES_MAX),
        window_minutes = number(WINDOW_MINUTES),
    )
}

fn quota_list(text: &mut String, quotas: &Quotas) {
    let q = &quotas.quotas;
    let _ = write!(
        text,
        "## Quotas\n\n{}\n\n| quota | by default | on request |\n|---|---:|---|\n",
        quotas.note
    );
    for quota in [
        &q.api_requests_per_second,
        &q.lambda_concurrency,
        &q.kinesis_shards,
        &q.kinesis_stream_shards,
        &q.table_write_units_per_second,
        &q.table_read_units_per_second,
        &q.partition_write_units_per_second,
        &q.prefix_puts_per_second,
        &q.prefix_gets_per_second,
        &q.signatures_per_second,
    ] {
        let raised = if quota.can_be_raised { "more" } else { "fixed" };
        let _ = writeln!(
            text,
            "| {} | {} {} | {raised} |",
            quota.name,
            number(quota.value),
            quota.unit
        );
    }
}
