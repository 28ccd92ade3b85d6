//! Where files lie: read by ranges, written once. A directory and memory implement both; an object
//! store needs no more.

use crate::Fault;
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Entry {
    /// Its key: steps joined by `/`.
    pub key: String,
    /// Its size, bytes.
    pub bytes: u64,
}

/// An open file, read by ranges from several threads.
pub trait Ranges: Send + Sync {
    /// Its size, bytes.
    fn size(&self) -> u64;

    /// Exactly `length` bytes from `offset`.
    ///
    /// # Errors
    /// When they cannot be read, or the file ends before.
    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes>;

    /// Says which ranges (offset and length, in order) will be read next.
    ///
    /// # Errors
    /// When they are not all here yet: whoever fetches them knows now what to fetch.
    fn want(&self, ranges: &[(u64, u64)]) -> io::Result<()> {
        let _ = ranges;
        Ok(())
    }
}

/// Files to check or to search.
pub trait Source: Sync {
    /// All files whose keys begin so, in the order of their keys.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn list(&self, prefix: &str) -> io::Result<Vec<Entry>>;

    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened; [`io::ErrorKind::NotFound`] when there is none.
    fn open(&self, key: &str) -> io::Result<Arc<dyn Ranges>>;

    /// A whole file of at most `bytes_max`.
    ///
    /// # Errors
    /// As for [`Self::open`], and when it is larger.
    fn read(&self, key: &str, bytes_max: u64) -> io::Result<Bytes> {
        let file = self.open(key)?;
        match usize::try_from(file.size()) {
            Ok(length) if file.size() <= bytes_max => file.read(0, length),
            _ => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("has {} bytes, at most {bytes_max} are read", file.size()),
            )),
        }
    }
}

/// Where files are written, each once.
pub trait Sink: Sync {
    /// A file under way.
    type File: Write + Send;

    /// Begins a file, which has no key yet: keys hold what their files come to.
    ///
    /// # Errors
    /// When it cannot be made.
    fn create(&self) -> io::Result<Self::File>;

    /// Ends a file under its key; it is whole there on return. Where the key is taken, the same file
    /// lies there already, left by somebody who did not come to the end: that is as good.
    ///
    /// # Errors
    /// When what was written cannot be kept.
    fn close(&self, key: &str, file: Self::File) -> io::Result<()>;
}

/// Files under a local directory.
#[derive(Debug, Clone)]
pub struct Directory(PathBuf);

impl Directory {
    /// Keys are paths below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// The file's path; an error for keys that lead out of the directory.
    fn path(&self, key: &str) -> io::Result<PathBuf> {
        let plain = |step: &str| !matches!(step, "" | "." | "..") && !step.contains(['\\', '\0']);
        if key.split('/').all(plain) {
            Ok(self.0.join(key))
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("not a key: {key}"),
            ))
        }
    }
}

impl Source for Directory {
    fn list(&self, prefix: &str) -> io::Result<Vec<Entry>> {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let start = if folder.is_empty() {
            self.0.clone()
        } else {
            self.path(folder)?
        };
        let mut found = Vec::new();
        let mut open = vec![(folder.to_owned(), start)];
        while let Some((key, path)) = open.pop() {
            let entries = match fs::read_dir(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && key == folder => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let key = if key.is_empty() {
                    name.into_owned()
                } else {
                    format!("{key}/{name}")
                };
                // Links are followed to files, not to folders: those may lead in circles.
                if entry.file_type()?.is_dir() {
                    open.push((key, entry.path()));
                } else if key.starts_with(prefix) {
                    let bytes = fs::metadata(entry.path())?.len();
                    found.push(Entry { key, bytes });
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn open(&self, key: &str) -> io::Result<Arc<dyn Ranges>> {
        let file = File::open(self.path(key)?)?;
        let bytes = file.metadata()?.len();
        Ok(Arc::new(OpenFile { file, bytes }))
    }
}

/// A file in a directory without its name.
#[derive(Debug)]
pub struct Unnamed {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Write for Unnamed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for Directory {
    type File = Unnamed;

    fn create(&self) -> io::Result<Unnamed> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = self
            .0
            .join(format!(".{}-{number}.unnamed", std::process::id()));
        fs::create_dir_all(&self.0)?;
        let file = BufWriter::new(File::create_new(&path)?);
        Ok(Unnamed { path, file })
    }

    fn close(&self, key: &str, file: Unnamed) -> io::Result<()> {
        let path = self.path(key)?;
        file.file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()?;
        fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        fs::rename(file.path, path)
    }
}

struct OpenFile {
    file: File,
    bytes: u64,
}

impl Ranges for OpenFile {
    fn size(&self) -> u64 {
        self.bytes
    }

    #[cfg(unix)]
    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let mut buffer = buffer(offset, length, self.bytes)?;
        std::os::unix::fs::FileExt::read_exact_at(&self.file, &mut buffer, offset)?;
        Ok(buffer.into())
    }

    #[cfg(not(unix))]
    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        use std::io::{Seek, SeekFrom};
        let mut buffer = buffer(offset, length, self.bytes)?;
        let mut file = &self.file;
        // Threads share the file's place on such systems.
        static PLACE: Mutex<()> = Mutex::new(());
        let _held = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut buffer)?;
        Ok(buffer.into())
    }
}

/// Room for a range, after a look at whether the file has it: no length is believed that a damaged
/// file states.
fn buffer(offset: u64, length: usize, size: u64) -> io::Result<Vec<u8>> {
    match offset.checked_add(length as u64) {
        Some(end) if end <= size => Ok(vec![0; length]),
        _ => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("{length} bytes at {offset} of {size}"),
        )),
    }
}

/// Files in memory: small windows, and tests.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<String, Bytes>>);

impl Memory {
    fn files(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All files by key.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, Bytes> {
        self.files().clone()
    }

    /// Puts a file in the place of whatever is there.
    pub fn put(&self, key: impl Into<String>, bytes: impl Into<Bytes>) {
        self.files().insert(key.into(), bytes.into());
    }

    /// Takes a file away.
    pub fn remove(&self, key: &str) -> Option<Bytes> {
        self.files().remove(key)
    }
}

impl From<BTreeMap<String, Bytes>> for Memory {
    fn from(files: BTreeMap<String, Bytes>) -> Self {
        Self(Mutex::new(files))
    }
}

impl Source for Memory {
    fn list(&self, prefix: &str) -> io::Result<Vec<Entry>> {
        let entry = |(key, bytes): (&String, &Bytes)| Entry {
            key: key.clone(),
            bytes: bytes.len() as u64,
        };
        let files = self.files();
        let from = files.range(prefix.to_owned()..);
        Ok(from
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(entry)
            .collect())
    }

    fn open(&self, key: &str) -> io::Result<Arc<dyn Ranges>> {
        let bytes = self.files().get(key).cloned();
        let bytes = bytes.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))?;
        Ok(Arc::new(bytes))
    }
}

impl Sink for Memory {
    type File = Vec<u8>;

    fn create(&self) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn close(&self, key: &str, file: Vec<u8>) -> io::Result<()> {
        self.put(key, file);
        Ok(())
    }
}

impl Ranges for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let range = usize::try_from(offset)
            .ok()
            .and_then(|from| Some(from..from.checked_add(length)?))
            .filter(|range| range.end <= self.len());
        let range = range.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(self.slice(range))
    }
}

/// Ranges as Parquet reads them.
#[derive(Clone)]
pub(crate) struct Chunks(pub(crate) Arc<dyn Ranges>);

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.size()
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<ReadFrom>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let ranges = Arc::clone(&self.0);
        Ok(BufReader::with_capacity(
            64 * 1024,
            ReadFrom { ranges, at: start },
        ))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.0
            .read(start, length)
            .map_err(|e| ParquetError::External(Box::new(e)))
    }
}

/// Reads on from a place.
pub(crate) struct ReadFrom {
    ranges: Arc<dyn Ranges>,
    at: u64,
}

impl Read for ReadFrom {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.ranges.size().saturating_sub(self.at);
        let length = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let bytes = self.ranges.read(self.at, length)?;
        buffer[..length].copy_from_slice(&bytes);
        self.at += length as u64;
        Ok(length)
    }
}

/// Calls `each` with a file's bytes, in pieces and in order.
pub(crate) fn stream(
    file: &dyn Ranges,
    mut each: impl FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    const PIECE_BYTES: u64 = 1024 * 1024;
    let (mut at, size) = (0, file.size());
    while at < size {
        let length = PIECE_BYTES.min(size - at);
        // At most a mebibyte: it fits.
        each(&file.read(at, usize::try_from(length).unwrap_or(0))?)?;
        at += length;
    }
    Ok(())
}
