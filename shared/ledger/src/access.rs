//! Who may do what: tenants, tokens, scopes, and the cached look-up that every request makes.

use crate::ids::TenantId;
use crate::ports::{Directory, PortError};
use crate::rates::Rates;
use crate::time::Millis;
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use vernier_validation::{Mode, Profile};

/// Tokens held in one function's memory; about 400 bytes each.
pub const TOKEN_CACHE_COUNT_MAX: u64 = 10_000;

/// What every token begins with, so that a leaked one is recognised by scanners.
pub const TOKEN_PREFIX: &str = "vrn_";

/// Longest value of an Authorization header that is looked at, bytes.
pub const TOKEN_BYTES_MAX: usize = 512;

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
    /// Lanes, 1 to 256: as many partition keys as its rate needs. May grow, never shrink: a
    /// smaller number would hide the receipts in the upper lanes.
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

/// A new token: the text for its holder, shown once, and the hash that is kept.
#[derive(Clone)]
pub struct NewToken {
    /// The text, 256 bits of randomness.
    pub secret: String,
    /// SHA-256 of the text.
    pub sha256: [u8; 32],
    /// Short public name: not derived from the secret.
    pub token_id: String,
}

impl NewToken {
    /// Makes one from the operating system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        let secret = format!("{TOKEN_PREFIX}{}", hex::encode(rand::random::<[u8; 32]>()));
        let token_id = hex::encode(rand::random::<[u8; 6]>());
        Self {
            sha256: hash_token(&secret),
            secret,
            token_id,
        }
    }
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken")
            .field("token_id", &self.token_id)
            .finish_non_exhaustive()
    }
}

/// The hash under which a token is kept. Tokens are random, so a plain hash needs no salt.
#[must_use]
pub fn hash_token(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The token inside an Authorization header: `Bearer <token>` (RFC 6750) or, as older Caliper
/// sensors send it, the bare token.
#[must_use]
pub fn token_of_header(value: &str) -> Option<&str> {
    let value = value.trim();
    let token = match value.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim(),
        Some(_) => return None,
        None if value.eq_ignore_ascii_case("bearer") => return None,
        None => value,
    };
    (!token.is_empty() && token.len() <= TOKEN_BYTES_MAX).then_some(token)
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
    /// The look-up failed; nothing is known.
    #[error(transparent)]
    Port(#[from] PortError),
}

fn names(scopes: &[Scope]) -> String {
    let names: Vec<&str> = scopes.iter().map(|s| s.as_str()).collect();
    names.join(" or ")
}

/// Looks tokens up and remembers the answers, also that a token is unknown.
#[derive(Debug)]
pub struct Authenticator<D> {
    directory: D,
    cache: Cache<[u8; 32], Option<Identity>>,
}

impl<D: Directory> Authenticator<D> {
    /// Answers are remembered for `ttl`: a revoked token works that long at most.
    pub fn new(directory: D, ttl: Duration) -> Self {
        let cache = Cache::builder()
            .max_capacity(TOKEN_CACHE_COUNT_MAX)
            .time_to_live(ttl)
            .build();
        Self { directory, cache }
    }

    /// The identity behind an Authorization header, if its token may do `scope`; never a learner's.
    ///
    /// # Errors
    /// Why not.
    pub async fn authenticate(
        &self,
        header: Option<&str>,
        scope: Scope,
    ) -> Result<Identity, Denied> {
        self.authenticate_any(header, &[scope]).await
    }

    /// The identity behind an Authorization header, if its token may do one of `scopes`; never a
    /// learner's.
    ///
    /// # Errors
    /// Why not.
    pub async fn authenticate_any(
        &self,
        header: Option<&str>,
        scopes: &[Scope],
    ) -> Result<Identity, Denied> {
        let identity = self.authenticate_with_learners(header, scopes).await?;
        match identity.token.learner {
            None => Ok(identity),
            Some(_) => Err(Denied::Learner),
        }
    }

    /// The same, and learners' tokens too: the caller shows them nothing but the learner's own
    /// data, which [`TokenInfo::learner`] names.
    ///
    /// # Errors
    /// Why not.
    pub async fn authenticate_with_learners(
        &self,
        header: Option<&str>,
        scopes: &[Scope],
    ) -> Result<Identity, Denied> {
        let token = header.and_then(token_of_header).ok_or(Denied::Missing)?;
        let hash = hash_token(token);
        let known = match self.cache.get(&hash) {
            Some(known) => known,
            None => {
                let found = self.look_up(&hash).await?;
                self.cache.insert(hash, found.clone());
                found
            }
        };
        let identity = known.ok_or(Denied::Unknown)?;
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
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_header_are_read() {
        for header in ["Bearer abc", "bearer  abc ", "abc", " abc "] {
            assert_eq!(token_of_header(header), Some("abc"), "{header:?}");
        }
        for header in ["", "Bearer ", "Basic abc", &"x".repeat(600)] {
            assert_eq!(token_of_header(header), None, "{header:?}");
        }
    }

    #[test]
    fn a_new_token_does_not_print_its_secret() {
        let token = NewToken::generate();
        assert!(!format!("{token:?}").contains(&token.secret));
        assert_eq!(token.sha256, hash_token(&token.secret));
        assert!(!token.secret.contains(&token.token_id));
    }

    #[test]
    fn tokens_from_before_learners_had_their_own_read_as_the_tenants() {
        let mut info = TokenInfo {
            token_id: "0a1b".into(),
            tenant: "school".parse().expect("a tenant's name"),
            sensor: "lms".into(),
            scopes: vec![Scope::ReportsRead, Scope::AuditRead],
            learner: None,
            label: None,
            created_at: Millis(1),
            revoked_at: None,
        };
        let text = serde_json::to_string(&info).expect("serialises");
        assert!(!text.contains("learner"), "{text}");
        assert_eq!(serde_json::from_str(&text).ok().as_ref(), Some(&info));
        assert_eq!(info.scope_beyond_learner(), None);
        info.learner = Some("https://school.example/users/7".into());
        let text = serde_json::to_string(&info).expect("serialises");
        assert_eq!(serde_json::from_str(&text).ok().as_ref(), Some(&info));
        assert_eq!(info.scope_beyond_learner(), Some(Scope::AuditRead));
    }

    #[test]
    fn scopes_have_one_name_each() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            assert_eq!(
                serde_json::to_value(scope).expect("a string"),
                scope.as_str()
            );
        }
        assert!("events:delete".parse::<Scope>().is_err());
    }
}
