//! `vernier validate`: Caliper documents against the rules, offline.
use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::json;
use vernier_validation::{Item, Mode, Policy, Problem, Profile, Shape, read_document};

/// Judges Caliper documents: envelopes, events, entities, arrays of those, endpoint configurations.
///
/// Exit status: 0 when all are accepted, 1 when some are rejected, 2 for wrong usage or a path that
/// cannot be read.
#[derive(Debug, clap::Args)]
pub(crate) struct ValidateArgs {
    /// strict (the specification decides) or lenient (known deviations are accepted and listed).
    #[arg(long, default_value_t = Mode::Strict)]
    mode: Mode,
    /// Whose deviations the lenient mode knows: generic, moodle-1.0, canvas, blackboard, openedx.
    #[arg(long, default_value_t = Profile::Generic, value_name = "NAME")]
    profile: Profile,
    /// text for people, json for one line per document.
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
    /// Files, or folders whose *.json files are taken, with all they hold.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Runs the command on standard output.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn run(args: ValidateArgs) -> anyhow::Result<ExitCode> {
    let policy = Policy::new(args.mode, args.profile);
    judge(&args.paths, &policy, args.format == "json")
}

/// Judges files and folders on standard output.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn judge(
    paths: &[PathBuf],
    policy: &Policy<'_>,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let status = validate(paths, policy, as_json, &mut out, &mut io::stderr())?;
    out.flush()?;
    Ok(ExitCode::from(status))
}

/// The verdict on one document, or on an item of one.
struct Line<'a> {
    path: &'a Path,
    /// Place in the envelope or array; none for a file that is refused as a whole.
    index: Option<usize>,
    type_name: Option<&'a str>,
    accepted: bool,
    strict_accepted: bool,
    deviations: &'a [Problem],
    problems: &'a [Problem],
}

#[derive(Default)]
struct Count {
    accepted: usize,
    rejected: usize,
    strict_rejected: usize,
    unreadable: usize,
}

fn validate(
    paths: &[PathBuf],
    policy: &Policy<'_>,
    as_json: bool,
    out: &mut impl Write,
    errors: &mut impl Write,
) -> io::Result<u8> {
    let mut count = Count::default();
    for path in paths {
        let (files, failures) = files_of(path);
        for (path, error) in failures {
            count.unreadable += 1;
            writeln!(errors, "vernier: {}: {error}", path.display())?;
        }
        for file in files {
            match fs::read(&file) {
                Ok(body) => document(&file, &body, policy, &mut |line| {
                    count.add(&line);
                    if as_json {
                        json_line(out, &line)
                    } else {
                        text_line(out, &line)
                    }
                })?,
                Err(error) => {
                    count.unreadable += 1;
                    writeln!(errors, "vernier: {}: {error}", file.display())?;
                }
            }
        }
    }
    if !as_json {
        summary(out, policy.mode, &count)?;
    }
    Ok(if count.unreadable > 0 {
        2
    } else {
        u8::from(count.rejected > 0)
    })
}

impl Count {
    fn add(&mut self, line: &Line<'_>) {
        self.accepted += usize::from(line.accepted);
        self.rejected += usize::from(!line.accepted);
        self.strict_rejected += usize::from(!line.strict_accepted);
    }
}

/// The files of a path in the order of their names, and what could not be read on the way.
/// Links to folders are not followed: they may lead in circles.
fn files_of(path: &Path) -> (Vec<PathBuf>, Vec<(PathBuf, io::Error)>) {
    let (mut files, mut failures, mut folders) = (Vec::new(), Vec::new(), Vec::new());
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => folders.push(path.to_owned()),
        Ok(_) => files.push(path.to_owned()),
        Err(error) => failures.push((path.to_owned(), error)),
    }
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        match entries {
            Err(error) => failures.push((folder, error)),
            Ok(entries) => {
                for entry in entries {
                    let path = entry.path();
                    if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                        folders.push(path);
                    } else if path
                        .extension()
                        .is_some_and(|e| e.eq_ignore_ascii_case("json"))
                    {
                        files.push(path);
                    }
                }
            }
        }
    }
    files.sort();
    (files, failures)
}

/// Judges one file and hands on a line for it or for each of its items.
fn document(
    path: &Path,
    body: &[u8],
    policy: &Policy<'_>,
    each: &mut impl FnMut(Line<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let document = match read_document(body, policy) {
        Ok(document) => document,
        Err(refusal) => {
            return each(Line {
                path,
                index: None,
                type_name: None,
                accepted: false,
                strict_accepted: false,
                deviations: &[],
                problems: &refusal.problems,
            });
        }
    };
    if !document.deviations.is_empty() {
        each(Line {
            path,
            index: None,
            type_name: Some("Envelope"),
            accepted: true,
            strict_accepted: false,
            deviations: &document.deviations,
            problems: &[],
        })?;
    }
    let configuration = document.shape == Shape::EndpointConfiguration;
    for (index, item) in document.items.iter().enumerate() {
        each(item_line(path, index, item, configuration))?;
    }
    Ok(())
}

fn item_line<'a>(
    path: &'a Path,
    index: usize,
    item: &'a Item<'_>,
    configuration: bool,
) -> Line<'a> {
    let type_name = if configuration {
        Some("EndpointConfiguration")
    } else {
        item.columns.type_name.as_deref()
    };
    Line {
        path,
        index: Some(index),
        type_name,
        accepted: item.verdict.accepted,
        strict_accepted: item.verdict.strict_accepted,
        deviations: &item.verdict.deviations,
        problems: &item.verdict.problems,
    }
}

fn word(accepted: bool) -> &'static str {
    if accepted { "accepted" } else { "rejected" }
}

fn json_line(out: &mut impl Write, line: &Line<'_>) -> io::Result<()> {
    let object = json!({
        "path": line.path.to_string_lossy(),
        "index": line.index,
        "type": line.type_name,
        "verdict": word(line.accepted),
        "strict": word(line.strict_accepted),
        "deviations": line.deviations,
        "problems": line.problems,
    });
    writeln!(out, "{object}")
}

fn text_line(out: &mut impl Write, line: &Line<'_>) -> io::Result<()> {
    let place = line
        .index
        .map(|index| format!("#{index}"))
        .unwrap_or_default();
    let type_name = line
        .type_name
        .map(|name| format!(" {name}"))
        .unwrap_or_default();
    writeln!(
        out,
        "{}{place}{type_name}: {}",
        line.path.display(),
        word(line.accepted)
    )?;
    for problem in line.problems {
        writeln!(out, "    {problem}\n        {}", problem.clause)?;
    }
    for deviation in line.deviations {
        writeln!(out, "    deviation {deviation}")?;
    }
    Ok(())
}

fn summary(out: &mut impl Write, mode: Mode, count: &Count) -> io::Result<()> {
    write!(
        out,
        "{} accepted, {} rejected",
        count.accepted, count.rejected
    )?;
    if mode == Mode::Lenient {
        write!(out, " ({} by the specification)", count.strict_rejected)?;
    }
    if count.unreadable > 0 {
        write!(out, ", {} not readable", count.unreadable)?;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: &str = r#"{"@context":"http://purl.imsglobal.org/ctx/caliper/v1p2","id":"https://example.edu/users/1","type":"Person"}"#;

    fn run_on(mode: Mode, files: &[(&str, &str)]) -> (u8, Vec<serde_json::Value>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file in it");
        }
        let paths = [folder.path().to_owned()];
        let policy = Policy::new(mode, Profile::Generic);
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let status =
            validate(&paths, &policy, true, &mut out, &mut errors).expect("writing to memory");
        let lines = String::from_utf8(out).expect("UTF-8");
        (
            status,
            lines
                .lines()
                .map(|l| serde_json::from_str(l).expect("JSON lines"))
                .collect(),
        )
    }

    #[test]
    fn an_entity_alone_and_in_a_list() {
        let list = format!("[{PERSON},{PERSON}]");
        let (status, lines) = run_on(
            Mode::Strict,
            &[("a.json", PERSON), ("b.json", &list), ("c.txt", "no")],
        );
        assert_eq!(status, 0);
        let seen: Vec<_> = lines
            .iter()
            .map(|l| (&l["index"], &l["type"], &l["verdict"]))
            .collect();
        assert_eq!(seen.len(), 3);
        assert!(
            seen.iter()
                .all(|(_, kind, verdict)| **kind == "Person" && **verdict == "accepted")
        );
        assert_eq!(*seen[2].0, 1);
    }

    #[test]
    fn what_is_no_json_is_one_rejected_line() {
        let (status, lines) = run_on(Mode::Strict, &[("a.json", "{\n  \"id\": }")]);
        assert_eq!(status, 1);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["verdict"], "rejected");
        assert_eq!(lines[0]["problems"][0]["rule"], "json.syntax");
        assert!(lines[0]["index"].is_null());
    }

    #[test]
    fn the_lenient_mode_lists_deviations() {
        let late = PERSON.replace(
            "\"type\"",
            "\"dateCreated\":\"2018-11-15T10:15:00Z\",\"type\"",
        );
        let (status, lines) = run_on(Mode::Lenient, &[("a.json", &late)]);
        assert_eq!(status, 0);
        assert_eq!(
            (&lines[0]["verdict"], &lines[0]["strict"]),
            (&json!("accepted"), &json!("rejected"))
        );
        assert_eq!(lines[0]["deviations"][0]["pointer"], "/dateCreated");
        assert_eq!(run_on(Mode::Strict, &[("a.json", &late)]).0, 1);
    }

    #[test]
    fn a_path_that_is_not_there_is_status_2() {
        let paths = [PathBuf::from("no/such/path")];
        let policy = Policy::new(Mode::Strict, Profile::Generic);
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        assert_eq!(
            validate(&paths, &policy, false, &mut out, &mut errors).expect("writing to memory"),
            2
        );
        assert!(String::from_utf8_lossy(&errors).contains("no/such/path"));
    }
}
