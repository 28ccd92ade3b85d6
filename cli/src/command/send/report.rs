//! The report: one JSON line for every envelope, written through to the disk, and the memory of a
//! send that was broken off.
//!
//! A crash at any point loses no envelope: an answer that was not recorded is asked for again, and
//! the ledger knows the events of such an envelope for duplicates.

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How a line of the report begins: with its first property.
const LINE_HEAD: &[u8] = b"{\"path\":";

/// How an envelope ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// The service gave a receipt.
    Acknowledged,
    /// The service refused the whole envelope; sending it again gives the same answer.
    Refused,
    /// No final answer came in all tries: to be sent again.
    Unsent,
}

/// Numbers of events, from the service's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) received: u64,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
}

/// One envelope's line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    /// The file, or `-`. (Stays the first property: see `LINE_HEAD`.)
    pub(super) path: String,
    /// The line in it, from 1.
    pub(super) line: Option<u64>,
    /// SHA-256 of the body before compression, hexadecimal.
    pub(super) sha256: String,
    /// Length of that body.
    pub(super) bytes: u64,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// The last HTTP status; none when no answer came.
    pub(super) status: Option<u16>,
    /// The receipt's id.
    pub(super) receipt: Option<String>,
    /// When the service received it.
    pub(super) received_at: Option<String>,
    /// Its events.
    pub(super) counts: Option<Counts>,
    /// The problem document of a refusal, or what kept the answer away.
    pub(super) problem: Option<Value>,
    /// Each event's verdict, as the service gave it.
    pub(super) events: Option<Value>,
    /// Requests made.
    pub(super) attempts: u32,
    /// Bytes of a body as sent, after compression.
    pub(super) bytes_sent: u64,
}

impl Row {
    /// Whether there is nothing more to do for this envelope.
    pub(super) fn is_final(&self) -> bool {
        self.outcome != Outcome::Unsent
    }

    /// Where the envelope stands, for people.
    pub(super) fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.path),
            None => self.path.clone(),
        }
    }
}

/// SHA-256, hexadecimal: the name of a body.
pub(super) fn body_name(body: &[u8]) -> String {
    Sha256::digest(body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// How often each body has its final answer. A body that occurs twice in the input has to be
/// answered twice, wherever the files lie now.
#[derive(Debug, Default)]
pub(super) struct Answered(HashMap<String, u64>);

impl Answered {
    /// Takes one answer to this body, if there is one left.
    pub(super) fn take(&mut self, sha256: &str) -> bool {
        match self.0.get_mut(sha256) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }
}

/// The report's file, open for appending and locked for this process.
#[derive(Debug)]
pub(super) struct Report {
    path: PathBuf,
    file: File,
}

impl Report {
    /// Opens or begins a report, hands every line it holds to `seen`, and says which bodies are
    /// answered. A last line that a crash tore is cut off.
    ///
    /// # Errors
    /// The file cannot be read or written, is no report, or another send holds it.
    pub(super) fn open(
        path: &Path,
        seen: &mut dyn FnMut(&Row),
    ) -> anyhow::Result<(Self, Answered)> {
        let cannot = || format!("cannot use {} as the report", path.display());
        let fresh = !path.exists();
        let options = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .clone();
        let file = options.open(path).with_context(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another send is writing {}", path.display()),
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        if fresh {
            sync_folder(path).with_context(cannot)?;
        }
        let mut report = Self {
            path: path.to_owned(),
            file,
        };
        let answered = report.read(seen).with_context(cannot)?;
        Ok((report, answered))
    }

    fn read(&mut self, seen: &mut dyn FnMut(&Row)) -> anyhow::Result<Answered> {
        let mut answered = Answered::default();
        let mut whole_bytes = 0;
        let mut reader = BufReader::new(&self.file);
        reader.seek(SeekFrom::Start(0))?;
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if reader.by_ref().read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if line.last() != Some(&b'\n') {
                let common = line.len().min(LINE_HEAD.len());
                if line[..common] != LINE_HEAD[..common] {
                    bail!("line {number} is not a line of a report");
                }
                eprintln!(
                    "vernier: the last line of {} is torn; its envelope is sent again",
                    self.path.display()
                );
                self.file.set_len(whole_bytes)?;
                self.file.sync_data()?;
                break;
            }
            whole_bytes += line.len() as u64;
            let row: Row = serde_json::from_slice(&line)
                .with_context(|| format!("line {number} is not a line of a report"))?;
            seen(&row);
            if row.is_final() {
                *answered.0.entry(row.sha256).or_default() += 1;
            }
        }
        Ok(answered)
    }

    /// Writes lines and waits until the disk has them.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub(super) fn append(&mut self, rows: &[Row]) -> anyhow::Result<()> {
        let mut text = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut text, row)?;
            text.push(b'\n');
        }
        let cannot = || format!("cannot write {}", self.path.display());
        self.file.write_all(&text).with_context(cannot)?;
        self.file.sync_data().with_context(cannot)
    }
}

/// A new file is there after a crash only when its folder says so.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn row(body: &[u8], outcome: Outcome) -> Row {
        Row {
            path: "a.json".to_owned(),
            line: None,
            sha256: body_name(body),
            bytes: body.len() as u64,
            outcome,
            status: Some(200),
            receipt: None,
            received_at: None,
            counts: None,
            problem: None,
            events: None,
            attempts: 1,
            bytes_sent: 0,
        }
    }

    fn open(path: &Path) -> anyhow::Result<(Report, Answered, usize)> {
        let mut rows = 0;
        let (report, answered) = Report::open(path, &mut |_| rows += 1)?;
        Ok((report, answered, rows))
    }

    #[test]
    fn a_line_begins_as_the_torn_line_check_expects() {
        let text = serde_json::to_vec(&row(b"x", Outcome::Refused)).expect("JSON");
        assert!(text.starts_with(LINE_HEAD));
    }

    #[test]
    fn final_answers_are_remembered_as_often_as_they_were_given() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("r.jsonl");
        let (mut report, _, _) = open(&path).expect("opened");
        let rows = [
            row(b"one", Outcome::Acknowledged),
            row(b"one", Outcome::Acknowledged),
            row(b"two", Outcome::Refused),
            row(b"three", Outcome::Unsent),
        ];
        report.append(&rows).expect("written");
        drop(report);
        let (_report, mut answered, seen) = open(&path).expect("opened");
        assert_eq!(seen, 4);
        let mut take = |body: &[u8]| answered.take(&body_name(body));
        assert_eq!(
            [take(b"one"), take(b"one"), take(b"one")],
            [true, true, false]
        );
        assert_eq!(
            [take(b"two"), take(b"three"), take(b"four")],
            [true, false, false]
        );
    }

    #[test]
    fn a_torn_report_loses_at_most_its_last_line() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("r.jsonl");
        let rows = [
            row(b"one", Outcome::Acknowledged),
            row(b"two", Outcome::Acknowledged),
        ];
        let (mut report, _, _) = open(&path).expect("opened");
        report.append(&rows).expect("written");
        drop(report);
        let whole = fs::read(&path).expect("read");
        let first = whole.iter().position(|b| *b == b'\n').expect("a line") + 1;
        let near_ends = |cut: &usize| {
            cut.is_multiple_of(29) || cut.abs_diff(first) < 4 || whole.len() - cut < 4
        };
        for cut in (0..=whole.len()).filter(near_ends) {
            fs::write(&path, &whole[..cut]).expect("written");
            let (mut report, _, seen) = open(&path).expect("opened");
            let expected = usize::from(cut >= first) + usize::from(cut == whole.len());
            assert_eq!(seen, expected, "cut at {cut}");
            report.append(&rows[expected..]).expect("written");
            drop(report);
            assert_eq!(fs::read(&path).expect("read"), whole, "cut at {cut}");
        }
    }

    #[test]
    fn another_file_is_never_taken_for_a_report() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("mine.json");
        for content in [
            "{\"sensor\":\"s\"}",
            "{\"sensor\":\"s\"}\n",
            "hello",
            "{\"path\":1}\n",
        ] {
            fs::write(&path, content).expect("written");
            assert!(open(&path).is_err(), "{content}");
            assert_eq!(fs::read_to_string(&path).expect("read"), content);
        }
    }

    #[test]
    fn two_sends_do_not_share_a_report() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("r.jsonl");
        let first = open(&path).expect("opened");
        let error = open(&path).map(drop).expect_err("locked");
        assert!(error.to_string().contains("another send"));
        drop(first);
        assert!(open(&path).is_ok());
    }
}
