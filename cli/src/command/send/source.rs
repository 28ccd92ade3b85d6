//! Where envelopes come from: files, folders, lines, standard input; plain, gzip or zstd.

use anyhow::{Context as _, bail};
use flate2::bufread::MultiGzDecoder;
use serde::de::IgnoredAny;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// One envelope's body, bytes: four times what the service takes, so that its own refusal is seen
/// and a file that is something else does not fill the memory.
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Endings of files that hold one envelope a line.
const LINE_ENDINGS: [&str; 2] = ["jsonl", "ndjson"];

/// One envelope to send.
#[derive(Debug)]
pub(super) struct Input {
    /// The file, or `-`.
    pub(super) path: String,
    /// The line in it, from 1, where a file holds one envelope a line.
    pub(super) line: Option<u64>,
    /// The body as it is to be posted, before compression.
    pub(super) body: Vec<u8>,
}

/// Something that holds envelopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Stdin,
    File(PathBuf),
}

/// The files behind the paths: folders are walked, in order of name, for `.json`, `.jsonl` and
/// `.ndjson`, each also with `.gz` or `.zst`.
///
/// # Errors
/// A path cannot be read, standard input is named twice, or a folder holds no such file.
pub(super) fn list(paths: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            if sources.contains(&Source::Stdin) {
                bail!("standard input can be read once only");
            }
            sources.push(Source::Stdin);
        } else if fs::metadata(path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .is_dir()
        {
            let before = sources.len();
            walk(path, &mut sources)?;
            if sources.len() == before {
                bail!("{} holds no .json, .jsonl or .ndjson file", path.display());
            }
        } else {
            File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            sources.push(Source::File(path.clone()));
        }
    }
    Ok(sources)
}

fn walk(folder: &Path, sources: &mut Vec<Source>) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", folder.display());
    let mut paths = fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|e| e.map(|e| e.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .with_context(cannot)?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, sources)?;
        } else if kind(&path).is_some() {
            sources.push(Source::File(path));
        }
    }
    Ok(())
}

/// The ending that counts: without `.gz` or `.zst`.
fn ending(path: &Path) -> Option<String> {
    let lower = |path: &Path| path.extension().map(|e| e.to_string_lossy().to_lowercase());
    match lower(path) {
        Some(packed) if packed == "gz" || packed == "zst" => lower(Path::new(path.file_stem()?)),
        other => other,
    }
}

/// Whether files so named hold lines (true) or one document (false); none when neither.
fn kind(path: &Path) -> Option<bool> {
    let ending = ending(path)?;
    if LINE_ENDINGS.contains(&ending.as_str()) {
        return Some(true);
    }
    (ending == "json").then_some(false)
}

impl Source {
    /// Hands every envelope to `take` until that says false. Returns false when it did.
    ///
    /// # Errors
    /// The source cannot be read, or an envelope is above 64 MiB.
    pub(super) fn read(&self, take: &mut dyn FnMut(Input) -> bool) -> anyhow::Result<bool> {
        match self {
            Self::Stdin => {
                let reader = unpacked(Box::new(BufReader::new(io::stdin())))?;
                read_sniffed(reader, "-", take).context("cannot read standard input")
            }
            Self::File(path) => {
                let name = path.display().to_string();
                let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
                let reader = unpacked(Box::new(BufReader::new(file)))?;
                let done = if kind(path) == Some(true) {
                    read_lines(reader, &name, 0, take)
                } else {
                    read_document(reader, &name, Vec::new(), take)
                };
                done.with_context(|| format!("cannot read {name}"))
            }
        }
    }
}

/// Unpacks gzip and zstd, known by their first bytes.
fn unpacked(mut reader: Box<dyn BufRead>) -> io::Result<Box<dyn BufRead>> {
    let head = reader.fill_buf()?;
    if head.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(reader))));
    }
    if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Ok(Box::new(BufReader::new(
            zstd::stream::read::Decoder::with_buffer(reader)?,
        )));
    }
    Ok(reader)
}

/// Standard input has no name to go by: when its first line is a whole JSON document, every line
/// is an envelope; else all of it is one.
fn read_sniffed(
    mut reader: Box<dyn BufRead>,
    name: &str,
    take: &mut dyn FnMut(Input) -> bool,
) -> anyhow::Result<bool> {
    let first = loop {
        match next_line(&mut reader)? {
            None => bail!("it is empty"),
            Some(line) if line.is_empty() => {}
            Some(line) => break line,
        }
    };
    if serde_json::from_slice::<IgnoredAny>(&first).is_err() {
        let mut head = first;
        head.push(b'\n');
        return read_document(reader, name, head, take);
    }
    if !take(Input {
        path: name.to_owned(),
        line: Some(1),
        body: first,
    }) {
        return Ok(false);
    }
    read_lines(reader, name, 1, take)
}

fn read_lines(
    mut reader: Box<dyn BufRead>,
    name: &str,
    lines_read: u64,
    take: &mut dyn FnMut(Input) -> bool,
) -> anyhow::Result<bool> {
    let mut number = lines_read;
    while let Some(body) = next_line(&mut reader)? {
        number += 1;
        if !body.is_empty()
            && !take(Input {
                path: name.to_owned(),
                line: Some(number),
                body,
            })
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The next line without its end; none at the end of the input.
fn next_line(reader: &mut dyn BufRead) -> anyhow::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if reader
        .take(BODY_BYTES_MAX + 1)
        .read_until(b'\n', &mut line)?
        == 0
    {
        return Ok(None);
    }
    if line.len() as u64 > BODY_BYTES_MAX {
        bail!("a line is longer than 64 MiB");
    }
    while line.last().is_some_and(u8::is_ascii_whitespace) {
        line.pop();
    }
    Ok(Some(line))
}

fn read_document(
    reader: Box<dyn BufRead>,
    name: &str,
    mut body: Vec<u8>,
    take: &mut dyn FnMut(Input) -> bool,
) -> anyhow::Result<bool> {
    reader.take(BODY_BYTES_MAX + 1).read_to_end(&mut body)?;
    if body.len() as u64 > BODY_BYTES_MAX {
        bail!("it is larger than 64 MiB");
    }
    Ok(take(Input {
        path: name.to_owned(),
        line: None,
        body,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(source: &Source) -> Vec<(Option<u64>, String)> {
        let mut seen = Vec::new();
        let mut take = |input: Input| {
            seen.push((input.line, String::from_utf8(input.body).expect("text")));
            true
        };
        assert!(source.read(&mut take).expect("readable"));
        seen
    }

    fn sniffed(text: &'static str) -> Vec<(Option<u64>, String)> {
        let mut seen = Vec::new();
        let mut take = |input: Input| {
            seen.push((input.line, String::from_utf8(input.body).expect("text")));
            true
        };
        read_sniffed(Box::new(text.as_bytes()), "-", &mut take).expect("readable");
        seen
    }

    #[test]
    fn folders_are_walked_in_order_and_packed_files_unpacked() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("b")).expect("a folder");
        fs::write(path("b/2.json"), "{\n}").expect("written");
        fs::write(path("b/notes.txt"), "no").expect("written");
        let mut gzip = flate2::write::GzEncoder::new(
            File::create(path("a.jsonl.gz")).expect("a file"),
            flate2::Compression::fast(),
        );
        gzip.write_all(b"{\"n\":1}\n\n  \n{\"n\":2}")
            .expect("written");
        gzip.finish().expect("finished");
        fs::write(
            path("c.JSON.zst"),
            zstd::encode_all(&b"[]"[..], 1).expect("packed"),
        )
        .expect("written");

        let sources = list(&[dir.path().to_owned()]).expect("listed");
        let read: Vec<_> = sources.iter().flat_map(all).collect();
        let expected = [
            (Some(1), "{\"n\":1}"),
            (Some(4), "{\"n\":2}"),
            (None, "{\n}"),
            (None, "[]"),
        ];
        assert_eq!(read, expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn a_named_file_of_any_ending_is_one_document_sent_as_it_is() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "not { json\n").expect("written");
        assert_eq!(
            all(&Source::File(file.path().to_owned())),
            [(None, "not { json\n".to_owned())]
        );
    }

    #[test]
    fn standard_input_is_lines_or_one_document() {
        assert_eq!(
            sniffed("{}\n[1]\n"),
            [(Some(1), "{}".to_owned()), (Some(2), "[1]".to_owned())]
        );
        assert_eq!(
            sniffed("{\n \"a\": 1\n}\n"),
            [(None, "{\n \"a\": 1\n}\n".to_owned())]
        );
        assert_eq!(
            sniffed("no json\nat all"),
            [(None, "no json\nat all".to_owned())]
        );
    }

    #[test]
    fn what_is_not_there_is_an_error_before_anything_is_sent() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(list(&[dir.path().join("none.json")]).is_err());
        assert!(list(&[dir.path().to_owned()]).is_err());
        assert!(list(&["-".into(), "-".into()]).is_err());
    }
}
