//! `vernier-sim`: plays seeds and prints what was found (`make sim`).
//!
//! Environment: `VERNIER_SIM_SEEDS` histories from `VERNIER_SIM_SEED` on (0), for at most
//! `VERNIER_SIM_SECONDS`; with `VERNIER_SIM_DAYS` each of up to so many days, of up to `VERNIER_SIM_TENANTS` tenants (20)
//! and with a planner that runs each minute; or one, `VERNIER_SIM_SCRIPT`, as it stands.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;
use vernier_sim::{Script, campaign, generate, play};

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn main() -> ExitCode {
    // What a history breaks is reported with its script, not where it happened to be noticed.
    std::panic::set_hook(Box::new(|_| {}));
    let (text, sound) = match env::var("VERNIER_SIM_SCRIPT") {
        Ok(text) => one(&text),
        Err(_) => many(),
    };
    let written = io::stdout().write_all(text.as_bytes());
    if sound && written.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn one(text: &str) -> (String, bool) {
    let script: Script = match text.parse() {
        Ok(script) => script,
        Err(why) => return (format!("{why}\n"), false),
    };
    match play(&script, None).violation {
        None => ("no violation\n".to_owned(), true),
        Some(violation) => (format!("{violation}\n"), false),
    }
}

fn many() -> (String, bool) {
    let first = number("VERNIER_SIM_SEED").unwrap_or(0);
    let seeds = number("VERNIER_SIM_SEEDS").unwrap_or(2_000);
    let time = number("VERNIER_SIM_SECONDS").map(Duration::from_secs);
    let of = |name, usual| number(name).map_or(usual, |n| u16::try_from(n).unwrap_or(u16::MAX));
    let (days, tenants) = (of("VERNIER_SIM_DAYS", 0), of("VERNIER_SIM_TENANTS", 20));
    let script_of = |seed| match days {
        0 => generate::script(seed),
        days => generate::long_script(seed, tenants, days),
    };
    let report = campaign::run(first..first.saturating_add(seeds), time, script_of);
    (report.to_string(), report.violations == 0)
}
