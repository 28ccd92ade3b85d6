//! Which setting matters most: the same load, priced with each of them changed.

use crate::{Cost, Load, Measured, Rates, StreamMode, Usage, price};
use serde::Serialize;

/// Envelopes that sensors can be asked to send, events.
const ENVELOPE_SIZES: [f64; 4] = [10.0, 50.0, 100.0, 500.0];

/// Batch windows, seconds.
const WINDOWS_SECONDS: [f64; 4] = [5.0, 15.0, 60.0, 300.0];

/// Memory of a function, MiB.
const MEMORIES_MIB: [f64; 6] = [128.0, 256.0, 512.0, 1_024.0, 1_769.0, 3_008.0];

/// Least memory of stream and reconcile (template.yaml, docs/limits.md), MiB.
const BATCH_MEMORY_MIB_MIN: f64 = 512.0;

/// One setting changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Knob {
    /// The template's parameter, or what the sensors do.
    pub name: &'static str,
    /// From what to what.
    pub change: String,
    /// Dollars of a month that it saves.
    pub saves_monthly: f64,
    /// What one gives up.
    pub for_what: &'static str,
}

/// The changes that save something, the largest saving first; of each setting the best value.
#[must_use]
pub fn knobs(
    measured: &Measured,
    size: f64,
    usage: &Usage,
    rates: &Rates,
    load: &Load,
) -> Vec<Knob> {
    let now = price(usage, rates, load);
    let mut found = vec![
        best(
            &now,
            "envelope",
            "sensors hold events back until so many are there",
            |add| {
                for larger in ENVELOPE_SIZES.into_iter().filter(|s| *s > size) {
                    let usage = with_memory_of(measured.at(larger, &rates.assumed), usage);
                    add(
                        format!("{size} to {larger} events"),
                        price(&usage, rates, load),
                    );
                }
            },
        ),
        best(
            &now,
            "BatchWindowSeconds",
            "events can be read so much later",
            |add| {
                let seconds = load.batch_window_seconds;
                for longer in WINDOWS_SECONDS.into_iter().filter(|w| *w > seconds) {
                    let load = Load {
                        batch_window_seconds: longer,
                        ..*load
                    };
                    add(
                        format!("{seconds} to {longer} s"),
                        price(usage, rates, &load),
                    );
                }
            },
        ),
    ];
    found.extend(stream_and_logs(&now, usage, rates, load));
    found.extend(memories(&now, usage, rates, load));
    found.extend(keeping(&now, usage, rates, load));
    found.retain(|knob| knob.saves_monthly >= 0.005);
    found.sort_by(|a, b| b.saves_monthly.total_cmp(&a.saves_monthly));
    found
}

fn stream_and_logs(now: &Cost, usage: &Usage, rates: &Rates, load: &Load) -> Vec<Knob> {
    vec![
        best(
            now,
            "StreamMode",
            "shards are yours to watch, or not",
            |add| {
                let (mode, name) = match load.stream_mode {
                    StreamMode::Provisioned => (StreamMode::OnDemand, "ON_DEMAND"),
                    StreamMode::OnDemand => (StreamMode::Provisioned, "PROVISIONED"),
                };
                let load = Load {
                    stream_mode: mode,
                    ..*load
                };
                add(format!("to {name}"), price(usage, rates, &load));
            },
        ),
        best(
            now,
            "LogFilter",
            "no line for each envelope and batch, and so no metric of received events",
            |add| {
                let load = Load {
                    logs_info: false,
                    ..*load
                };
                add("info to warn".to_owned(), price(usage, rates, &load));
            },
        ),
    ]
}

fn with_memory_of(mut usage: Usage, other: &Usage) -> Usage {
    usage.lambda.input.memory_mib = other.lambda.input.memory_mib;
    usage.lambda.stream.memory_mib = other.lambda.stream.memory_mib;
    usage.lambda.reconcile.memory_mib = other.lambda.reconcile.memory_mib;
    usage
}

/// The cheapest of some costs against now's.
fn best(
    now: &Cost,
    name: &'static str,
    for_what: &'static str,
    tries: impl FnOnce(&mut dyn FnMut(String, Cost)),
) -> Knob {
    let mut knob = Knob {
        name,
        change: String::new(),
        saves_monthly: 0.0,
        for_what,
    };
    tries(&mut |change, cost| {
        let saves = now.month_total() - cost.month_total();
        if saves > knob.saves_monthly {
            (knob.change, knob.saves_monthly) = (change, saves);
        }
    });
    knob
}

fn memories(now: &Cost, usage: &Usage, rates: &Rates, load: &Load) -> Vec<Knob> {
    let of = |name, least: f64, pick: fn(&mut Usage) -> &mut f64| {
        best(
            now,
            name,
            "requests take longer, or run beside fewer others",
            |add| {
                for mib in MEMORIES_MIB.into_iter().filter(|m| *m >= least) {
                    let mut changed = *usage;
                    let before = std::mem::replace(pick(&mut changed), mib);
                    add(
                        format!("{before} to {mib} MiB"),
                        price(&changed, rates, load),
                    );
                }
            },
        )
    };
    vec![
        of("InputMemoryMib", 256.0, |u| &mut u.lambda.input.memory_mib),
        of("StreamMemoryMib", BATCH_MEMORY_MIB_MIN, |u| {
            &mut u.lambda.stream.memory_mib
        }),
        of("ReconcileMemoryMib", BATCH_MEMORY_MIB_MIN, |u| {
            &mut u.lambda.reconcile.memory_mib
        }),
    ]
}

fn keeping(now: &Cost, usage: &Usage, rates: &Rates, load: &Load) -> Vec<Knob> {
    let of = |name, for_what, days: f64, least: f64, with: fn(&mut Load) -> &mut f64| {
        best(now, name, for_what, |add| {
            let mut changed = *load;
            *with(&mut changed) = least.min(days);
            add(
                format!("{days} to {least} days"),
                price(usage, rates, &changed),
            );
        })
    };
    vec![
        of(
            "SegmentDays",
            "nothing, where windows are sealed",
            load.segment_days,
            4.0,
            |l| &mut l.segment_days,
        ),
        of(
            "SweptDays",
            "less time to bring back what was deleted, from another copy at any time",
            load.swept_days,
            1.0,
            |l| &mut l.swept_days,
        ),
        of(
            "ReceiptDays",
            "receipts can be asked for less long",
            load.receipt_days,
            7.0,
            |l| &mut l.receipt_days,
        ),
    ]
}
