//! An archive in a bucket, read by ranges as if it lay in a folder.
//!
//! The check is threads that wait; the store is reached by one more thread that waits for all of them
//! at once. A file is read from its beginning, some pieces ahead, and spooled: the check goes over it
//! twice, and it comes through the network once.

use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::SpooledTempFile;
use vernier_archive::files::{Entry, Ranges, Source};
use vernier_ledger::ports::{Inventory, ListedObject, Objects, PortError};
use vernier_ledger::retry::retry;

/// What one request reads, bytes: one that takes longer than 6 s is tried again, so that the slowest
/// line this works on is 16 of them in 6 s, 3 MB/s.
const PIECE_BYTES: u64 = 1024 * 1024;

/// Pieces of a file that are on their way at a time: what a thread holds in memory.
const PIECES_AHEAD: usize = 4;

/// Requests on their way at a time, of all threads.
const REQUESTS_IN_FLIGHT_MAX: usize = 16;

/// How long a request is tried again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file of at most this size stays in memory; a larger one goes to the temporary folder.
const HELD_BYTES_MAX: usize = 1024 * 1024;

type Answer<T> = Result<T, PortError>;

/// What is wanted of the store.
enum Wanted {
    Piece {
        key: String,
        range: (u64, u64),
        to: Sender<Answer<Option<Vec<u8>>>>,
    },
    Page {
        prefix: String,
        after: Option<String>,
        to: Sender<Answer<Vec<ListedObject>>>,
    },
}

/// Files below a prefix of a bucket.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    /// Empty, or with a slash at its end.
    prefix: String,
    wanted: UnboundedSender<Wanted>,
    /// Sizes of what was listed: a file is what it was then.
    sizes: Arc<Mutex<BTreeMap<String, u64>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remote {
    /// Begins the thread that talks to the store which `connect` makes. It ends with the last clone.
    ///
    /// # Errors
    /// When there can be no such thread.
    pub(crate) fn begin<O, F>(
        prefix: &str,
        connect: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<Self>
    where
        O: Objects + Inventory,
        F: Future<Output = O>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (wanted, jobs) = unbounded();
        std::thread::Builder::new()
            .name("bucket".to_owned())
            .spawn(move || runtime.block_on(async { serve(&connect().await, jobs).await }))?;
        let prefix = prefix.trim_matches('/');
        Ok(Self {
            prefix: match prefix {
                "" => String::new(),
                some => format!("{some}/"),
            },
            wanted,
            sizes: Arc::default(),
        })
    }

    fn ask<T>(&self, wanted: impl FnOnce(Sender<Answer<T>>) -> Wanted) -> Receiver<Answer<T>> {
        let (to, answer) = channel();
        // Where nobody serves any more the answer never comes, and its receiver says so.
        let _ = self.wanted.unbounded_send(wanted(to));
        answer
    }
}

async fn serve(objects: &(impl Objects + Inventory), jobs: UnboundedReceiver<Wanted>) {
    jobs.for_each_concurrent(REQUESTS_IN_FLIGHT_MAX, async |wanted| match wanted {
        Wanted::Piece { key, range, to } => {
            let get = async || whole(objects.get(&key, Some(range)).await, range.1);
            // Nobody waits for what a check that ended has asked for.
            let _ = to.send(retry(PATIENCE, get).await);
        }
        Wanted::Page { prefix, after, to } => {
            let page = async || objects.listed(&prefix, after.as_deref()).await;
            let _ = to.send(retry(PATIENCE, page).await);
        }
    })
    .await;
}

/// A piece that came short is asked for again: the line may have been cut.
fn whole(answer: Answer<Option<Vec<u8>>>, length: u64) -> Answer<Option<Vec<u8>>> {
    match answer {
        Ok(Some(bytes)) if bytes.len() as u64 != length => {
            let what = format!("{} bytes came of {length}", bytes.len());
            Err(PortError::Retryable(what))
        }
        answer => answer,
    }
}

fn wait<T>(key: &str, answer: &Receiver<Answer<T>>) -> io::Result<T> {
    let answer = answer.recv().map_err(io::Error::other)?;
    answer.map_err(|error| io::Error::other(format!("{key}: {error}")))
}

impl Source for Remote {
    fn list(&self, prefix: &str) -> io::Result<Vec<Entry>> {
        let full = format!("{}{prefix}", self.prefix);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.ask(|to| Wanted::Page {
                prefix: full.clone(),
                after: after.clone(),
                to,
            });
            let page = wait(&full, &page)?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            let own = page.into_iter().filter_map(|object| {
                let key = object.key.strip_prefix(&self.prefix)?.to_owned();
                let bytes = object.bytes;
                // What a console makes to show a folder is no file.
                (!key.ends_with('/')).then_some(Entry { key, bytes })
            });
            found.extend(own);
        }
        found.sort();
        let sizes = found.iter().map(|entry| (entry.key.clone(), entry.bytes));
        lock(&self.sizes).extend(sizes);
        Ok(found)
    }

    fn open(&self, key: &str) -> io::Result<Arc<dyn Ranges>> {
        let known = lock(&self.sizes).get(key).copied();
        let size = match known {
            Some(size) => size,
            None => {
                let listed = self.list(key)?;
                let entry = listed.into_iter().find(|entry| entry.key == key);
                entry.ok_or(io::ErrorKind::NotFound)?.bytes
            }
        };
        Ok(Arc::new(RemoteFile {
            from: self.clone(),
            key: format!("{}{key}", self.prefix),
            size,
            spool: Mutex::new(Spool {
                file: SpooledTempFile::new(HELD_BYTES_MAX),
                held: 0,
                asked: 0,
                coming: VecDeque::new(),
            }),
        }))
    }
}

struct RemoteFile {
    from: Remote,
    key: String,
    size: u64,
    spool: Mutex<Spool>,
}

/// What of a file is here: its beginning.
struct Spool {
    file: SpooledTempFile,
    held: u64,
    asked: u64,
    coming: VecDeque<Receiver<Answer<Option<Vec<u8>>>>>,
}

impl RemoteFile {
    /// Takes the next piece, with others on their way behind it.
    fn advance(&self, spool: &mut Spool) -> io::Result<()> {
        while spool.coming.len() < PIECES_AHEAD && spool.asked < self.size {
            let range = (spool.asked, PIECE_BYTES.min(self.size - spool.asked));
            spool.coming.push_back(self.from.ask(|to| Wanted::Piece {
                key: self.key.clone(),
                range,
                to,
            }));
            spool.asked += range.1;
        }
        let piece = spool
            .coming
            .pop_front()
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let bytes = wait(&self.key, &piece)?.ok_or_else(|| {
            let what = format!("{}: is gone since it was listed", self.key);
            io::Error::new(io::ErrorKind::NotFound, what)
        })?;
        spool.file.seek(SeekFrom::Start(spool.held))?;
        spool.file.write_all(&bytes)?;
        spool.held += bytes.len() as u64;
        Ok(())
    }
}

impl Ranges for RemoteFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<bytes::Bytes> {
        let end = offset.checked_add(length as u64);
        let end = end.filter(|end| *end <= self.size);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut spool = lock(&self.spool);
        while spool.held < end {
            self.advance(&mut spool)?;
        }
        let mut buffer = vec![0; length];
        spool.file.seek(SeekFrom::Start(offset))?;
        spool.file.read_exact(&mut buffer)?;
        Ok(buffer.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::atomic::{AtomicU64, Ordering};
    use vernier_archive::files::Directory;
    use vernier_archive::keys::PublicKey;
    use vernier_archive::verify::{Options, Report, verify};
    use vernier_fakes::{Fault, Faults, MemoryBucket, Operation};
    use vernier_ledger::ports::PutOutcome;

    /// A bucket that cuts the pieces with some numbers short.
    #[derive(Debug, Clone)]
    struct Cut {
        bucket: MemoryBucket,
        pieces: Arc<AtomicU64>,
        short: fn(u64) -> bool,
    }

    impl Objects for Cut {
        async fn put_new(
            &self,
            key: &str,
            bytes: Vec<u8>,
            note: Option<&str>,
        ) -> Result<PutOutcome, PortError> {
            self.bucket.put_new(key, bytes, note).await
        }

        async fn get(
            &self,
            key: &str,
            range: Option<(u64, u64)>,
        ) -> Result<Option<Vec<u8>>, PortError> {
            let mut found = self.bucket.get(key, range).await?;
            let number = self.pieces.fetch_add(1, Ordering::Relaxed);
            if let Some(bytes) = found.as_mut().filter(|_| (self.short)(number)) {
                bytes.pop();
            }
            Ok(found)
        }
    }

    impl Inventory for Cut {
        async fn listed(
            &self,
            prefix: &str,
            after: Option<&str>,
        ) -> Result<Vec<ListedObject>, PortError> {
            self.bucket.listed(prefix, after).await
        }
    }

    fn golden() -> Directory {
        let folder = "../shared/archive/tests/golden/v2";
        Directory::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
    }

    /// The golden archive below a prefix, and something else beside it.
    fn bucket(faults: &Faults, prefix: &str) -> MemoryBucket {
        let bucket = MemoryBucket::new(faults.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            for entry in golden().list("").expect("a folder") {
                let bytes = golden().read(&entry.key, 1 << 20).expect("there");
                let key = format!("{prefix}{}", entry.key);
                let put = bucket.put_new(&key, bytes.to_vec(), None).await;
                assert_eq!(put, Ok(PutOutcome::Created));
            }
            let other = bucket.put_new("archive/tenant=other/x.parquet", vec![0], None);
            other.await.expect("stored");
        });
        bucket
    }

    fn remote<O: Objects + Inventory + Send + 'static>(prefix: &str, objects: O) -> Remote {
        Remote::begin(prefix, async || objects).expect("a thread")
    }

    fn check(remote: &Remote) -> Result<Report, vernier_archive::Fault> {
        let pem = golden().read("key.pem", 1 << 20).expect("there");
        let keys = [PublicKey::read(&pem).expect("a key")];
        let options = Options {
            all: true,
            threads: 3,
            ..Options::default()
        };
        verify(remote, &keys, &options, &|_| {})
    }

    #[test]
    fn an_archive_below_a_prefix_is_checked_as_in_a_folder() {
        let objects = bucket(&Faults::default(), "copies/1/");
        for prefix in ["copies/1", "/copies/1/"] {
            let report = check(&remote(prefix, objects.clone())).expect("reads");
            assert_eq!((report.findings, report.rows), (vec![], 6));
        }
        let elsewhere = check(&remote("copies", objects)).expect("reads");
        assert_eq!(elsewhere.findings.len(), 1, "no seals");
    }

    /// Whichever call fails, before its effect or after it, is made again.
    #[test]
    fn a_request_that_fails_is_made_again() {
        let faults = Faults::default();
        let objects = bucket(&faults, "");
        objects.lose("archive/tenant=other/x.parquet");
        for fault in [Fault::Before, Fault::After] {
            faults.plan(move |op, n| (op == Operation::Read && n % 2 == 0).then_some(fault));
            let report = check(&remote("", objects.clone())).expect("reads");
            assert_eq!((report.findings, report.rows), (vec![], 6));
            assert!(faults.calls(Operation::Read) > 20);
        }
        faults.plan(|_, _| Some(Fault::Denied));
        assert!(check(&remote("", objects)).is_err(), "denied");
    }

    #[test]
    fn a_piece_that_came_short_is_asked_for_again() {
        let objects = Cut {
            bucket: bucket(&Faults::default(), "a/"),
            pieces: Arc::default(),
            short: |number| number % 3 == 0,
        };
        let pieces = Arc::clone(&objects.pieces);
        let report = check(&remote("a", objects)).expect("reads");
        assert_eq!((report.findings, report.rows), (vec![], 6));
        assert!(pieces.load(Ordering::Relaxed) > 8, "six files, some twice");
    }

    #[test]
    fn what_is_gone_since_it_was_listed_cannot_be_read() {
        let objects = bucket(&Faults::default(), "");
        let remote = remote("", objects.clone());
        let listed = remote.list("days/").expect("lists");
        let size = listed[0].bytes;
        objects.lose(&listed[0].key);
        let file = remote.open(&listed[0].key).expect("it was there");
        assert_eq!(file.size(), size);
        let gone = file.read(0, 10).expect_err("gone").to_string();
        assert!(gone.contains(&listed[0].key), "{gone}");
        assert!(remote.open("days/none").is_err());
        assert!(file.read(size, 1).is_err(), "behind the end");
    }

    /// Pieces come in order whatever is read first, and a large file is not held in memory.
    #[test]
    fn a_file_of_many_pieces_is_read_once_and_from_anywhere() {
        let faults = Faults::default();
        let objects = MemoryBucket::new(faults.clone());
        let whole: Vec<u8> = (0..7_500_000_u32)
            .map(|n| (n % 251).to_le_bytes()[0])
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let put = objects.put_new("large", whole.clone(), None);
        let put = runtime.expect("a runtime").block_on(put);
        assert_eq!(put, Ok(PutOutcome::Created));
        let before = faults.calls(Operation::Read);
        let remote = remote("", objects);
        let file = remote.open("large").expect("there");
        for (offset, length) in [
            (0, 10),
            (3_000_000, 1_000_000),
            (7_499_990, 10),
            (5, 2_000_000),
        ] {
            let found = file.read(offset as u64, length).expect("reads");
            assert!(found[..] == whole[offset..offset + length], "{offset}");
        }
        assert_eq!(
            faults.calls(Operation::Read) - before,
            8 + 2,
            "pieces and pages"
        );
    }
}
