//! The command line: one module per subcommand.
//!
//! Exit codes: 0 all well; 1 something was rejected, refused or does not add up; 2 wrong usage, or
//! a service or file that cannot be reached.

mod api;
mod cost;
mod generate;
mod output;
mod playback;
mod proof;
mod quarantine;
mod query;
mod receipt;
mod remote;
mod report;
mod restore_check;
mod schema;
mod send;
mod tenant;
mod time;
mod token;
mod verify;
mod window;
mod windows;
mod work;

use crate::validate::{self, ValidateArgs};
use clap::{Parser, Subcommand};
use std::io;
use std::process::ExitCode;

/// Something was rejected or does not add up.
const FINDINGS: u8 = 1;
/// Wrong usage, or out of reach.
const TROUBLE: u8 = 2;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: JSON, one document a line.
    Json,
}

#[derive(Debug, Parser)]
#[command(
    name = "vernier",
    version,
    about = "An auditable event ledger for learning data",
    long_about = "An auditable event ledger for learning data.\n\n\
        Sensors post Caliper events; vernier accounts for every one of them. This command makes \
        tenants and tokens (straight to DynamoDB, with the ordinary AWS environment: profiles, \
        region, AWS_ENDPOINT_URL), and sends, queries and audits through the API.",
    after_help = EXAMPLES
)]
struct Cli {
    /// How to print results; messages and progress always go to standard error
    // Text, not `Format`: `validate` has the option too, and clap wants one type for one name.
    #[arg(long, global = true, default_value = "text", value_parser = ["text", "json"], value_name = "FORMAT")]
    format: String,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  vernier tenant create school --mode strict
  export VERNIER_TOKEN=$(vernier token issue --tenant school --sensor lms \\
      --scope events:write,events:read,audit:read --format json | jq -r .token)
  export VERNIER_API=https://abc123.execute-api.us-east-1.amazonaws.com/v1
  vernier generate --seed 7 --events 20000 --out semester/
  vernier send semester/ --report semester.report.jsonl
  vernier query --from -15m --type GradeEvent
  vernier windows --from -1h --wait 120
  vernier verify copy/ --key seals.pub.pem
  vernier playback start --from -1d --dry-run --watch
  vernier quarantine report --from -1d
  vernier work list school
  vernier cost --events-per-month 20M --envelope 25

Exit codes: 0 all well, 1 something rejected or not adding up, 2 wrong usage or out of reach.";

const VALIDATE_EXAMPLES: &str = "\
Examples:
  vernier validate envelope.json
  vernier validate --mode lenient --profile canvas captured/
  vernier validate --format json captured/ | jq -r 'select(.verdict == \"rejected\") | .path'";

// Each explains itself on its arguments.
#[derive(Debug, Subcommand)]
enum Command {
    Tenant(tenant::Args),
    Token(token::Args),
    #[command(after_help = VALIDATE_EXAMPLES)]
    Validate(ValidateArgs),
    Generate(generate::Args),
    Send(send::Args),
    Query(query::Args),
    Receipt(receipt::Args),
    Windows(windows::Args),
    Window(window::Args),
    Verify(verify::Args),
    Proof(proof::Args),
    Playback(playback::Args),
    Quarantine(quarantine::Args),
    Report(report::Args),
    Schema(schema::Args),
    Work(work::Args),
    RestoreCheck(restore_check::Args),
    Cost(cost::Args),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        // Whoever reads our output has seen enough (`vernier query | head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vernier: {error:#}");
            ExitCode::from(
                error
                    .downcast_ref::<api::Problem>()
                    .map_or(TROUBLE, api::Problem::exit_code),
            )
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let format = if cli.format == "json" {
        Format::Json
    } else {
        Format::Text
    };
    match cli.command {
        Command::Tenant(args) => tenant::run(args, format),
        Command::Token(args) => token::run(args, format),
        Command::Validate(args) => validate::run(args),
        Command::Generate(args) => generate::run(&args, format),
        Command::Send(args) => send::run(&args, format),
        Command::Query(args) => query::run(&args, format),
        Command::Receipt(args) => receipt::run(&args, format),
        Command::Windows(args) => windows::run(&args, format),
        Command::Window(args) => window::run(&args, format),
        Command::Verify(args) => verify::run(&args, format),
        Command::Proof(args) => proof::run(&args, format),
        Command::Playback(args) => playback::run(args, format),
        Command::Quarantine(args) => quarantine::run(args, format),
        Command::Report(args) => report::run(&args, format),
        Command::Schema(args) => schema::run(args, format),
        Command::Work(args) => work::run(&args, format),
        Command::RestoreCheck(args) => restore_check::run(&args, format),
        Command::Cost(args) => cost::run(&args, format),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_teaches_with_examples() {
        fn check(command: &mut clap::Command) {
            let leaf = command.get_subcommands().next().is_none();
            let help = command.render_long_help().to_string();
            assert!(
                !leaf || help.contains("Examples:"),
                "{} has no examples",
                command.get_name()
            );
            for sub in command
                .get_subcommands_mut()
                .filter(|sub| sub.get_name() != "help")
            {
                check(sub);
            }
        }
        check(&mut Cli::command());
    }

    #[test]
    fn lines_as_people_type_them_are_read() {
        for line in [
            "vernier tenant create school --mode lenient --profile moodle-1.0 --lanes 4",
            "vernier tenant create school --requests-per-second 5 --events-per-second 10 --bytes-per-second none",
            "vernier tenant set school --mode lenient --profile canvas --lanes 4 --events-per-second none",
            "vernier tenant use school --from 2026-09-01 --to 2026-10-01 --csv",
            "vernier tenant list --table ledger --format json",
            "vernier --format json token issue --tenant school --sensor lms --scope events:write,events:read --scope playback",
            "vernier token issue --tenant school --sensor portal --learner https://school.example/users/7",
            "vernier token revoke 0a1b2c3d4e5f --tenant school",
            "vernier validate --mode lenient --profile canvas a.json b/ --format json",
            "vernier generate --seed 7 --events 250 --invalid 3 --start 2025-09-01",
            "vernier send a.json b/ - --api http://h --report r.jsonl --compress zstd --concurrency 8",
            "vernier query --api http://h --from -15m --to now --type GradeEvent --limit 10 --all",
            "vernier query --api http://h --disposition rejected --oldest-first --actor https://a/1 --sensor lms",
            "vernier query --api http://h --id urn:uuid:ff9ec22a-fc59-4ae1-ae8d-2c9463ee2f8f --wait 30",
            "vernier receipt 0193 --api http://h --wait 5",
            "vernier windows --api http://h --from -1h",
            "vernier windows --api http://h --from -1d --missing",
            "vernier window seal school 2026-09-01T09:15:00Z --short --reason gone",
            "vernier verify copy/ --key a.pem --key b.pem --all --tenant school --partial --gaps --threads 2 --format json",
            "vernier verify copy/ --key a.pem --known e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "vernier verify s3://bucket/copies/1 --own-keys --all",
            "vernier verify copy/ --key a.pem --receipts --no-shortfall",
            "vernier proof answer.json --key a.pem --key b.pem --event event.json --format json",
            "vernier schema put https://s.example/Badge badge.json --api http://h --column actor=/who --column id=/n --force",
            "vernier playback start --from -1d --type GradeEvent --group https://s/1 --dry-run --rate 500 --watch --api http://h",
            "vernier playback start --receipt 01a05c4d-d5c1-7008-8707-070707070707 --api http://h",
            "vernier playback start --source quarantine --from -7d --rule event.id --target stream --api http://h",
            "vernier playback start --source failures --dry-run --api http://h",
            "vernier quarantine list --from -7d --sensor lms --rule event.id --type Event --oldest-first --limit 5 --all --api http://h",
            "vernier quarantine report --from 2026-09-01 --to 2026-09-02 --api http://h",
            "vernier playback list --api http://h --format json",
            "vernier playback show 01a05c4d-d5c1-7008-8707-070707070707 --watch --api http://h",
            "vernier playback cancel 01a05c4d-d5c1-7008-8707-070707070707 --api http://h",
            "vernier schema get Badge --version 2 --api http://h",
            "vernier cost --events-per-month 2.5e7 --envelope 12.5 --peak 4 --freshness-seconds 15 --retention-months 36 --stream-mode on-demand --json",
            "vernier cost --report target/bench/report.json --limits",
            "vernier schema list --api http://h --format json",
            "vernier schema test Badge badge.json events/ --against old.json",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }

    #[test]
    fn wrong_lines_are_refused_for_what_is_wrong_with_them() {
        for (line, why) in [
            ("vernier tenant create School", "1 to 63 of a-z"),
            ("vernier tenant create 2026-01-01", "reads as a number"),
            (
                "vernier tenant set school --events-per-second 0",
                "whole number from 1",
            ),
            (
                "vernier tenant create school --mode loose",
                "strict, lenient",
            ),
            ("vernier tenant create school --profile sakai", "moodle-1.0"),
            ("vernier tenant create school --lanes 0", "1..=256"),
            ("vernier tenant create school --lanes 257", "1..=256"),
            (
                "vernier token issue --tenant school --sensor lms --scope events:delete",
                "audit:read",
            ),
            (
                "vernier token issue --tenant school --sensor lms --learner=",
                "1 to 1024 bytes",
            ),
            ("vernier token revoke vrn_0a1b --tenant school", "public id"),
            ("vernier generate --start yesterday", "--start"),
            ("vernier send --api http://h", "<PATH>"),
            ("vernier send x --api http://h --concurrency 0", "1..=64"),
            ("vernier send x --api http://h --compress brotli", "zstd"),
            ("vernier send x --api h", "https://"),
            (
                "vernier query --api http://h --id a --from -1h",
                "cannot be used with",
            ),
            ("vernier query --api http://h --limit 1001", "1..=1000"),
            ("vernier windows --api http://h --from sometime", "RFC 3339"),
            ("vernier window seal school now --reason gone", "--short"),
            ("vernier window seal school now --short", "--reason"),
            ("vernier cost --events-per-month some", "250k, 20M or 1B"),
            ("vernier cost --envelope 20000", "1 to 10000"),
            ("vernier cost --peak 0.5", "not under the mean"),
            ("vernier cost --freshness-seconds 301", "1..=300"),
            ("vernier cost --usage a --report b", "cannot be used with"),
            ("vernier cost --usage a --envelope 5", "cannot be used with"),
            ("vernier verify copy/", "--key"),
            (
                "vernier verify copy/ --key a --known e3b0",
                "64 hexadecimal",
            ),
            ("vernier verify copy/ --key a --threads 0", "1..=1024"),
            ("vernier proof answer.json", "--key"),
            (
                "vernier schema test Badge badge.json --column actor=who",
                "NAME=POINTER",
            ),
        ] {
            let error = Cli::try_parse_from(line.split(' '))
                .expect_err(line)
                .to_string();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
