//! `vernier report`.

use super::api::{Api, ApiArgs};
use super::time::{FORMS, Moment, now};
use super::{Format, output, time};
use clap::ValueEnum;
use std::process::ExitCode;

/// Which report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// A learner's assignments in a section, with every attempt
    Assignments,
    /// A section's grades: learners and assignments
    Grades,
    /// When a score changed, and by which event
    History,
    /// How many events in which hour of which weekday
    Activity,
    /// How many events of which type, and how many actors, by hour or day
    Usage,
    /// Which sections events are of
    Sections,
    /// What the tenant sent each day: requests, events, bytes (audit:read or admin)
    Traffic,
}

impl Name {
    const fn path(self, csv: bool) -> &'static str {
        match (self, csv) {
            (Self::Assignments, false) => "/reports/assignments",
            (Self::Assignments, true) => "/reports/assignments.csv",
            (Self::Grades, false) => "/reports/grades",
            (Self::Grades, true) => "/reports/grades.csv",
            (Self::History, false) => "/reports/history",
            (Self::History, true) => "/reports/history.csv",
            (Self::Activity, false) => "/reports/activity",
            (Self::Activity, true) => "/reports/activity.csv",
            (Self::Usage, false) => "/reports/usage",
            (Self::Usage, true) => "/reports/usage.csv",
            (Self::Sections, false) => "/reports/sections",
            (Self::Sections, true) => "/reports/sections.csv",
            (Self::Traffic, false) => "/reports/traffic",
            (Self::Traffic, true) => "/reports/traffic.csv",
        }
    }
}

/// Draw up a report, as CSV or, with --format json, as JSON.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vernier report sections --from -7d
  vernier report traffic --from 2026-09-01 --to 2026-10-01
  vernier report grades --section https://school.example/sections/3 > grades.csv
  vernier report assignments --section https://school.example/sections/3 --learner https://school.example/users/7
  vernier report activity --from -30d --learner https://school.example/users/7 --zone Europe/Berlin
  vernier report usage --from -1d --bucket hour --format json | jq '.buckets[].events'

The service names what a report needs and does not know: a misspelt or missing option is refused.")]
pub(super) struct Args {
    #[command(flatten)]
    api: ApiArgs,
    /// Which one
    #[arg(value_enum, value_name = "REPORT")]
    name: Name,
    /// The course section's id; empty for events that name none
    #[arg(long, value_name = "IRI")]
    section: Option<String>,
    /// The learner's id
    #[arg(long, value_name = "IRI")]
    learner: Option<String>,
    /// Only this assignment
    #[arg(long, value_name = "IRI")]
    assignment: Option<String>,
    /// Only this attempt
    #[arg(long, value_name = "IRI")]
    attempt: Option<String>,
    /// Of grades: only learners after this one, where there are more than an answer holds
    #[arg(long, value_name = "IRI")]
    after: Option<String>,
    /// The clocks that hours and days are of, such as Europe/Berlin; UTC when not given
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Of usage: hour or day
    #[arg(long, value_name = "BUCKET")]
    bucket: Option<String>,
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::parse,
        help = format!("First instant of received-at: {FORMS}"))]
    from: Option<Moment>,
    /// First instant after it
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::parse)]
    to: Option<Moment>,
}

/// Draws it up.
///
/// # Errors
/// The service cannot be reached or refuses.
pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.api, 1)?;
    let now = now();
    let given = [
        ("section", args.section.clone()),
        ("learner", args.learner.clone()),
        ("assignment", args.assignment.clone()),
        ("attempt", args.attempt.clone()),
        ("after", args.after.clone()),
        ("zone", args.zone.clone()),
        ("bucket", args.bucket.clone()),
        ("from", args.from.map(|at| at.rfc3339(now))),
        ("to", args.to.map(|at| at.rfc3339(now))),
    ];
    let given = given.into_iter();
    let given: Vec<(&str, String)> = given
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    match format {
        Format::Json => {
            let report = api.get_document(args.name.path(false), &given)?;
            output::line(report.on_one_line())?;
        }
        Format::Text => output::text(&api.get_text(args.name.path(true), &given)?)?,
    }
    Ok(ExitCode::SUCCESS)
}
