//! The one place where a tenant's chain moves, for windows, backfills, idle runs and days alike.
//!
//! What a crash leaves, and two workers at once:
//! - a seal's key holds its sequence, and the first object under it is the seal: whoever finds one there takes it
//!   over instead of making another;
//! - the chain moves only from the revision that was seen, and a seal counts when it has moved.
//!
//! Whoever seals says what of which time; what every seal says of its chain is added here: the seal before, the newest
//! checkpoint of the shards, which times are held, and the signature.

use super::Workshop;
use vernier_archive::Fault;
use vernier_archive::keys::PublicKey;
use vernier_archive::limits::SEAL_BYTES_MAX;
use vernier_archive::seal::{
    Covered, Draft, HoldsMark, Seal, SealKind, SealedFile, Statement, StatementBody, Unsealed,
    seal_key,
};
use vernier_ledger::access::Tenant;
use vernier_ledger::chain::{ChainHead, ChainStep, HeldWindows, SealEntry, first_window};
use vernier_ledger::checkpoint::Checkpoints;
use vernier_ledger::digest::{Digest, Fingerprint};
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::frame::Tally;
use vernier_ledger::holds::{HeldWindow, Holds, OpenTimes};
use vernier_ledger::limits::WINDOW_SECONDS_MAX;
use vernier_ledger::ports::{ChainOutcome, Chains, Objects, PortError, PutOutcome, SealKey};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};

/// How long a seal waits for a checkpoint of the shards where there is none that it may name, seconds: the planner
/// writes one each minute.
const CHECKPOINT_WAIT_SECONDS: i64 = 60;

/// What became of moving a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Moving {
    /// It moved over this seal.
    Moved(Signed),
    /// Somebody else moved it: look again where it stands.
    Stale,
    /// No checkpoint of the shards is as new as the seal must name one: there should be one then.
    Early(Millis),
}

/// A seal that the chain moved over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) entry: SealEntry,
    pub(crate) counts: DispositionCounts,
}

/// What a seal is to say, but for its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) kind: SealKind,
    /// Its time: of an erasure the UTC day on which it is made.
    pub(crate) window: Window,
    /// How its events ended; of no events where the kind has no rows.
    pub(crate) counts: DispositionCounts,
    /// The digest over all of them.
    pub(crate) digest: Digest,
    /// The files with the rows, whether the body has them itself or in lists.
    pub(crate) files: Vec<SealedFile>,
    /// Of a day: the seals that it covers, in order of sequence. Else none.
    pub(crate) covers: Vec<Covered>,
    pub(crate) body: StatementBody,
}

impl Content {
    /// What the rows come to.
    pub(crate) const fn tally(&self) -> Tally {
        Tally {
            events: self.counts.total(),
            rejected: self.counts.rejected,
            digest: self.digest,
        }
    }

    /// The first instant at which a checkpoint may have been written that the seal names. An erasure's day is not over.
    const fn checkpoint_from(&self) -> Millis {
        match self.kind {
            SealKind::Erasure => self.window.start,
            _ => self.window.end,
        }
    }
}

/// The chain of one tenant, and the only way to move it.
pub(crate) struct Chain<'a, S> {
    stores: &'a S,
    workshop: &'a Workshop,
    tenant: &'a Tenant,
}

fn fatal(fault: Fault) -> PortError {
    PortError::Fatal(fault.to_string())
}

impl<'a, S: ReconcileStores> Chain<'a, S> {
    pub(crate) const fn new(stores: &'a S, workshop: &'a Workshop, tenant: &'a Tenant) -> Self {
        Self {
            stores,
            workshop,
            tenant,
        }
    }

    /// Where the chain stands; before its first seal, at the window in which the tenant was created.
    pub(crate) async fn head(&self, window_minutes: u32) -> Result<ChainHead, PortError> {
        let head = self.stores.table().chain(&self.tenant.id).await?;
        let first = first_window(self.tenant.created_at, window_minutes);
        Ok(head.unwrap_or_else(|| ChainHead::beginning(first.start)))
    }

    /// Windows that the chain holds.
    pub(crate) async fn held(&self, head: &ChainHead) -> Result<Vec<HeldWindow>, PortError> {
        let table = self.stores.table();
        table.held_windows(&self.tenant.id, head).await
    }

    /// Leaves a window for later.
    pub(crate) async fn pass_over(
        &self,
        head: &ChainHead,
        window: Window,
    ) -> Result<ChainOutcome, PortError> {
        self.step(&head.past(window)).await
    }

    /// Moves the chain without a seal.
    pub(crate) async fn move_to(&self, next: &ChainHead) -> Result<ChainOutcome, PortError> {
        self.step(&ChainStep::to(next.clone())).await
    }

    /// Makes items of windows that the head lists, so that each has a hold of its own.
    pub(crate) async fn itemize(&self, step: &ChainStep) -> Result<ChainOutcome, PortError> {
        self.step(step).await
    }

    async fn step(&self, step: &ChainStep) -> Result<ChainOutcome, PortError> {
        self.stores.table().move_chain(&self.tenant.id, step).await
    }

    /// Signs a seal of version 4, writes it unless there is one, and moves the chain over the one that is there.
    pub(crate) async fn sign(
        &self,
        head: &ChainHead,
        content: Content,
        now: Millis,
    ) -> Result<Moving, PortError> {
        let from = content
            .checkpoint_from()
            .max(head.checkpoint_at().unwrap_or_default());
        let newest = self.stores.table().newest_checkpoint().await?;
        let Some(checkpoint) = newest.filter(|mark| mark.at >= from) else {
            let at = now.plus_seconds(CHECKPOINT_WAIT_SECONDS);
            return Ok(Moving::Early(at));
        };
        let open = self.open_times(head).await?;
        let after = match content.kind.closes() {
            true => open.without(content.window),
            false => open.clone(),
        };
        let unsealed = Unsealed {
            tenant: self.tenant.id.clone(),
            window: content.window,
            kind: content.kind,
            sequence: head.sequence,
            counts: content.counts,
            digest: content.digest,
            files: content.files,
            covers: content.covers,
            statement: Statement {
                checkpoint,
                holds: HoldsMark::of(after.ranges()),
                body: content.body,
            },
        };
        let key = self.workshop.public_key(self.stores.key()).await?;
        let previous = head.last_hash.as_deref().map(hash_from).transpose()?;
        let seal = self
            .signed(unsealed.draft(previous, now, &key), &key)
            .await?;
        self.put(head, &seal, &open).await
    }

    /// Writes a seal unless there is one, and moves the chain over the one that is there.
    async fn put(
        &self,
        head: &ChainHead,
        seal: &Seal,
        open: &OpenTimes,
    ) -> Result<Moving, PortError> {
        let bytes = seal.to_bytes().map_err(fatal)?;
        if bytes.len() as u64 > SEAL_BYTES_MAX {
            let what = format!("{} would have {} bytes", seal.key(), bytes.len());
            return Err(PortError::Fatal(what));
        }
        // A seal that a reader would refuse is not written.
        Seal::read(&bytes).map_err(fatal)?;
        let objects = self.stores.objects();
        match objects.put_new(&seal.key(), bytes, None).await? {
            PutOutcome::Created => self.move_over(head, seal, open).await,
            PutOutcome::Exists => {
                let taken = self.take_over(head).await?;
                Ok(taken.unwrap_or(Moving::Stale))
            }
        }
    }

    async fn signed(&self, draft: Draft, key: &PublicKey) -> Result<Seal, PortError> {
        self.show_key(key).await?;
        let message = draft.message().map_err(fatal)?;
        let seal = draft.signed(&self.stores.key().sign(&message).await?);
        match seal.is_signed_by(key).map_err(fatal)? {
            true => Ok(seal),
            false => {
                let what = "the key's signature is not its public half's";
                Err(PortError::Fatal(what.to_owned()))
            }
        }
    }

    /// What is open before the chain's next seal.
    async fn open_times(&self, head: &ChainHead) -> Result<OpenTimes, PortError> {
        let held = self.held(head).await?;
        let held: Vec<Window> = held.into_iter().map(|held| held.window).collect();
        let closed = match &head.held {
            HeldWindows::Items {
                closed: Some(closed),
                ..
            } => Some(*closed),
            _ if head.sequence == 0 => None,
            _ => Some(self.closed_before_4(head, &held).await?),
        };
        Ok(OpenTimes { held, closed })
    }

    /// From the first instant that a seal closed to the last, of a chain whose head does not say so: looked up once, for
    /// its first seal of version 4.
    async fn closed_before_4(
        &self,
        head: &ChainHead,
        held: &[Window],
    ) -> Result<Window, PortError> {
        let mut end = head.through;
        while let Some(window) = held.iter().find(|window| window.end == end) {
            end = window.start;
        }
        let (table, tenant) = (self.stores.table(), self.tenant);
        let from = tenant.created_at.plus_seconds(-WINDOW_SECONDS_MAX);
        let mut span_seconds = 2 * WINDOW_SECONDS_MAX;
        loop {
            let to = from.plus_seconds(span_seconds);
            let seals = table.seals(&tenant.id, from, to).await?;
            let first = seals.iter().find(|seal| seal.kind.closes());
            if let Some(first) = first {
                let start = first.window.start;
                return Ok(Window { start, end });
            }
            if to >= head.through {
                let what = format!("the chain of {} has seals and lists none", tenant.id);
                return Err(PortError::Fatal(what));
            }
            span_seconds *= 2;
        }
    }

    /// Puts the public key beside the seals, once for a process.
    async fn show_key(&self, key: &PublicKey) -> Result<(), PortError> {
        let name = key_name(&key.id());
        if self.workshop.is_new(&name) {
            let pem = key.to_pem().into_bytes();
            self.stores.objects().put_new(&name, pem, None).await?;
        }
        Ok(())
    }

    /// Moves the chain over a seal that is there already: of somebody who crashed before moving it, or is about to.
    /// None where there is no such seal.
    pub(crate) async fn take_over(&self, head: &ChainHead) -> Result<Option<Moving>, PortError> {
        let name = seal_key(&self.tenant.id, head.sequence);
        let Some(bytes) = self.stores.objects().get(&name, None).await? else {
            return Ok(None);
        };
        let damaged = |what: &str| PortError::Fatal(format!("{name} {what}"));
        let seal = Seal::read(&bytes).map_err(|e| damaged(&e.to_string()))?;
        let key = self.key_of(&seal).await?;
        let signed = seal.is_signed_by(&key).map_err(|e| damaged(&e.to_string()));
        let previous = head.last_hash.as_deref().map(hash_from).transpose()?;
        let follows = seal.previous.map(|hash| hash.0) == previous;
        if !signed? || !follows || seal.tenant != self.tenant.id {
            return Err(damaged("is not the next seal of this chain"));
        }
        let open = self.open_times(head).await?;
        self.move_over(head, &seal, &open).await.map(Some)
    }

    /// The key that a seal names: the one at hand, or one of before that lies beside the seals, since whoever signed
    /// with it may have crashed before the key was changed.
    async fn key_of(&self, seal: &Seal) -> Result<PublicKey, PortError> {
        let key = self.workshop.public_key(self.stores.key()).await?;
        if seal.signature.key == key.id() {
            return Ok(key);
        }
        let name = key_name(&seal.signature.key);
        let fatal = |what: String| PortError::Fatal(format!("{name}: {what}"));
        let pem = self.stores.objects().get(&name, None).await?;
        let pem = pem.ok_or_else(|| fatal("no such key signed here before".to_owned()))?;
        let earlier = PublicKey::read(&pem).map_err(|e| fatal(e.to_string()))?;
        if earlier.id() != seal.signature.key {
            return Err(fatal("it has another id".to_owned()));
        }
        Ok(earlier)
    }

    async fn move_over(
        &self,
        head: &ChainHead,
        seal: &Seal,
        open: &OpenTimes,
    ) -> Result<Moving, PortError> {
        let entry = seal.entry().map_err(fatal)?;
        let step = match &seal.statement {
            Some(statement) => head.over_signed_holds(&entry, open, statement.checkpoint.at),
            None => head.over(&entry),
        };
        let step = step.ok_or_else(|| {
            PortError::Fatal(format!("{} does not follow in its chain", seal.key()))
        })?;
        match self.step(&step).await? {
            ChainOutcome::Stale => Ok(Moving::Stale),
            ChainOutcome::Moved => {
                tracing::info!(
                    tenant = %self.tenant.id,
                    sequence = entry.sequence,
                    window = entry.window.start.rfc3339(),
                    events = entry.tally.events,
                    kind = ?entry.kind,
                    "sealed"
                );
                Ok(Moving::Moved(Signed {
                    entry,
                    counts: seal.counts,
                }))
            }
        }
    }
}

fn key_name(id: &str) -> String {
    format!("keys/{id}.pem")
}

fn hash_from(text: &str) -> Result<[u8; 32], PortError> {
    let bad = || PortError::Fatal("chain: the last hash is none".to_owned());
    Fingerprint::from_hex(text)
        .map(|hash| hash.0)
        .ok_or_else(bad)
}
