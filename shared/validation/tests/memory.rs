//! Peak memory for an envelope of 6 MB: its own bytes and what reading it adds.
//!
//! Alone in its process, so that the process's peak is this test's.
#![allow(clippy::print_stdout)]
use vernier_validation::{Policy, read_envelope};

#[path = "common/mix.rs"]
mod mix;

/// A figure of /proc/self/status in bytes; none where there is no such file.
fn status(name: &str) -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<usize>()
        .ok()
        .map(|kb| kb * 1024)
}

#[test]
fn six_megabytes_need_at_most_three_times_their_size() {
    let policy = Policy::default();
    // The tables and the code's own pages are there before the measurement begins.
    assert!(read_envelope(mix::envelope(&mix::events(1)).as_bytes(), &policy).is_ok());
    // Built within its own bytes, so that nothing that is free again hides what reading needs.
    let events = mix::events(100);
    let mut body = String::with_capacity(6_100_000);
    body.push_str(r#"{"sensor":"s","sendTime":"2026-11-15T11:05:01.000Z","dataVersion":"http://purl.imsglobal.org/ctx/caliper/v1p2","data":["#);
    while body.len() < 6_000_000 {
        body.push_str(&events[body.len() % events.len()]);
        body.push(',');
    }
    body.pop();
    body.push_str("]}");
    let Some(before) = status("VmRSS:") else {
        println!("SKIPPED: no /proc/self/status here");
        return;
    };
    let peak_before = status("VmHWM:").expect("the peak stands beside");
    let read = read_envelope(body.as_bytes(), &policy).expect("an envelope");
    let peak = status("VmHWM:").expect("the peak stands beside");
    let added = (peak - peak_before).max(status("VmRSS:").expect("there").saturating_sub(before));
    let total = body.len() + added;
    println!(
        "memory: a body of {} bytes with {} events, {added} bytes more while reading: {:.2} × its size",
        body.len(),
        read.items.len(),
        total as f64 / body.len() as f64
    );
    assert!(total <= 3 * body.len());
}
