//! Bringing back frames that the trigger gave up, without storing any of them twice (invariant 4).
//!
//! A frame may be sent again only when no segment holds it and none ever will. Three steps make
//! that certain, in this order and each durable before the next:
//!
//! 1. [`fence`] moves the shard's cursor behind the records that the trigger gave up, so that no
//!    late try can commit them any more;
//! 2. each frame is claimed for its own record, so that no copy of it can be claimed at the same
//!    attempt from here on;
//! 3. whose the claim is, where that record's shard stands, and which records are committed is read
//!    ([`standing`]); a frame that is lost goes onto the stream with a higher attempt ([`raised`]).
//!
//! [`Recovery::bring_back`] is all three for one batch. Of what is older than receipts are kept, the seals are asked first.
//!
//! What was sent again may be lost again, and its window may be sealed short meanwhile, so that nobody waits for it. The
//! list of the shard where it lies now gets an entry that has it looked for.

mod standing;

pub use standing::{Standing, fence, raised, standing};

use crate::frame::{self, Frame, FrameError, FrameHeader};
use crate::given_up::{BROUGHT_BACK_MAX, GivenUpSlice, GivenUpSlices as _};
use crate::ids::{ReceiptId, Sequence, Shard, TenantId};
use crate::limits::CLAIMS_IN_FLIGHT_MAX;
use crate::ports::{FrameStream as _, NewRecord, Objects as _, PortError, PutOutcome, Receipts};
use crate::quarantine::keep_record;
use crate::receipt::{Claim, ClaimOutcome, ClaimRequest, Origin};
use crate::retry::Backoff;
use crate::stores::{IntakeStores, Stores};
use crate::time::{Millis, Window};
use crate::work::{Cause, Nonce, Owner, WorkEntry, WorkKey, WorkLists as _};
use futures::stream::{self, StreamExt, TryStreamExt};
use standing::Reached;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// For how long a record that the stream refuses is appended again, seconds.
pub const APPEND_SECONDS: u64 = 20;

/// Received-at that an entry for frames that were sent again spans, minutes.
const LOOKED_FOR_MINUTES: u32 = 5;

/// How long after frames were sent again they are looked for, seconds: by then the trigger has come to most.
const LOOKED_FOR_AFTER_SECONDS: i64 = 15 * 60;

/// The key of the entry that has what is missing of a tenant and a span of received-at looked for on a shard.
#[must_use]
pub fn missing_key(tenant: &TenantId, span: Window) -> WorkKey {
    let Window { start, end } = span;
    let name = format!("{tenant}/{:015}-{:015}", start.0.max(0), end.0.max(0));
    WorkKey::of(Cause::Recover, name)
}

/// The tenant and the span of received-at that the subject of a [`missing_key`] names; none of another subject.
#[must_use]
pub fn missing_of(subject: &str) -> Option<(TenantId, Window)> {
    let (tenant, times) = subject.split_once('/')?;
    let (start, end) = times.split_once('-')?;
    let instant = |text: &str| text.parse().ok().map(Millis);
    let span = Window {
        start: instant(start)?,
        end: instant(end)?,
    };
    Some((tenant.parse().ok()?, span))
}

/// What became of a batch that was to be brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BroughtBack {
    /// Frames that a segment holds.
    pub stored: u64,
    /// Frames that another record may still bring.
    pub pending: u64,
    /// Frames that were put on the stream again.
    pub played_back: u64,
    /// Events in the frames that were put on the stream again.
    pub events_played_back: u64,
    /// Frames that were put on the stream as often as they may be, and are now kept raw in quarantine.
    pub given_up: u64,
    /// Records that are no frames, kept raw in quarantine.
    pub undecodable: u64,
}

/// What is known of a slice whose receipt may have expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remembered {
    /// The last seal of its window does not say that it is missing: it is stored.
    Sealed,
    /// No seal has its window yet.
    Unsealed,
    /// The last seal of its window lists it as missing.
    Missing,
}

/// Slices that receipts do not tell of any more. Frames are kept for longer than receipts are (on the
/// stream, where the trigger leaves failed batches, and in quarantine), and a claim that has expired keeps no copy out.
#[allow(async_fn_in_trait)]
pub trait Memory {
    /// What the seals say of a frame's slice.
    async fn remembered(&self, header: &FrameHeader) -> Result<Remembered, PortError>;
}

/// What brings frames back.
#[derive(Debug)]
pub struct Recovery<'a, S, M, C> {
    /// The stream, receipts, blocks and work lists.
    pub stores: &'a S,
    /// What the seals say of frames that are older than receipts are kept.
    pub memory: M,
    /// For how long receipts are kept, days.
    pub receipt_days: u32,
    /// What time it is at each call.
    pub clock: C,
    /// Makes the nonces of work entries.
    pub new_nonce: fn() -> Nonce,
}

impl<S: IntakeStores, M: Memory, C: Fn() -> Millis> Recovery<'_, S, M, C> {
    /// The time by the caller's clock.
    pub fn now(&self) -> Millis {
        (self.clock)()
    }

    /// Brings back a batch that the trigger gave up, in its order. A frame that no segment holds goes onto the stream
    /// again, and it does so at most [`BROUGHT_BACK_MAX`] times.
    /// The function may be called again with the same batch, also after it failed half-way or while it runs
    /// elsewhere: what is played back twice is claimed once.
    ///
    /// # Errors
    /// The store's first error, of the stream when it took none of a record for [`APPEND_SECONDS`].
    pub async fn bring_back(
        &self,
        shard: &Shard,
        batch: &[(Sequence, NewRecord)],
    ) -> Result<BroughtBack, PortError> {
        let stores = self.stores;
        // A day early: an item goes while it is looked at.
        let kept_seconds = (i64::from(self.receipt_days) - 1) * 86_400;
        let mut outcome = BroughtBack::default();
        let mut frames = Vec::new();
        for (sequence, record) in batch {
            match frame::decode(&record.data) {
                Ok(frame) => {
                    let received_at = frame.header.receipt.received_at();
                    if received_at.plus_seconds(kept_seconds) > self.now() {
                        frames.push((sequence, record, frame));
                        continue;
                    }
                    match self.memory.remembered(&frame.header).await? {
                        Remembered::Sealed => outcome.stored += 1,
                        Remembered::Unsealed => outcome.pending += 1,
                        Remembered::Missing => frames.push((sequence, record, frame)),
                    }
                }
                Err(error) => {
                    let objects = stores.objects();
                    keep_record(objects, shard, sequence, &record.data, &error, self.now()).await?;
                    outcome.undecodable += 1;
                }
            }
        }
        fence(stores.table(), shard, batch, self.now()).await?;
        let expires = self
            .now()
            .plus_seconds(i64::from(self.receipt_days) * 86_400);
        let claims = claims_of(stores.table(), shard, &frames, expires).await?;
        let received = frames.iter().map(|f| f.2.header.receipt.received_at());
        let since = received.min().unwrap_or_default();
        let mut reached = Reached::by(stores, claims.values(), since, &self.clock).await?;
        let (mut again, mut seen) = (Vec::new(), BTreeSet::new());
        for (_, record, frame) in frames {
            let key = slice_of(&frame);
            let Some(claim) = claims.get(&key).filter(|_| seen.insert(key)) else {
                continue;
            };
            match reached.standing(claim, &frame).await? {
                Standing::Stored => outcome.stored += 1,
                Standing::Pending => outcome.pending += 1,
                Standing::Lost { attempt } if attempt >= BROUGHT_BACK_MAX => {
                    outcome.given_up +=
                        u64::from(give_up(stores, &frame, record, self.now()).await?);
                }
                Standing::Lost { attempt } => {
                    outcome.played_back += 1;
                    outcome.events_played_back += frame.header.slice_tally.events;
                    again.push(SentAgain::over(attempt, frame, record)?);
                }
            }
        }
        self.send_again(&again, expires).await?;
        Ok(outcome)
    }

    /// Puts frames on the stream, what it refuses again, and claims each for where it lies now: so the next look
    /// knows that it is on its way, and that this attempt was made. A crash before the claim has the
    /// frame sent once more with the same attempt, of which one record is claimed. For the same reason the
    /// claim is the last thing that is written.
    async fn send_again(&self, again: &[SentAgain], expires: Millis) -> Result<(), PortError> {
        let stores = self.stores;
        let mut backoff = Backoff::within(Duration::from_secs(APPEND_SECONDS));
        let mut rest: Vec<&SentAgain> = again.iter().collect();
        while !rest.is_empty() {
            let records: Vec<NewRecord> = rest.iter().map(|sent| sent.record.clone()).collect();
            let answers = stores.stream().append(&records).await;
            let (mut placed, mut refused, mut failure) = (Vec::new(), Vec::new(), None);
            for (sent, answer) in rest.into_iter().zip(answers) {
                match answer {
                    Ok(origin) => placed.push((sent, origin)),
                    Err(error) if error.is_retryable() => {
                        refused.push(sent);
                        failure = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            self.have_looked_for(&placed).await?;
            stream::iter(&placed)
                .map(|(sent, origin)| {
                    let header = &sent.header;
                    stores.table().claim(ClaimRequest {
                        header,
                        origin,
                        expires,
                    })
                })
                .buffer_unordered(CLAIMS_IN_FLIGHT_MAX)
                .try_collect::<Vec<ClaimOutcome>>()
                .await?;
            rest = refused;
            if let Some(error) = failure
                && !backoff.pause().await
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Puts an entry into the list of each shard on which frames lie now, for each tenant and five minutes of them: also
    /// where there is one, since whoever works on that may have looked before.
    async fn have_looked_for(&self, placed: &[(&SentAgain, Origin)]) -> Result<(), PortError> {
        let subjects = placed.iter().map(|(sent, origin)| {
            let FrameHeader {
                tenant, receipt, ..
            } = &sent.header;
            let span = Window::containing(receipt.received_at(), LOOKED_FOR_MINUTES);
            (origin.shard.id.as_str(), tenant, span)
        });
        let subjects: BTreeSet<_> = subjects.collect();
        let due = self.now().plus_seconds(LOOKED_FOR_AFTER_SECONDS);
        let entries = subjects.into_iter().map(|(shard_id, tenant, span)| {
            let entry = WorkEntry::new(missing_key(tenant, span), due, (self.new_nonce)());
            (Owner::of_shard(shard_id), entry)
        });
        let table = self.stores.table();
        stream::iter(entries)
            .map(async |(owner, entry)| table.put_work(&owner, &entry).await)
            .buffer_unordered(CLAIMS_IN_FLIGHT_MAX)
            .try_collect()
            .await
    }
}

/// Keeps a slice raw and notes that it is brought back no more; false when it was noted before.
async fn give_up<S: Stores>(
    stores: &S,
    frame: &Frame,
    record: &NewRecord,
    now: Millis,
) -> Result<bool, PortError> {
    let FrameHeader {
        tenant,
        receipt,
        slice,
        ..
    } = &frame.header;
    let object = GivenUpSlice::object_of(tenant, *receipt, *slice);
    let note = "brought back in vain";
    let put = stores
        .objects()
        .put_new(&object, record.data.clone(), Some(note));
    let put = put.await?;
    // Also when it lies there: whoever put it may have died before it noted so.
    let given_up = GivenUpSlice {
        receipt: *receipt,
        slice: *slice,
        slices: frame.header.slices,
        tally: frame.header.slice_tally,
        at: now,
        object,
    };
    stores.table().keep_given_up(tenant, &given_up).await?;
    if put == PutOutcome::Created {
        tracing::error!(%tenant, %receipt, slice, "given up: brought back in vain");
    }
    Ok(put == PutOutcome::Created)
}

/// A frame that goes onto the stream again.
struct SentAgain {
    header: FrameHeader,
    record: NewRecord,
}

impl SentAgain {
    fn over(attempt: u32, frame: Frame, record: &NewRecord) -> Result<Self, PortError> {
        let fatal = |e: FrameError| PortError::Fatal(format!("playback: {e}"));
        let data = raised(&frame, attempt).map_err(fatal)?;
        let mut header = frame.header;
        header.attempt = attempt.saturating_add(1);
        let partition_key = record.partition_key.clone();
        Ok(Self {
            header,
            record: NewRecord {
                partition_key,
                data,
            },
        })
    }
}

type SliceKey = (TenantId, ReceiptId, u32);

fn slice_of(frame: &Frame) -> SliceKey {
    let header = &frame.header;
    (header.tenant.clone(), header.receipt, header.slice)
}

/// Who holds the claim of each slice, after claiming what nobody had: side by side.
async fn claims_of<T: Receipts>(
    table: &T,
    shard: &Shard,
    frames: &[(&Sequence, &NewRecord, Frame)],
    expires: Millis,
) -> Result<BTreeMap<SliceKey, Claim>, PortError> {
    let claims: Vec<(SliceKey, Claim)> = stream::iter(frames)
        .map(async |(sequence, _, frame)| {
            let origin = Origin {
                shard: shard.clone(),
                sequence: (*sequence).clone(),
            };
            let claim = claim_of(table, &frame.header, origin, expires).await?;
            Ok::<_, PortError>((slice_of(frame), claim))
        })
        .buffered(CLAIMS_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    Ok(claims.into_iter().collect())
}

async fn claim_of<T: Receipts>(
    table: &T,
    header: &FrameHeader,
    origin: Origin,
    expires: Millis,
) -> Result<Claim, PortError> {
    let request = ClaimRequest {
        header,
        origin: &origin,
        expires,
    };
    match table.claim(request).await? {
        ClaimOutcome::Mine => Ok(Claim {
            origin,
            attempt: header.attempt,
            tally: header.slice_tally,
        }),
        ClaimOutcome::Copy => {
            let receipt = table.receipt(&header.tenant, header.receipt).await?;
            let claim = receipt.and_then(|mut r| r.claims.remove(&header.slice));
            claim.ok_or_else(|| PortError::Retryable("a claim that was there is gone".into()))
        }
    }
}
