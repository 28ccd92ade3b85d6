//! The one place where a tenant's chain moves, for windows, backfills and days alike.
//!
//! What a crash leaves, and two workers at once:
//! - a seal's key holds its sequence, and the first object under it is the seal: whoever finds one there takes it
//!   over instead of making another;
//! - the chain moves only from the revision that was seen, and a seal counts when it has moved.

use super::Workshop;
use vernier_archive::Fault;
use vernier_archive::keys::PublicKey;
use vernier_archive::seal::{Seal, SealKind, Written, seal_key};
use vernier_ledger::access::Tenant;
use vernier_ledger::chain::{ChainHead, SealEntry, Sequences, first_window};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::frame::Tally;
use vernier_ledger::ports::{ChainOutcome, Chains, Objects, PortError, PutOutcome, SealKey};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};

/// What became of moving a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Moving {
    /// It moved over this seal.
    Moved(Signed),
    /// Somebody else moved it: look again where it stands.
    Stale,
}

/// A seal that the chain moved over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) kind: SealKind,
    pub(crate) entry: SealEntry,
    pub(crate) counts: DispositionCounts,
}

/// The chain of one tenant, and the only way to move it.
pub(crate) struct Chain<'a, S> {
    stores: &'a S,
    workshop: &'a Workshop,
    tenant: &'a Tenant,
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

    /// Leaves a window for later.
    pub(crate) async fn pass_over(
        &self,
        head: &ChainHead,
        window: Window,
    ) -> Result<ChainOutcome, PortError> {
        self.move_to(&head.past(window)).await
    }

    /// Moves the chain without a seal.
    pub(crate) async fn move_to(&self, next: &ChainHead) -> Result<ChainOutcome, PortError> {
        let table = self.stores.table();
        table.move_chain(&self.tenant.id, next, None).await
    }

    /// Signs a seal, writes it unless there is one, and moves the chain over the one that is there.
    pub(crate) async fn sign(
        &self,
        head: &ChainHead,
        written: Written,
        now: Millis,
    ) -> Result<Moving, PortError> {
        let key = self.workshop.public_key(self.stores.key()).await?;
        let fatal = |e: Fault| PortError::Fatal(e.to_string());
        let previous = head.last_hash.as_deref().map(hash_from).transpose()?;
        let draft = written.draft(previous, now, &key);
        self.show_key(&key).await?;
        let message = draft.message().map_err(fatal)?;
        let seal = draft.signed(&self.stores.key().sign(&message).await?);
        if !seal.is_signed_by(&key).map_err(fatal)? {
            let what = "the key's signature is not its public half's";
            return Err(PortError::Fatal(what.to_owned()));
        }
        let bytes = seal.to_bytes().map_err(fatal)?;
        let objects = self.stores.objects();
        match objects.put_new(&seal.key(), bytes, None).await? {
            PutOutcome::Created => self.move_over(head, &seal).await,
            PutOutcome::Exists => {
                let taken = self.take_over(head).await?;
                Ok(taken.unwrap_or(Moving::Stale))
            }
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
        if seal.statement.is_some() {
            let what = "is of version 4, which this release does not continue";
            return Err(damaged(what));
        }
        let key = self.key_of(&seal).await?;
        let signed = seal.is_signed_by(&key).map_err(|e| damaged(&e.to_string()));
        let previous = head.last_hash.as_deref().map(hash_from).transpose()?;
        let follows = seal.previous.map(|hash| hash.0) == previous;
        if !signed? || !follows || seal.tenant != self.tenant.id {
            return Err(damaged("is not the next seal of this chain"));
        }
        self.move_over(head, &seal).await.map(Some)
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

    async fn move_over(&self, head: &ChainHead, seal: &Seal) -> Result<Moving, PortError> {
        let entry = entry_of(seal)?;
        let next = head.with(&entry).ok_or_else(|| {
            PortError::Fatal(format!("{} does not follow in its chain", seal.key()))
        })?;
        let (table, tenant) = (self.stores.table(), &self.tenant.id);
        match table.move_chain(tenant, &next, Some(&entry)).await? {
            ChainOutcome::Stale => Ok(Moving::Stale),
            ChainOutcome::Moved => {
                tracing::info!(
                    %tenant,
                    sequence = entry.sequence,
                    window = entry.window.start.rfc3339(),
                    events = entry.tally.events,
                    backfill = entry.backfill,
                    day = entry.is_day(),
                    "sealed"
                );
                Ok(Moving::Moved(Signed {
                    kind: seal.kind,
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

fn entry_of(seal: &Seal) -> Result<SealEntry, PortError> {
    let hash = seal.hash().map_err(|e| PortError::Fatal(e.to_string()))?;
    Ok(SealEntry {
        sequence: seal.sequence,
        backfill: seal.kind == SealKind::Backfill,
        window: seal.window(),
        hash: hex::encode(hash),
        tally: Tally {
            events: seal.counts.total(),
            rejected: seal.counts.rejected,
            digest: seal.digest,
        },
        sealed_at: seal.sealed_at,
        covers: seal.covers.iter().map(|c| c.sequence).collect(),
        erasures: Sequences::default(),
    })
}
