//! A window's rows on their way into the bucket.
//!
//! Parquet is written by threads that wait for no store. They ask for each event that was too large for its frame when
//! its row group is encoded, and hand over each part as soon as it is whole, so that the disk never holds more than the
//! parts under way, whatever the window holds.

use super::Trouble;
use crate::scratch::ScratchFolder;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use vernier_archive::Fault;
use vernier_archive::files::Sink;
use vernier_archive::previous::LookedUp;
use vernier_archive::scratch::{Scratch, ScratchFile};
use vernier_archive::share::ShareWritten;
use vernier_archive::window::{Oversize, WindowBuilder};
use vernier_ledger::line::EventRef;
use vernier_ledger::ports::{Objects, PortError};

/// What a writing thread wants of the bucket; it waits for the answer.
enum Ask {
    /// An event that was too large for its frame.
    Event(EventRef, SyncSender<Vec<u8>>),
    /// That a whole file goes under its key, and from the disk.
    Part(String, PathBuf, SyncSender<()>),
}

/// The writing threads' end. Where nobody answers any more, the run has ended or failed.
struct Wire {
    asks: SyncSender<Ask>,
    folder: Arc<ScratchFolder>,
    bytes: Scratch,
    files: AtomicU64,
}

fn ended<E>(_: E) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the run has ended")
}

impl Oversize for Wire {
    fn fetch(&self, reference: &EventRef) -> io::Result<Vec<u8>> {
        let (answer, answered) = sync_channel(1);
        let ask = Ask::Event(reference.clone(), answer);
        self.asks.send(ask).map_err(ended)?;
        answered.recv().map_err(ended)
    }
}

/// A part under way.
struct PartFile {
    path: PathBuf,
    file: BufWriter<ScratchFile>,
}

impl Write for PartFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for Wire {
    type File = PartFile;

    fn create(&self) -> io::Result<PartFile> {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.path().join(format!("part-{number}"));
        let file = ScratchFile::new(File::create_new(&path)?, &self.bytes);
        let file = BufWriter::new(file);
        Ok(PartFile { path, file })
    }

    fn close(&self, key: &str, file: PartFile) -> io::Result<()> {
        let PartFile { path, file } = file;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        // What it takes is given back when it is gone.
        let _claim = file.into_claim();
        let (answer, answered) = sync_channel(1);
        let ask = Ask::Part(key.to_owned(), path, answer);
        self.asks.send(ask).map_err(ended)?;
        answered.recv().map_err(ended)
    }
}

/// Writes what a builder holds into the bucket. Parts lie there before the rest is written: whoever fails or is
/// killed in between leaves parts that no seal names.
///
/// # Errors
/// The store's; held when an oversize event is gone or another one, or the disk is full.
pub(super) async fn write_share<O: Objects>(
    objects: &O,
    builder: WindowBuilder,
    found: LookedUp,
    folder: Arc<ScratchFolder>,
    bytes: &Scratch,
) -> Result<ShareWritten, Trouble> {
    let (asks, asked) = sync_channel(0);
    let wire = Wire {
        asks,
        folder,
        bytes: bytes.clone(),
        files: AtomicU64::new(0),
    };
    let writing = move || builder.finish_share(&found, &wire, &wire);
    let thread = std::thread::Builder::new()
        .name("vernier-seal".to_owned())
        .spawn(writing)
        .map_err(Fault::Io)?;
    let served = serve(objects, asked).await;
    let written = thread.join();
    // Whatever the threads say follows from it.
    served?;
    match written {
        Ok(written) => Ok(written?),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Answers until nobody asks any more. It waits for the threads as it would wait for its own work: nothing else runs
/// beside it meanwhile, and of one thread's questions the order does not depend on chance.
async fn serve<O: Objects>(objects: &O, asked: Receiver<Ask>) -> Result<(), Trouble> {
    while let Ok(ask) = asked.recv() {
        match ask {
            Ask::Event(reference, answer) => {
                let event = objects.get(&reference.key, None).await?;
                let event = event.filter(|event| event.len() as u64 == reference.bytes);
                let event = event.ok_or_else(|| Trouble::Held(not_there(&reference)))?;
                // Whoever asked and has ended does not need it.
                let _ = answer.send(event);
            }
            Ask::Part(key, path, answer) => {
                let part = fs::read(&path).map_err(Fault::Io)?;
                objects.put_new(&key, part, None).await?;
                fs::remove_file(&path).map_err(Fault::Io)?;
                let _ = answer.send(());
            }
        }
    }
    Ok(())
}

/// Whether an oversize event is there and as large as its line says, by its last byte.
pub(super) async fn is_there<O: Objects>(
    objects: &O,
    reference: &EventRef,
) -> Result<bool, PortError> {
    // One byte more than there should be.
    let end = Some((reference.bytes.saturating_sub(1), 2));
    let end = objects.get(&reference.key, end).await?;
    Ok(end.is_some_and(|end| end.len() == 1))
}

/// Says so of one that is not.
pub(super) fn not_there(reference: &EventRef) -> String {
    let key = &reference.key;
    format!("oversize event {key} is gone, or not as large as its line says")
}
