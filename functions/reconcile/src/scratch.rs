//! What a run keeps on the scratch disk, and nothing of it for the next one.
//!
//! A function that ends by time-out or without memory keeps its disk for the next invocation in the same place. So each run
//! has a folder of its own, with a file beside it that is locked for as long as the run's process lives: whoever
//! comes next removes the folders whose locks nobody holds. Processes that share a disk, as on one's own machine, do
//! each other no harm.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use vernier_archive::scratch::Scratch;

/// How the names of folders and of the locks beside them begin.
const PREFIX: &str = "vernier-scratch-";

/// How a lock's name ends; its folder's is the same without it.
const LOCK: &str = ".lock";

/// What is left of the function's disk (`ReconcileStorageMib`) for what is not counted, bytes: the evidence of a
/// million receipts is 40 MB, and lists of files are at most 4 MB each.
pub const SCRATCH_RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// The template's usual disk (`ReconcileStorageMib`, the function's EphemeralStorage), MiB.
pub const DISK_MIB: u64 = 1_024;

/// What a run may take of a disk of the usual size: 960 MiB. A window without events that were too large for their
/// frames takes about 400 bytes an event, so that two million fit; the others' parts are at most 80 MiB each, and two
/// of them are under way.
pub const SCRATCH_BYTES_MAX: u64 = scratch_bytes_max(DISK_MIB);

/// What a run may take of a disk of some MiB, bytes.
#[must_use]
pub const fn scratch_bytes_max(disk_mib: u64) -> u64 {
    (disk_mib * 1024 * 1024).saturating_sub(SCRATCH_RESERVE_BYTES)
}

/// The scratch disk of a process.
#[derive(Debug)]
pub struct ScratchDisk {
    root: PathBuf,
    bytes: Scratch,
}

impl ScratchDisk {
    /// A folder of the machine's, of which files may take so many bytes at a time.
    #[must_use]
    pub fn new(root: PathBuf, bytes_max: u64) -> Self {
        Self {
            root,
            bytes: Scratch::of(bytes_max),
        }
    }

    /// How much of it is taken, and how much may be.
    #[must_use]
    pub const fn bytes(&self) -> &Scratch {
        &self.bytes
    }

    /// A folder for one piece of work, which goes when it is dropped, or with the process and the next [`Self::clear`].
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn folder(&self) -> io::Result<ScratchFolder> {
        loop {
            let lock = tempfile::Builder::new()
                .prefix(PREFIX)
                .suffix(LOCK)
                .tempfile_in(&self.root)?;
            match lock.as_file().try_lock() {
                // Whoever cleared in between may have removed it.
                Ok(()) if lock.path().exists() => {}
                Ok(()) | Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let folder = folder_of(lock.path());
            fs::create_dir(&folder)?;
            return Ok(ScratchFolder {
                folder,
                _lock: lock,
            });
        }
    }

    /// Removes what killed runs left; answers how many folders these were.
    ///
    /// # Errors
    /// When the disk cannot be read, or something on it not be removed.
    pub fn clear(&self) -> io::Result<u32> {
        let mut cleared = 0;
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if !name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(LOCK)) {
                continue;
            }
            // Another process may have removed it, or made it as somebody else.
            let Ok(lock) = File::open(&path) else {
                continue;
            };
            if lock.try_lock().is_err() {
                continue;
            }
            match fs::remove_dir_all(folder_of(&path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::remove_file(&path)?;
            cleared += 1;
        }
        Ok(cleared)
    }
}

fn folder_of(lock: &Path) -> PathBuf {
    lock.with_extension("")
}

/// A folder of one piece of work.
#[derive(Debug)]
pub struct ScratchFolder {
    folder: PathBuf,
    /// Goes after the folder.
    _lock: NamedTempFile,
}

impl ScratchFolder {
    /// The folder, which is there until this is dropped.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            // The next run does it.
            tracing::warn!(%error, "scratch folder not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &Path) -> usize {
        fs::read_dir(root).expect("there").count()
    }

    #[test]
    fn what_a_killed_run_left_goes_and_what_a_living_one_has_stays() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let disk = ScratchDisk::new(root.path().to_owned(), SCRATCH_BYTES_MAX);
        let living = disk.folder().expect("made");
        fs::write(living.path().join("run"), [0; 10]).expect("room");
        // A killed process holds no lock any more; its destructors have not run.
        let killed = root.path().join(format!("{PREFIX}killed"));
        fs::create_dir(&killed).expect("made");
        fs::write(killed.join("run"), [0; 10]).expect("room");
        fs::write(root.path().join(format!("{PREFIX}killed{LOCK}")), []).expect("room");
        fs::write(root.path().join("somebody else's"), []).expect("room");
        assert_eq!(disk.clear().expect("cleared"), 1);
        assert!(!killed.exists() && living.path().join("run").exists());
        assert_eq!(disk.clear().expect("cleared"), 0);
        drop(living);
        assert_eq!(names(root.path()), 1, "somebody else's stays");
    }

    #[test]
    fn the_usual_disk_has_room_beside_the_bound() {
        assert_eq!(SCRATCH_BYTES_MAX, 960 * 1024 * 1024);
        assert_eq!(scratch_bytes_max(32), 0);
    }
}
