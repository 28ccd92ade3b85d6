//! Who may do what: tenants, tokens, scopes, and the cached look-up that every request makes.

use crate::ids::TenantId;
use crate::ports::{Directory, PortError};
use crate::rates::Rates;
use crate::time::Millis;
use attempts::Attempts;
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use vernier_validation::{Mode, Profile};

pub use secret::{
    NewToken, TOKEN_BYTES_MAX, TOKEN_PREFIX, hash_token, is_well_formed, token_of_header,
};

mod attempts;
mod secret;

/// Tokens held in one function's memory; about 400 bytes each.
pub const TOKEN_CACHE_COUNT_MAX: u64 = 10_000;

/// How long a process remembers that a token is unknown. One that is issued meanwhile works after this.
pub const UNKNOWN_TOKEN_SECONDS: i64 = 10;

/// Unknown tokens that a process looks up in a minute for one address where nothing else is said.
pub const UNKNOWN_TOKENS_PER_MINUTE: u32 = 30;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Post envelopes.
    #[serde(rename = "events:write")]
    EventsWrite,
    /// Read receipts and events.
    #[serde(rename = "events:read")]
    EventsRead,
    /// Read reports.
    #[serde(rename = "reports:read")]
    ReportsRead,
    /// Read window accounts, seals and proofs.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// Start, pause and cancel playbacks.
    #[serde(rename = "playback")]
    Playback,
    /// Change the tenant's settings and schemas.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::EventsWrite,
        Self::EventsRead,
        Self::ReportsRead,
        Self::AuditRead,
        Self::Playback,
        Self::Admin,
    ];

    /// Whether it reads only: such a scope outlives the closing of its tenant.
    #[must_use]
    pub const fn is_reading(self) -> bool {
        match self {
            Self::EventsRead | Self::ReportsRead | Self::AuditRead => true,
            Self::EventsWrite | Self::Playback | Self::Admin => false,
        }
    }

    /// Its name in tokens and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EventsWrite => "events:write",
            Self::EventsRead => "events:read",
            Self::ReportsRead => "reports:read",
            Self::AuditRead => "audit:read",
            Self::Playback => "playback",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|s| s.as_str()).collect();
                format!("no scope {text:?}; there are {}", names.join(", "))
            })
    }
}

/// A tenant's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// Strict or lenient.
    pub mode: Mode,
    /// Which sensor family's habits lenient mode knows.
    pub profile: Profile,
    /// Lanes with which it begins, 1 to 256, and as many partition keys on the stream; both grow by themselves
    /// ([`crate::spread`]). May be raised, never lowered: a smaller number would hide the receipts in the upper lanes.
    pub lanes: u16,
    /// When it was created.
    pub created_at: Millis,
    /// The most that it may send in a second.
    #[serde(default, skip_serializing_if = "Rates::is_unlimited")]
    pub rates: Rates,
    /// When it was closed: since then nothing of it may be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Millis>,
    /// When its data was removed; its settings stay, so that nobody else gets its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<Millis>,
}

impl Tenant {
    /// One that is created at an instant, with the settings that nobody has to choose: strict, generic, a lane, no rates.
    #[must_use]
    pub fn new(id: TenantId, created_at: Millis) -> Self {
        Self {
            id,
            mode: Mode::Strict,
            profile: Profile::Generic,
            lanes: 1,
            created_at,
            rates: Rates::default(),
            closed_at: None,
            removed_at: None,
        }
    }
}

/// What is known of a token; never the token itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Short public name, for lists and revocation.
    pub token_id: String,
    /// Whose data it reaches.
    pub tenant: TenantId,
    /// The sensor (or reader) that holds it.
    pub sensor: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The learner whose data alone it reads; none for one that reads all of the tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learner: Option<String>,
    /// A note for people.
    pub label: Option<String>,
    /// When it was issued.
    pub created_at: Millis,
    /// When it was revoked.
    pub revoked_at: Option<Millis>,
}

impl TokenInfo {
    /// What a learner's token may do.
    pub const LEARNER_SCOPES: [Scope; 2] = [Scope::EventsRead, Scope::ReportsRead];

    /// The first of its scopes that a learner's token does not have; none for any other token.
    #[must_use]
    pub fn scope_beyond_learner(&self) -> Option<Scope> {
        self.learner.as_ref()?;
        let mut scopes = self.scopes.iter().copied();
        scopes.find(|scope| !Self::LEARNER_SCOPES.contains(scope))
    }
}

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The tenant's settings.
    pub tenant: Tenant,
    /// The token.
    pub token: TokenInfo,
    /// Signs what is handed to the token's holder to be brought back (page cursors).
    pub signing_key: [u8; 32],
}

/// Why a request may not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No Authorization header, or none that can be read.
    #[error("no token: send 'Authorization: Bearer <token>'")]
    Missing,
    /// No such token.
    #[error("the token is not known")]
    Unknown,
    /// It was revoked.
    #[error("the token was revoked at {0}")]
    Revoked(Millis),
    /// Its tenant was closed, and what the token asks for is no reading.
    #[error("the tenant was closed at {0}: nothing of it is written any more")]
    Closed(Millis),
    /// It may do none of these, and needs one.
    #[error("the token lacks the scope {}", names(.0))]
    Scope(Vec<Scope>),
    /// It reads one learner's data, and this is not for learners.
    #[error("the token reads one learner's data only, and this is the tenant's")]
    Learner,
    /// Its address has asked for too many unknown tokens, and this one was not looked up.
    #[error(
        "too many unknown tokens came from this address, and this one was not looked up: try again later"
    )]
    TooManyUnknown {
        /// When this address has a look-up again.
        retry_after_seconds: u32,
    },
    /// The look-up failed; nothing is known.
    #[error(transparent)]
    Port(#[from] PortError),
}

fn names(scopes: &[Scope]) -> String {
    let names: Vec<&str> = scopes.iter().map(|s| s.as_str()).collect();
    names.join(" or ")
}

/// What a request says of its sender.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'r> {
    /// The value of the Authorization header, if there is one.
    pub authorization: Option<&'r str>,
    /// The address that the gateway saw; all requests without one count as one address's.
    pub address: Option<&'r str>,
    /// When the request came.
    pub now: Millis,
}

/// How long and how often an [`Authenticator`] looks.
#[derive(Debug, Clone, Copy)]
pub struct LookUps {
    /// How long the answer for a known token is trusted: a revoked token works that long at most.
    pub trusted: Duration,
    /// Unknown tokens that are looked up in a minute for one address, at least one.
    pub unknown_per_minute: u32,
}

impl LookUps {
    /// The usual number of unknown tokens.
    #[must_use]
    pub const fn trusting(trusted: Duration) -> Self {
        Self {
            trusted,
            unknown_per_minute: UNKNOWN_TOKENS_PER_MINUTE,
        }
    }
}

/// Looks tokens up and remembers the answers, also that a token is unknown.
///
/// What cannot be a token is never looked up, an unknown one once in [`UNKNOWN_TOKEN_SECONDS`], and of
/// other unknown ones only so many a minute for each address: guessing costs no reads. A token that was
/// known when it was last looked up is looked up again whatever its address did.
#[derive(Debug)]
pub struct Authenticator<D> {
    directory: D,
    trusted: Cache<[u8; 32], Identity>,
    /// Hashes of tokens that were known when they were last looked up.
    known: Cache<[u8; 32], ()>,
    /// Until when unknown tokens are not looked up again.
    unknown: Cache<[u8; 32], Millis>,
    attempts: Attempts,
}

impl<D: Directory> Authenticator<D> {
    /// One for a process, which nothing is known to yet.
    pub fn new(directory: D, look_ups: LookUps) -> Self {
        let cache = || Cache::builder().max_capacity(TOKEN_CACHE_COUNT_MAX);
        Self {
            directory,
            trusted: cache().time_to_live(look_ups.trusted).build(),
            known: Cache::new(TOKEN_CACHE_COUNT_MAX),
            unknown: Cache::new(TOKEN_CACHE_COUNT_MAX),
            attempts: Attempts::new(look_ups.unknown_per_minute),
        }
    }

    /// The identity behind a caller's token, if it may do `scope`; never a learner's.
    ///
    /// # Errors
    /// Why not.
    pub async fn authenticate(&self, caller: Caller<'_>, scope: Scope) -> Result<Identity, Denied> {
        self.authenticate_any(caller, &[scope]).await
    }

    /// The identity behind a caller's token, if it may do one of `scopes`; never a learner's.
    ///
    /// # Errors
    /// Why not.
    pub async fn authenticate_any(
        &self,
        caller: Caller<'_>,
        scopes: &[Scope],
    ) -> Result<Identity, Denied> {
        let identity = self.authenticate_with_learners(caller, scopes).await?;
        match identity.token.learner {
            None => Ok(identity),
            Some(_) => Err(Denied::Learner),
        }
    }

    /// The same, and learners' tokens too: whoever calls this shows them nothing but the learner's own
    /// data, which [`TokenInfo::learner`] names.
    ///
    /// # Errors
    /// Why not.
    pub async fn authenticate_with_learners(
        &self,
        caller: Caller<'_>,
        scopes: &[Scope],
    ) -> Result<Identity, Denied> {
        let token = caller.authorization.and_then(token_of_header);
        let token = token.ok_or(Denied::Missing)?;
        let hash = hash_token(token);
        let identity = match self.trusted.get(&hash) {
            Some(identity) => identity,
            None => self.identify(token, hash, caller).await?,
        };
        if let Some(at) = identity.token.revoked_at {
            return Err(Denied::Revoked(at));
        }
        let mut usable = scopes
            .iter()
            .filter(|s| identity.token.scopes.contains(s))
            .peekable();
        if usable.peek().is_none() {
            return Err(Denied::Scope(scopes.to_vec()));
        }
        match identity.tenant.closed_at {
            Some(at) if !usable.any(|scope| scope.is_reading()) => Err(Denied::Closed(at)),
            _ => Ok(identity),
        }
    }

    /// Looks a token up that is not trusted at the moment, if that is worth a read.
    async fn identify(
        &self,
        token: &str,
        hash: [u8; 32],
        caller: Caller<'_>,
    ) -> Result<Identity, Denied> {
        let is_due = |until: Millis| until <= caller.now;
        if !is_well_formed(token) || self.unknown.get(&hash).is_some_and(|u| !is_due(u)) {
            return Err(Denied::Unknown);
        }
        let is_known = self.known.contains_key(&hash);
        if !is_known {
            let taken = self.attempts.take(caller.address, caller.now);
            taken.map_err(|retry_after_seconds| Denied::TooManyUnknown {
                retry_after_seconds,
            })?;
        }
        let found = self.look_up(&hash).await;
        if !is_known && !matches!(found, Ok(None)) {
            self.attempts.give_back(caller.address);
        }
        if let Some(identity) = found? {
            self.known.insert(hash, ());
            self.trusted.insert(hash, identity.clone());
            return Ok(identity);
        }
        self.known.invalidate(&hash);
        let until = caller.now.plus_seconds(UNKNOWN_TOKEN_SECONDS);
        self.unknown.insert(hash, until);
        Err(Denied::Unknown)
    }

    async fn look_up(&self, hash: &[u8; 32]) -> Result<Option<Identity>, PortError> {
        let Some(token) = self.directory.token(hash).await? else {
            return Ok(None);
        };
        let Some(tenant) = self.directory.tenant(&token.tenant).await? else {
            return Ok(None);
        };
        let mut signing_key = Sha256::new();
        signing_key.update(b"vernier page cursor");
        signing_key.update(hash);
        Ok(Some(Identity {
            tenant,
            token,
            signing_key: signing_key.finalize().into(),
        }))
    }
}

#[cfg(test)]
mod tests;
