//! What each operation does.

use super::archive::new_nonce;
use super::invocation::{Caller, Ending, Invocation, TICK};
use super::oracle::Violation;
use super::script::{EventSpec, GarbageKind, Op};
use super::sensor::{self, Attempt, Sent};
use super::trigger::Batch;
use super::world::{PAUSES, World};
use rand::RngExt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use vernier_intake::{Sending, SpreadKeeper};
use vernier_ledger::frame::{self, Frame};
use vernier_ledger::ids::{Lane, ReceiptId, Shard};
use vernier_ledger::ports::{FrameStream, NewRecord};
use vernier_ledger::time::Millis;
use vernier_stream::Record;

/// How long receipts are kept, days.
pub(super) const RECEIPT_DAYS: u32 = 30;

/// What was received later than this has its receipts still.
pub(crate) const fn kept_since(now: Millis) -> Millis {
    now.plus_seconds(-(RECEIPT_DAYS as i64) * 86_400)
}

/// A history's jumps end here, seconds: many windows take long.
const SECONDS_MAX: i64 = 26 * 60;

/// The place that a number names among so many; none where there are none.
fn place_of(n: impl Into<i64>, count: usize) -> Option<usize> {
    let count = i64::try_from(count).ok().filter(|count| *count > 0)?;
    usize::try_from(n.into().rem_euclid(count)).ok()
}

pub(super) fn nth<T: Clone>(all: &[T], n: impl Into<i64>) -> Option<T> {
    all.get(place_of(n, all.len())?).cloned()
}

impl World {
    pub(super) async fn perform(&mut self, op: &Op) -> Result<(), Violation> {
        match op {
            Op::Send(tenant, events) => self.send(usize::from(*tenant), events.clone()).await,
            Op::Resend(n) => self.resend(*n).await,
            Op::Reslice(n, cut) => self.reslice(*n, usize::from(*cut)).await,
            Op::Deliver(n, count) => self.deliver(*n, usize::from(*count)).await,
            Op::Redeliver(n, back, count) => {
                let Some(shard) = self.any_shard(*n) else {
                    return Ok(());
                };
                let (back, count) = (usize::from(*back), usize::from(*count));
                let batch = self.trigger.again(&self.stream, &shard, back, count);
                self.run_stream(shard, batch, None).await
            }
            Op::Copy(n, at) => self.copy(*n, *at).await,
            Op::Garbage(lane, kind) => self.write_garbage(*lane, *kind).await,
            Op::Split(n) => self.reshard(*n, |stream, shard| stream.split(shard)),
            Op::Merge(n) => self.reshard(*n, |stream, shard| stream.merge(shard)),
            Op::Expire(n, count) => {
                self.give_up(*n, |w, shard| {
                    w.trigger.expire(&w.stream, shard, usize::from(*count))
                });
                Ok(())
            }
            Op::GiveUp(n, count) => {
                self.give_up(*n, |w, shard| {
                    w.trigger.give_up(&w.stream, shard, usize::from(*count))
                });
                Ok(())
            }
            Op::Jump(seconds) => {
                let left = super::world::BEGINNING.plus_seconds(SECONDS_MAX).0 - self.now().0;
                let millis = (i64::from(*seconds) * 1_000).min(left).max(0);
                self.pass(Duration::from_millis(millis.unsigned_abs()));
                Ok(())
            }
            Op::Plan => self.plan().await,
            Op::Work(n, seconds) => self.work(*n, *seconds).await,
            Op::Run(seconds) => self.run(*seconds).await,
            Op::Outage(minutes) => {
                self.pass(Duration::from_secs(u64::from(*minutes) * 60));
                Ok(())
            }
            Op::Live(minutes) => self.live(*minutes).await,
            Op::Nudge(n) => self.nudge(*n).await,
            Op::Queue(trouble) => {
                self.trouble_queue(*trouble);
                Ok(())
            }
            Op::Replay(tenant, to) => self.replay(*tenant, *to).await,
            Op::Skip(n, count) => {
                self.skip(*n, usize::from(*count));
                Ok(())
            }
            Op::Lose(n) => {
                self.lose(*n);
                Ok(())
            }
            Op::Poison(n) => {
                let receipt = nth(&self.attempts, *n).map(|attempt| attempt.receipt);
                self.poisoned.extend(receipt);
                Ok(())
            }
            Op::Playback(n) => self.playback(*n).await,
            Op::Resume(n) => self.resume(*n).await,
            Op::Fault(..) | Op::Crash(_) | Op::Park(_) => Ok(()),
        }
    }

    pub(super) fn any_shard(&self, n: u8) -> Option<Shard> {
        nth(&self.stream.shards(), n).map(|s| s.shard)
    }

    fn open_shards(&self) -> Vec<Shard> {
        let shards = self.stream.shards();
        shards
            .into_iter()
            .filter(|s| s.is_open)
            .map(|s| s.shard)
            .collect()
    }

    async fn send(&mut self, tenant: usize, events: Vec<EventSpec>) -> Result<(), Violation> {
        let body = sensor::body(&events, self.random.random_range(0..4) == 0);
        self.sent.push(Sent {
            tenant: tenant % self.identities.len(),
            events,
            body: Arc::new(body),
            answered: false,
        });
        self.post(self.sent.len() - 1).await
    }

    async fn resend(&mut self, n: i16) -> Result<(), Violation> {
        match place_of(n, self.sent.len()) {
            Some(place) => self.post(place).await,
            None => Ok(()),
        }
    }

    async fn reslice(&mut self, n: i16, cut: usize) -> Result<(), Violation> {
        let Some(place) = place_of(n, self.sent.len()) else {
            return Ok(());
        };
        let one = self.sent[place].clone();
        let other = self.sent[place + 1..]
            .iter()
            .find(|s| s.tenant == one.tenant);
        let mut events = one.events;
        events.extend(other.map(|s| s.events.clone()).unwrap_or_default());
        let rest = events.split_off(cut.min(events.len()));
        for events in [events, rest] {
            if !events.is_empty() {
                self.send(one.tenant, events).await?;
            }
        }
        Ok(())
    }

    /// One try to have an envelope acknowledged.
    pub(super) async fn post(&mut self, envelope: usize) -> Result<(), Violation> {
        let sent = &self.sent[envelope];
        let identity = self.identities[sent.tenant].clone();
        let lane = self.random.random_range(0..identity.tenant.lanes);
        let lane = Lane::try_from(lane).unwrap_or(0);
        let receipt = ReceiptId::from_parts(self.now(), lane, self.random.random());
        self.counts.events_sent += sent.events.len() as u64;
        self.attempts.push(Attempt {
            receipt,
            envelope,
            acknowledged: false,
        });
        let (functions, body) = (Rc::clone(&self.functions), Arc::clone(&sent.body));
        let settings = vernier_intake::Settings {
            receipt_days: RECEIPT_DAYS,
        };
        let clock = Rc::clone(&self.clock);
        // Between an envelope's receipt and its first frame it is read and judged.
        let judged_millis = self.random.random_range(0..3_000);
        let future = async move {
            let stores = &functions.general;
            let sending = Sending {
                settings,
                windows: &functions.windows,
                spreads: &SpreadKeeper::default(),
                new_salt_key: super::archive::new_salt_key,
                clock: || Millis(clock.get().0 + judged_millis),
                budget: TICK * PAUSES,
            };
            let accepted =
                vernier_intake::accept(stores, sending, &identity, None, &body, receipt).await;
            Ending::Sent(accepted.map(|a| a.tally.events))
        };
        let caller = Caller::Sensor {
            attempt: self.attempts.len() - 1,
        };
        self.invoke(Invocation::new(caller, self.now(), future))
            .await
    }

    pub(super) async fn deliver(&mut self, n: u8, count: usize) -> Result<(), Violation> {
        let ready = self.trigger.ready(&self.stream);
        let Some(shard) = nth(&ready, n) else {
            return Ok(());
        };
        let batch = self.trigger.next(&self.stream, &shard, count);
        let advance = Some(batch.len());
        self.run_stream(shard, batch, advance).await
    }

    fn is_poison(&self, record: &NewRecord) -> bool {
        let is_poisoned = |frame: Frame| self.poisoned.contains(&frame.header.receipt);
        !self.poisoned.is_empty() && frame::decode(&record.data).is_ok_and(is_poisoned)
    }

    async fn run_stream(
        &mut self,
        shard: Shard,
        mut batch: Batch,
        mut advance: Option<usize>,
    ) -> Result<(), Violation> {
        // The trigger halves what fails, until a poisonous record is alone.
        if let Some(place) = batch.iter().position(|(_, record)| self.is_poison(record)) {
            self.counts.poison += 1;
            batch.truncate(place);
            advance = advance.map(|_| place);
            if place == 0 {
                let advance = advance.map(|_| 1);
                self.no_answer(&Caller::Trigger { shard, advance });
                return Ok(());
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        let records = batch.into_iter().map(|(sequence, record)| Record {
            sequence,
            data: record.data,
            arrived_at: None,
        });
        let records: Vec<Record> = records.collect();
        let functions = Rc::clone(&self.functions);
        let settings = vernier_stream::Settings {
            receipt_days: RECEIPT_DAYS,
            chunk_bytes: 1_024,
        };
        // Clocks of machines differ.
        let skew = self.random.random_range(-20_000..20_000);
        let clock = Rc::clone(&self.clock);
        let of = shard.clone();
        let future = async move {
            let clock = || Millis(clock.get().0 + skew);
            let stores = &functions.general;
            let budget = TICK * PAUSES;
            let committing = vernier_stream::Committing {
                settings,
                memory: &functions.memory,
            };
            Ending::Delivered(
                vernier_stream::process(stores, committing, &of, records, clock, budget).await,
            )
        };
        let caller = Caller::Trigger { shard, advance };
        self.invoke(Invocation::new(caller, self.now(), future))
            .await
    }

    /// Puts a record on the stream past the input function.
    async fn put(&self, record: NewRecord) {
        // It may fail: nobody relies on it.
        let _ = self.stream.append(&[record]).await;
    }

    async fn copy(&mut self, n: u8, at: i16) -> Result<(), Violation> {
        let Some(shard) = self.any_shard(n) else {
            return Ok(());
        };
        let records = self.stream.read(&shard, 0, usize::MAX);
        if let Some((_, record)) = nth(&records, at) {
            self.put(record).await;
        }
        Ok(())
    }

    async fn write_garbage(&mut self, lane: u8, kind: GarbageKind) -> Result<(), Violation> {
        let number = self.garbage.len();
        let mut data = match kind {
            GarbageKind::Text => format!("{{\"no\":\"frame\",\"number\":{number}}}").into_bytes(),
            GarbageKind::Newer => format!("{{\"vernier_frame\":99,\"n\":{number}}}\n").into_bytes(),
            GarbageKind::Cut => {
                let shard = self.any_shard(lane);
                let records = shard.map(|s| self.stream.read(&s, 0, usize::MAX));
                let found = records.and_then(|r| nth(&r, lane));
                found.map(|(_, record)| record.data).unwrap_or_default()
            }
        };
        if kind == GarbageKind::Cut {
            data.truncate(data.len() / 2);
        }
        self.garbage.push(data.clone());
        self.put(NewRecord {
            partition_key: format!("elsewhere/{lane}"),
            data,
        })
        .await;
        Ok(())
    }

    fn reshard(
        &mut self,
        n: u8,
        change: impl FnOnce(&vernier_fakes::MemoryStream, &Shard) -> bool,
    ) -> Result<(), Violation> {
        // More shards than this make every shard idle.
        let open = self.open_shards();
        if let Some(shard) = nth(&open, n).filter(|_| self.stream.shards().len() < 12)
            && change(&self.stream, &shard)
        {
            self.counts.reshards += 1;
        }
        Ok(())
    }

    fn give_up(&mut self, n: u8, how: impl FnOnce(&mut Self, &Shard) -> bool) {
        let ready = self.trigger.ready(&self.stream);
        let shard = nth(&ready, n).or_else(|| self.any_shard(n));
        if let Some(shard) = shard
            && how(self, &shard)
        {
            self.counts.given_up += 1;
        }
    }

    pub(super) async fn playback(&mut self, n: u8) -> Result<(), Violation> {
        let Some(failure) = nth(self.trigger.failures(), n) else {
            return Ok(());
        };
        let functions = Rc::clone(&self.functions);
        let clock = Rc::clone(&self.clock);
        let receipt_days = self.archive.receipt_days();
        let future = async move {
            let clock = || clock.get();
            let (shard, batch) = (&failure.shard, &failure.batch);
            let stores = &functions.general;
            let brought = vernier_reconcile::recovery::bring_back(
                stores,
                shard,
                batch,
                receipt_days,
                new_nonce,
                clock,
            );
            Ending::BroughtBack(brought.await)
        };
        let caller = Caller::Operator {
            failure: failure.number,
        };
        self.invoke(Invocation::new(caller, self.now(), future))
            .await
    }
}
