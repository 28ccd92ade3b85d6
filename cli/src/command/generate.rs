//! `vernier generate`.

use super::{Format, output};
use crate::generate::{Envelope, Params, Semester};
use anyhow::{Context as _, bail};
use jiff::civil::Date;
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Make a deterministic semester of Caliper 1.2 events.
///
/// Courses, learners, logins, pages, films, assessments with attempts and items, and grades: 70 %
/// session, navigation, view and media events, 20 % assessment items, 5 % assessments, 5 % grades,
/// about 1.4 KB an event. The same options give the same bytes on any machine; other seeds and
/// other numbers of events give other ids.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vernier generate --seed 7 --events 20000 --out semester/     one envelope a file
  vernier generate --seed 7 --events 20000 --out semester.jsonl  one envelope a line
  vernier generate --events 500 | vernier send -
  vernier generate --events 1000 --invalid 25 | vernier send - --report verdicts.jsonl")]
pub(super) struct Args {
    /// Where all choices and all event ids come from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Events in all
    #[arg(long, value_name = "EVENTS", default_value_t = 1_000)]
    events: u64,
    /// Events of one envelope
    #[arg(long, value_name = "EVENTS", default_value_t = 100)]
    envelope_size: usize,
    /// First day of the semester, which has 14 weeks
    #[arg(long, value_name = "DATE", default_value = "2026-01-12")]
    start: Date,
    /// So many events are made invalid, evenly spread, in eight known ways in turn
    #[arg(long, value_name = "EVENTS", default_value_t = 0)]
    invalid: u64,
    /// A new or empty folder (one envelope a file) or a new .jsonl or .ndjson file (one a line);
    /// without it, one envelope a line on standard output
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

#[derive(Debug, Default, Serialize)]
struct Made {
    envelopes: u64,
    events: u64,
    invalid: u64,
    bytes: u64,
}

impl Made {
    fn add(&mut self, envelope: &Envelope) {
        self.envelopes += 1;
        self.events += envelope.events as u64;
        self.invalid += envelope.invalid as u64;
        self.bytes += envelope.body.len() as u64;
    }
}

/// Generates.
///
/// # Errors
/// The options contradict each other, or the output cannot be written.
pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<ExitCode> {
    let semester = Semester::new(Params {
        seed: args.seed,
        events: args.events,
        envelope_events: args.envelope_size,
        start: args.start,
        invalid: args.invalid,
    })?;
    let Some(out) = &args.out else {
        write_lines(&semester, BufWriter::new(io::stdout().lock()))?;
        return Ok(ExitCode::SUCCESS);
    };
    let lines = out
        .extension()
        .is_some_and(|e| e == "jsonl" || e == "ndjson");
    let made = if lines {
        let file =
            File::create_new(out).with_context(|| format!("cannot create {}", out.display()))?;
        write_lines(&semester, BufWriter::new(file))
            .with_context(|| format!("cannot write {}", out.display()))?
    } else {
        write_files(&semester, out)?
    };
    match format {
        Format::Json => output::json(&made)?,
        Format::Text => output::line(format!(
            "{} events ({} invalid) in {} envelopes, {}: {}",
            output::thousands(made.events),
            output::thousands(made.invalid),
            output::thousands(made.envelopes),
            output::bytes(made.bytes),
            out.display()
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write_lines(semester: &Semester, mut out: impl Write) -> io::Result<Made> {
    let mut made = Made::default();
    for envelope in semester.envelopes() {
        out.write_all(envelope.body.as_bytes())?;
        out.write_all(b"\n")?;
        made.add(&envelope);
    }
    out.flush()?;
    Ok(made)
}

fn write_files(semester: &Semester, folder: &Path) -> anyhow::Result<Made> {
    let cannot = || format!("cannot write to {}", folder.display());
    fs::create_dir_all(folder).with_context(cannot)?;
    if fs::read_dir(folder).with_context(cannot)?.next().is_some() {
        bail!(
            "{} is not empty: envelopes of two semesters in one folder are of no use",
            folder.display()
        );
    }
    let mut made = Made::default();
    for envelope in semester.envelopes() {
        made.add(&envelope);
        let path = folder.join(format!("envelope-{:07}.json", made.envelopes));
        fs::write(&path, &envelope.body)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(made)
}
