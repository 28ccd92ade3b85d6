//! Records of the stream that are no frames, kept raw with the reason (invariant 5).

use crate::frame::FrameError;
use crate::ids::{Sequence, Shard};
use crate::ports::{Objects, PortError};
use crate::time::Millis;

/// Characters of a reason that are kept beside the record.
const NOTE_CHARACTERS_MAX: usize = 512;

/// The prefix of such records, by the day on which they were first kept.
pub const FRAMES_PREFIX: &str = "quarantine/frames/";

/// Keeps a record of a shard as it came. A retry finds its own object, or leaves another one under the next day's date:
/// both are raw.
///
/// # Errors
/// Whatever error the bucket gives.
pub async fn keep_record<O: Objects>(
    objects: &O,
    shard: &Shard,
    sequence: &Sequence,
    data: &[u8],
    error: &FrameError,
    now: Millis,
) -> Result<(), PortError> {
    let (date, _) = now.date_and_hour();
    let sequence = sequence.padded();
    let key = format!(
        "quarantine/frames/dt={date}/{}/{}/{sequence}",
        shard.stream, shard.id
    );
    let reason = error.to_string();
    let note: String = reason
        .chars()
        .filter(char::is_ascii)
        .take(NOTE_CHARACTERS_MAX)
        .collect();
    objects.put_new(&key, data.to_vec(), Some(&note)).await?;
    let reason = reason_of(error);
    tracing::warn!(shard = shard.id, sequence, reason, "record quarantined");
    Ok(())
}

/// The reason without quoting the record.
const fn reason_of(error: &FrameError) -> &'static str {
    match error {
        FrameError::Unrecognised => "unrecognised",
        FrameError::Compression(_) => "compression",
        FrameError::TooLarge => "too large",
        FrameError::Header(_) => "header",
        FrameError::NewerVersion(_) => "newer version",
        FrameError::Line { .. } => "line",
        FrameError::Tally(_) => "tally",
    }
}
