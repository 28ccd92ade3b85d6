//! Seals: form, signature, chain, and what time they cover.

use super::Options;
use super::day;
use super::erasures;
use super::parallel::in_parallel;
use super::report::{Chain, Check, Finding, HoldFound};
use super::unnamed::extra;
use super::version4::{self, BesideFiles};
use crate::Fault;
use crate::account::ErasedPlace;
use crate::files::Source;
use crate::keys::PublicKey;
use crate::limits;
use crate::merkle::Hash;
use crate::seal::{Seal, SealKind, seal_key};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::TenantId;
use vernier_ledger::time::Millis;

/// A seal that may be relied on.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) key: String,
    pub(super) seal: Seal,
    pub(super) beside: BesideFiles,
    /// The seal's rows that erasures name, in order.
    pub(super) erased: Vec<ErasedPlace>,
    pub(super) closings: Arc<Closings>,
}

/// What the seals say.
#[derive(Debug, Default)]
pub(super) struct Chains {
    pub(super) chains: Vec<Chain>,
    /// Signed seals, by tenant and sequence.
    pub(super) trusted: Vec<Trusted>,
    /// Keys that any readable seal names, signed or not.
    pub(super) named: BTreeSet<String>,
    pub(super) findings: Vec<Finding>,
    /// Keys of files that an erasure replaced.
    pub(super) replaced: BTreeSet<String>,
    pub(super) holds: Vec<HoldFound>,
}

/// A seal's file as it was read.
struct Read {
    key: String,
    sequence: u64,
    hash: Option<Hash>,
    seal: Result<Seal, String>,
    beside: BesideFiles,
    signed: bool,
}

pub(super) fn read(
    source: &dyn Source,
    keys: &[PublicKey],
    options: &Options,
) -> Result<Chains, Fault> {
    let mut chains = Chains::default();
    let mut tenants: BTreeMap<TenantId, Vec<(u64, String)>> = BTreeMap::new();
    for entry in source.list("seals/")? {
        match sealed_place(&entry.key) {
            Some((tenant, sequence)) => {
                if options
                    .tenant
                    .as_ref()
                    .is_none_or(|wanted| *wanted == tenant)
                {
                    tenants
                        .entry(tenant)
                        .or_default()
                        .push((sequence, entry.key));
                }
            }
            None => chains.findings.push(extra(&entry)),
        }
    }
    if tenants.is_empty() {
        let what = "no seals lie here (seals/tenant=…/….json)";
        chains.findings.push(Finding::new(Check::NoSeals, what));
    }
    let mut hashes = BTreeSet::new();
    for (tenant, places) in tenants {
        let read = in_parallel(options.threads, &places, |_, (sequence, key)| {
            read_seal(source, keys, *sequence, key)
        });
        hashes.extend(read.iter().filter_map(|read| read.hash));
        check_chain(&tenant, &read, options, &mut chains.findings);
        take(source, tenant, read, options, &mut chains)?;
    }
    for known in &options.known {
        if !hashes.contains(&known.0) {
            let what = format!(
                "no seal has the hash {known} that was noted before: a chain was cut short or written anew"
            );
            chains.findings.push(Finding::new(Check::Chain, what));
        }
    }
    Ok(chains)
}

/// Tenant and sequence of a seal's key.
fn sealed_place(key: &str) -> Option<(TenantId, u64)> {
    let (tenant, name) = key.strip_prefix("seals/tenant=")?.split_once('/')?;
    let tenant: TenantId = tenant.parse().ok()?;
    let sequence = name.strip_suffix(".json")?.parse().ok()?;
    (seal_key(&tenant, sequence) == key).then_some((tenant, sequence))
}

fn read_seal(source: &dyn Source, keys: &[PublicKey], sequence: u64, key: &str) -> Read {
    let bytes = source.read(key, limits::SEAL_BYTES_MAX);
    let hash = bytes.as_ref().ok().map(|bytes| Fingerprint::of(bytes).0);
    let seal = bytes
        .map_err(|e| e.to_string())
        .and_then(|bytes| Seal::read(&bytes).map_err(|e| e.to_string()));
    let signed_by = |seal: &Seal| {
        let mut keys = keys.iter();
        keys.any(|key| seal.is_signed_by(key).unwrap_or(false))
    };
    let signed = seal.as_ref().is_ok_and(signed_by);
    let mut beside = BesideFiles::default();
    // Lists of a seal that nobody signed are not read: they may be of any size.
    let seal = seal.and_then(|mut seal| {
        if signed {
            beside = version4::read_sets(source, &mut seal).map_err(|e| e.to_string())?;
        }
        Ok(seal)
    });
    Read {
        key: key.to_owned(),
        sequence,
        hash,
        seal,
        beside,
        signed,
    }
}

fn check_chain(tenant: &TenantId, read: &[Read], options: &Options, findings: &mut Vec<Finding>) {
    let mut before: Option<&Read> = None;
    for this in read {
        let expected = before.map_or(0, |before| before.sequence + 1);
        let begins = before.is_none() && options.partial;
        if this.sequence != expected && !begins {
            let what = format!("seals {expected} to {} are missing", this.sequence - 1);
            findings.push(Finding::new(Check::Chain, what).in_file(&seal_key(tenant, expected)));
        }
        check_form(tenant, this, findings);
        if let Ok(seal) = &this.seal {
            let follows = before.filter(|before| before.sequence + 1 == this.sequence);
            let previous = match follows {
                Some(before) => before.hash,
                None if this.sequence == 0 => None,
                // What is missing has been said, or lies before the part that is checked.
                None => seal.previous.map(|hash| hash.0),
            };
            if seal.previous.map(|hash| hash.0) != previous {
                let show = |hash: Option<Hash>| hash.map_or("none".to_owned(), hex::encode);
                findings.push(
                    Finding::new(Check::Chain, "does not name the seal before it")
                        .in_file(&this.key)
                        .against(
                            &this.key,
                            "previous",
                            show(seal.previous.map(|hash| hash.0)),
                            show(previous),
                        ),
                );
            }
        }
        before = Some(this);
    }
}

fn check_form(tenant: &TenantId, this: &Read, findings: &mut Vec<Finding>) {
    let mut wrong =
        |check, what: String| findings.push(Finding::new(check, what).in_file(&this.key));
    let seal = match &this.seal {
        Ok(seal) => seal,
        Err(why) => return wrong(Check::SealForm, why.clone()),
    };
    if (&seal.tenant, seal.sequence) != (tenant, this.sequence) {
        let what = format!("is seal {} of tenant {}", seal.sequence, seal.tenant);
        wrong(Check::SealForm, what);
    }
    let minutes = seal.start.0 % 60_000 == 0 && seal.end.0 % 60_000 == 0;
    if seal.start >= seal.end || !minutes {
        let what = format!(
            "{} to {} is no window of whole minutes",
            seal.start, seal.end
        );
        wrong(Check::SealForm, what);
    }
    if this.signed {
        findings.extend(version4::check_form(seal, &this.key));
    } else {
        let what = format!(
            "is not signed by the given key (it names the key {}); its files were not checked",
            seal.signature.key
        );
        findings.push(Finding::new(Check::Signature, what).in_file(&this.key));
    }
}

/// Takes over what may be relied on, and looks at the time it covers.
fn take(
    source: &dyn Source,
    tenant: TenantId,
    read: Vec<Read>,
    options: &Options,
    chains: &mut Chains,
) -> Result<(), Fault> {
    let (seals, last) = (read.len() as u64, read.last().map(|r| (r.sequence, r.hash)));
    let from = chains.trusted.len();
    let closings = Arc::new(Closings::of(&read, options.partial));
    for this in read {
        let Ok(seal) = this.seal else { continue };
        chains.named.extend(version4::keys(&seal, &this.beside));
        let own = seal.tenant == tenant && seal.sequence == this.sequence;
        if this.signed && own {
            chains.trusted.push(Trusted {
                key: this.key,
                seal,
                beside: this.beside,
                erased: Vec::new(),
                closings: Arc::clone(&closings),
            });
        }
    }
    let trusted = &mut chains.trusted[from..];
    let replaced = erasures::apply(source, trusted, options.partial, &mut chains.findings)?;
    chains.replaced.extend(replaced);
    let windows = check_coverage(trusted, options, &mut chains.findings);
    let is_whole = trusted.len() as u64 == seals && !options.partial;
    chains.holds.extend(version4::check_chain(
        trusted,
        is_whole,
        &mut chains.findings,
    ));
    day::check_covers(trusted, options.partial, &mut chains.findings);
    if let Some((last, hash)) = last {
        chains.chains.push(Chain {
            tenant,
            seals,
            last,
            head: hash.unwrap_or_default().into(),
            from: windows.map(|(from, _)| from),
            through: windows.map(|(_, through)| through),
        });
    }
    Ok(())
}

/// When each window and idle run of a chain was closed.
#[derive(Debug, Default)]
pub(super) struct Closings {
    /// End and sequence by start.
    by_start: BTreeMap<Millis, (Millis, u64)>,
    /// The chain's beginning is not here.
    partial: bool,
}

impl Closings {
    fn of(read: &[Read], partial: bool) -> Self {
        let seals = read.iter().filter_map(|read| read.seal.as_ref().ok());
        let closing = seals.filter(|seal| seal.kind.closes());
        let by_start = closing.map(|seal| (seal.start, (seal.end, seal.sequence)));
        Self {
            by_start: by_start.collect(),
            partial,
        }
    }

    /// Whether a seal that is here closed a time.
    pub(super) fn knows(&self, time: Millis) -> bool {
        let run = self.by_start.range(..=time).next_back();
        run.is_some_and(|(_, (end, _))| time < *end)
    }

    /// Whether a time was closed before a seal.
    pub(super) fn had_closed(&self, seal: &Seal, time: Millis) -> bool {
        match self.by_start.range(..=time).next_back() {
            Some((_, (end, sequence))) => time < *end && *sequence < seal.sequence,
            None => self.partial,
        }
    }
}

/// Windows neither overlap nor leave time out, and a backfill lies in windows that were sealed
/// before it. Answers from when to when they reach.
fn check_coverage(
    seals: &[Trusted],
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Option<(Millis, Millis)> {
    let mut windows: Vec<_> = seals
        .iter()
        .filter(|t| t.seal.kind.closes())
        .map(|t| (t.seal.start, t.seal.end, t.seal.sequence, t.key.as_str()))
        .collect();
    windows.sort_unstable();
    // What a seal of version 4 says to be open is held against the chain by itself.
    let says_holds = seals.last().is_some_and(|t| t.seal.statement.is_some());
    let mut wrong = |what: String, key: &str| {
        findings.push(Finding::new(Check::Coverage, what).in_file(key));
    };
    for pair in windows.windows(2) {
        let ((_, end, before, _), (start, _, _, key)) = (pair[0], pair[1]);
        if start < end {
            let what = format!("its window begins at {start}, before that of seal {before} ends");
            wrong(what, key);
        } else if start > end && !options.gaps && !says_holds {
            wrong(format!("no window holds {end} to {start}"), key);
        }
    }
    for late in seals.iter().filter(|t| t.seal.kind == SealKind::Backfill) {
        let earlier = windows.iter().filter(|w| w.2 < late.seal.sequence);
        let mut open = late.seal.start;
        for (start, end, ..) in earlier {
            if *start <= open {
                open = open.max(*end);
            }
        }
        if open < late.seal.end && !options.partial {
            let (start, end) = (late.seal.start, late.seal.end);
            let what = format!("is a backfill of {start} to {end}, which no seal before it closed");
            wrong(what, &late.key);
        }
    }
    let end = windows.iter().map(|(_, end, ..)| *end).max();
    windows.first().map(|w| w.0).zip(end)
}
