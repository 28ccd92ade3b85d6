//! Tenants' own event types: registered schemas, their versions, and the compiled ones that the
//! input function holds.

use crate::ids::TenantId;
use crate::limits::{
    SCHEMA_CACHE_BYTES_MAX, SCHEMA_PUT_ATTEMPTS_MAX, TENANT_SCHEMA_TYPES_MAX,
    TENANT_SCHEMA_WEIGHT_BYTES_MAX,
};
use crate::ports::{PortError, Schemas};
use crate::time::Millis;
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use vernier_validation::{ColumnPointers, DomainSchema, DomainSchemas, SchemaRefusal};

/// One version of the schema of one event type, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSchema {
    /// The event type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// From 1, without gaps.
    pub version: u32,
    /// The JSON Schema, compacted.
    pub schema: String,
    /// Which properties are the query columns.
    pub columns: ColumnPointers,
    /// When it was registered.
    pub created_at: Millis,
    /// The token that registered it, by its public name.
    pub created_by: String,
    /// Whether it was registered although it may reject what the version before accepted.
    pub forced: bool,
}

impl StoredSchema {
    /// Compiles it.
    ///
    /// # Errors
    /// When today's bounds refuse what was taken before.
    pub fn compile(&self) -> Result<DomainSchema, SchemaRefusal> {
        DomainSchema::compile(
            &self.type_name,
            self.version,
            &self.schema,
            self.columns.clone(),
        )
    }
}

/// A schema to be registered.
#[derive(Debug, Clone)]
pub struct Registration<'r> {
    /// The event type.
    pub type_name: &'r str,
    /// The JSON Schema as sent.
    pub schema: &'r str,
    /// Which properties are the query columns.
    pub columns: ColumnPointers,
    /// Take it even if it may reject what the version before accepted.
    pub force: bool,
    /// The token that registers it, by its public name.
    pub by: &'r str,
}

/// What became of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// It is a new version; with what it may reject of the version before, where it was forced.
    New(StoredSchema, Vec<SchemaRefusal>),
    /// The current version is the same.
    Unchanged(StoredSchema),
}

/// Why a schema is not registered.
#[derive(Debug, thiserror::Error)]
pub enum NotRegistered {
    /// It is no schema that is taken.
    #[error("{0}")]
    Refused(SchemaRefusal),
    /// It may reject what the current version accepts.
    #[error("it may reject events that version {version} accepts")]
    Incompatible {
        /// The current version.
        version: u32,
        /// Where, and why.
        reasons: Vec<SchemaRefusal>,
    },
    /// The tenant has as much as it may have.
    #[error("{0}")]
    TooMuch(String),
    /// A store did not answer, or others kept registering the same type.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Registers a schema as the next version of its type.
///
/// # Errors
/// Why not; then nothing is changed.
pub async fn register<S: Schemas>(
    store: &S,
    tenant: &TenantId,
    registration: &Registration<'_>,
    now: Millis,
) -> Result<Registered, NotRegistered> {
    for _ in 0..SCHEMA_PUT_ATTEMPTS_MAX {
        let current = store.schemas(tenant).await?;
        let before = current
            .iter()
            .find(|s| s.type_name == registration.type_name);
        let text = compacted(registration.schema)?;
        if let Some(same) = before.filter(|s| s.schema == text && s.columns == registration.columns)
        {
            return Ok(Registered::Unchanged(same.clone()));
        }
        let mut next = StoredSchema {
            type_name: registration.type_name.to_owned(),
            version: before.map_or(1, |s| s.version + 1),
            schema: text,
            columns: registration.columns.clone(),
            created_at: now,
            created_by: registration.by.to_owned(),
            forced: false,
        };
        let compiled = next.compile().map_err(NotRegistered::Refused)?;
        check_room(&current, &compiled)?;
        let reasons = match before {
            None => Vec::new(),
            Some(before) => incompatibilities(&compiled, before)?,
        };
        if let (false, false, Some(before)) = (reasons.is_empty(), registration.force, before) {
            return Err(NotRegistered::Incompatible {
                version: before.version,
                reasons,
            });
        }
        next.forced = !reasons.is_empty();
        if store.put_schema(tenant, &next).await? {
            return Ok(Registered::New(next, reasons));
        }
        // Somebody else registered this version: look again.
    }
    Err(PortError::Retryable("put schema: others keep registering this type".into()).into())
}

/// The text that is kept and compared: white space says nothing.
fn compacted(schema: &str) -> Result<String, NotRegistered> {
    serde_json::from_str::<serde::de::IgnoredAny>(schema).map_err(|e| {
        NotRegistered::Refused(SchemaRefusal {
            pointer: String::new(),
            message: format!("not JSON: {e}"),
        })
    })?;
    let mut text = Vec::new();
    vernier_validation::compact(schema, &mut text);
    // Taking out white space leaves UTF-8 as it was.
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A version that today's bounds refuse cannot be compared.
fn incompatibilities(
    new: &DomainSchema,
    before: &StoredSchema,
) -> Result<Vec<SchemaRefusal>, NotRegistered> {
    Ok(match before.compile() {
        Ok(before) => new.incompatibilities(&before),
        Err(refusal) => vec![refusal],
    })
}

/// Refuses what would not leave room for the tenant's schemas in memory (invariant 8).
fn check_room(current: &[StoredSchema], new: &DomainSchema) -> Result<(), NotRegistered> {
    let others = current.iter().filter(|s| s.type_name != new.type_name());
    let (mut types, mut weight) = (1, new.weight_bytes());
    for other in others {
        types += 1;
        weight += other.compile().map_or(0, |s| s.weight_bytes());
    }
    if types > TENANT_SCHEMA_TYPES_MAX {
        return Err(NotRegistered::TooMuch(format!(
            "a tenant has at most {TENANT_SCHEMA_TYPES_MAX} event types of its own"
        )));
    }
    if weight > TENANT_SCHEMA_WEIGHT_BYTES_MAX {
        return Err(NotRegistered::TooMuch(format!(
            "the tenant's schemas would take {weight} bytes when compiled, of at most \
             {TENANT_SCHEMA_WEIGHT_BYTES_MAX}: shorten schemas or simplify their patterns"
        )));
    }
    Ok(())
}

type Shared = Option<Arc<DomainSchemas>>;

/// Each tenant's current schemas, compiled once.
#[derive(Debug)]
pub struct SchemaCache<S> {
    store: S,
    /// What is believed for the time to live; none for a tenant without schemas.
    fresh: Cache<TenantId, Shared>,
    /// What was compiled, to be taken over by the next look.
    compiled: Cache<TenantId, Arc<DomainSchemas>>,
}

impl<S: Schemas> SchemaCache<S> {
    /// A new version counts everywhere after `ttl` at the latest.
    pub fn new(store: S, ttl: Duration) -> Self {
        let fresh = Cache::builder()
            .max_capacity(SCHEMA_CACHE_BYTES_MAX)
            .weigher(|_, shared: &Shared| shared.as_ref().map_or(128, |s| weight(s)))
            .time_to_live(ttl)
            .build();
        let compiled = Cache::builder()
            .max_capacity(SCHEMA_CACHE_BYTES_MAX)
            .weigher(|_, schemas: &Arc<DomainSchemas>| weight(schemas))
            .build();
        Self {
            store,
            fresh,
            compiled,
        }
    }

    /// The store behind it.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// The tenant's schemas; none when it has none.
    ///
    /// # Errors
    /// When they cannot be read; nothing is known then.
    pub async fn of(&self, tenant: &TenantId) -> Result<Shared, PortError> {
        if let Some(shared) = self.fresh.get(tenant) {
            return Ok(shared);
        }
        let stored = self.store.schemas(tenant).await?;
        let shared = self.compile(tenant, &stored);
        self.fresh.insert(tenant.clone(), shared.clone());
        if let Some(schemas) = &shared {
            self.compiled.insert(tenant.clone(), schemas.clone());
        }
        Ok(shared)
    }

    /// Forgets what is believed of a tenant: this process registered a new version.
    pub fn forget(&self, tenant: &TenantId) {
        self.fresh.invalidate(tenant);
    }

    fn compile(&self, tenant: &TenantId, stored: &[StoredSchema]) -> Shared {
        let before = self.compiled.get(tenant);
        let mut schemas = DomainSchemas::new();
        for one in stored {
            let known = before.as_ref().and_then(|b| b.get(&one.type_name));
            match known.filter(|s| s.version() == one.version) {
                Some(same) => schemas.insert(same.clone()),
                None => match one.compile() {
                    Ok(new) => schemas.insert(Arc::new(new)),
                    // Its events are then of an unknown type: refused or opaque, never lost.
                    Err(_) => tracing::error!(
                        tenant = %tenant,
                        version = one.version,
                        "a registered schema no longer compiles"
                    ),
                },
            }
        }
        (!schemas.is_empty()).then(|| Arc::new(schemas))
    }
}

fn weight(schemas: &DomainSchemas) -> u32 {
    let sum: usize = schemas.iter().map(|s| s.weight_bytes()).sum();
    u32::try_from(sum + 128).unwrap_or(u32::MAX)
}
