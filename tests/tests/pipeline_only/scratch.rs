//! The scratch disk: what a window takes of it, what becomes of a window that wants too much, and what is left.

use super::ends_within;
use super::sealing::{HOLD_SECONDS, School};
use serde_json::json;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tempfile::TempDir;
use vernier_reconcile::scratch::{SCRATCH_BYTES_MAX, ScratchDisk};
use vernier_tests::envelopes::{bytes, event, events};

const MIB: u64 = 1024 * 1024;

/// Letters of which no compression makes less than three quarters.
fn noise(seed: u64, length: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(LETTERS[(state >> 58) as usize])
    };
    (0..length).map(|_| letter()).collect()
}

impl School {
    /// Gives the school's process a disk of its own, of so many bytes.
    fn on_disk(&mut self, bytes_max: u64) -> TempDir {
        let root = tempfile::tempdir().expect("a temporary directory");
        self.process.workshop.scratch = ScratchDisk::new(root.path().to_owned(), bytes_max);
        root
    }

    /// Sends envelopes of one event each that is too large for a frame.
    async fn post_large(&self, count: u64, text_bytes: usize) {
        for seed in 0..count {
            let mut large = event();
            large["extensions"] = json!({ "text": noise(seed + 1, text_bytes) });
            self.post_bytes(&bytes(&[large])).await;
        }
    }
}

fn names(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root).expect("there");
    let names = entries.map(|entry| entry.expect("reads").file_name());
    names.map(|n| n.to_string_lossy().into_owned()).collect()
}

/// A tenth of 700 events of 16 MB within 1 GB: 1.1 GB of 1.1 MB each would be 1,000 of them, so that these are as many as
/// make over twice what the disk takes, which knows nothing of their number.
#[tokio::test]
async fn oversize_events_are_never_on_the_disk_all_at_once() {
    let (count, text_bytes) = (96, 2_000_000);
    let mut school = School::new().await;
    let root = school.on_disk(90 * MIB);
    school.post_large(count, text_bytes).await;
    school.deliver().await;
    assert_eq!(school.bucket.keys("oversize/").len() as u64, count);
    school.pass(120);
    assert_eq!(school.seal().await.sealed, 1);
    school.assert_sealed([count, 0, 0, 0]);
    let parts = school.bucket.keys("archive/").len() as u64;
    assert_eq!(parts, (count * text_bytes as u64).div_ceil(68 * MIB));
    let bytes = school.process.workshop.scratch.bytes();
    assert!(bytes.peak_bytes() < 90 * MIB, "{}", bytes.peak_bytes());
    assert!(
        bytes.peak_bytes() > 40 * MIB,
        "a part was counted on its way"
    );
    assert_eq!(bytes.taken_bytes(), 0);
    assert_eq!(names(root.path()), [""; 0]);
}

/// The window that wants too much is held and announced while the others are sealed. No hold that is over has it sealed
/// without what is there: it is whole when there is room.
#[tokio::test]
async fn a_full_disk_is_trouble_of_that_window_alone() {
    let mut school = School::new().await;
    let _small = school.on_disk(MIB);
    school.post_large(1, 2_000_000).await;
    school.pass(60);
    school.post(&events(2)).await;
    school.deliver().await;
    school.pass(120);
    let turn = school.turn().await;
    assert_eq!((turn.sealed.held, turn.sealed.sealed), (1, 1), "{turn:?}");
    let notices = school.topic.notices();
    let told = notices
        .iter()
        .any(|(_, body)| body.contains("the scratch disk is full"));
    assert!(told, "{notices:?}");
    let bytes = school.process.workshop.scratch.bytes();
    assert_eq!(bytes.taken_bytes(), 0, "a window that failed takes nothing");
    school.pass(HOLD_SECONDS);
    assert_eq!(school.seal().await.short, 0);
    school.assert_sealed([2, 0, 0, 0]);
    let _large = school.on_disk(SCRATCH_BYTES_MAX);
    school.pass(HOLD_SECONDS);
    school.seal().await;
    school.assert_sealed([3, 0, 0, 0]);
}

/// Wherever a run ends, its folder goes: by itself, or at the beginning of the next.
#[tokio::test]
async fn nothing_of_a_killed_run_is_left_for_the_next() {
    let mut school = School::new().await;
    let root = school.on_disk(SCRATCH_BYTES_MAX);
    school.post_large(3, 1_500_000).await;
    school.deliver().await;
    school.pass(120);
    let mut dropped = 0;
    for polls in (1..).step_by(3) {
        let sealed = {
            school.faults.interleave(1);
            let mut turn = pin!(school.turn_with(&school.process));
            ends_within(turn.as_mut(), polls)
        };
        if sealed {
            break;
        }
        dropped += 1;
    }
    assert!(dropped > 3, "{dropped}");
    for _ in 0..200 {
        if names(root.path()).is_empty() {
            break;
        }
        // Threads of dropped runs learn that nobody answers.
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(names(root.path()), [""; 0]);
    // A process that was killed has run nothing at its end.
    let killed = root.path().join("vernier-scratch-killed");
    std::fs::create_dir(&killed).expect("made");
    std::fs::write(killed.join("rows-000000.run"), [0; 100]).expect("room");
    std::fs::write(root.path().join("vernier-scratch-killed.lock"), []).expect("room");
    school.faults.clear();
    school.turn().await;
    assert_eq!(names(root.path()), [""; 0]);
    school.assert_sealed([3, 0, 0, 0]);
}

/// What is gone is known before anything is written.
#[tokio::test]
async fn a_window_whose_oversize_event_is_gone_is_held_and_writes_nothing() {
    let school = School::new().await;
    school.post_large(2, 1_200_000).await;
    school.deliver().await;
    let key = school.bucket.keys("oversize/").remove(1);
    let bytes = school.bucket.raw(&key).expect("listed");
    school.pass(120);
    for damaged in [
        None,
        Some(&bytes[1..]),
        Some(&[&bytes[..], b" "].concat()[..]),
    ] {
        match damaged {
            None => school.bucket.lose(&key),
            Some(other) => school.bucket.place(&key, other.to_vec()),
        }
        let turn = school.turn().await;
        assert_eq!((turn.sealed.held, turn.sealed.sealed), (1, 0), "{turn:?}");
        assert_eq!(school.bucket.keys("archive/"), [""; 0]);
        school.pass(HOLD_SECONDS / 4);
    }
    let notices = school.topic.notices();
    assert!(
        notices.iter().any(|(_, body)| body.contains(&key)),
        "{notices:?}"
    );
    school.bucket.place(&key, bytes);
    school.pass(HOLD_SECONDS);
    school.seal().await;
    school.assert_sealed([2, 0, 0, 0]);
}
