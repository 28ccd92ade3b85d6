//! Routes of /schemas: a tenant's own event types.

use crate::body;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::num::NonZeroU32;
use vernier_ledger::access::{Authenticator, Identity, Scope};
use vernier_ledger::object;
use vernier_ledger::ports::{Directory, Schemas};
use vernier_ledger::schema::{
    self, NotRegistered, Registered, Registration, SchemaCache, StoredSchema,
};
use vernier_ledger::time::Millis;
use vernier_validation::{ColumnPointers, SchemaRefusal};
use vernier_web::{ProblemDocument, ProblemType, Request};

/// Status and JSON body of an answer.
type Answer = Result<(u16, Box<RawValue>), ProblemDocument>;

/// Answers one request for /schemas or /schemas/{type}.
///
/// # Errors
/// The problem document to answer with.
pub async fn route<T: Directory + Schemas>(
    authenticator: &Authenticator<T>,
    cache: &SchemaCache<T>,
    request: Request<'_>,
    now: Millis,
) -> Answer {
    let method = request.method();
    let scopes: &[Scope] = match method {
        "PUT" => &[Scope::Admin],
        // Whoever sends or reads such events may know what they are.
        _ => &[Scope::EventsWrite, Scope::EventsRead, Scope::Admin],
    };
    let identity = authenticator
        .authenticate_any(request.caller(now), scopes)
        .await?;
    let type_names = request.ids_in_path();
    match (method, type_names.first()) {
        ("PUT", Some(type_name)) => put(cache, request, &identity, type_name, now).await,
        ("GET", Some(_)) => get(cache, request, &identity, &type_names).await,
        ("GET", None) => list(cache, request, &identity).await,
        (other, _) => Err(ProblemDocument::new(
            ProblemType::MethodNotAllowed,
            format!("{other}: GET, or PUT of /schemas/{{type}}"),
        )),
    }
}

/// The body of a PUT.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Proposal<'b> {
    #[serde(borrow)]
    schema: &'b RawValue,
    #[serde(default, deserialize_with = "object::read")]
    columns: ColumnPointers,
}

/// What is told of a version; the schema itself where one version is asked for.
#[derive(Serialize)]
struct View<'s> {
    r#type: &'s str,
    version: u32,
    created_at: String,
    created_by: &'s str,
    forced: bool,
    columns: &'s ColumnPointers,
    schema_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    incompatibilities: &'s [Value],
}

impl<'s> View<'s> {
    fn of(stored: &'s StoredSchema) -> Self {
        Self {
            r#type: &stored.type_name,
            version: stored.version,
            created_at: stored.created_at.rfc3339(),
            created_by: &stored.created_by,
            forced: stored.forced,
            columns: &stored.columns,
            schema_bytes: stored.schema.len(),
            schema: None,
            incompatibilities: &[],
        }
    }
}

async fn put<T: Schemas>(
    cache: &SchemaCache<T>,
    request: Request<'_>,
    identity: &Identity,
    type_name: &str,
    now: Millis,
) -> Answer {
    request.only_query(&["force"])?;
    let force = match request.query("force")? {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            let why = "expected true or false";
            return Err(ProblemDocument::parameter("force", why));
        }
    };
    let body = body::read(request)?;
    let proposal: Proposal<'_> = object::from_slice(&body).map_err(|e| {
        let detail = format!("expected {{\"schema\": {{…}}, \"columns\": {{…}}}}: {e}");
        ProblemDocument::new(ProblemType::SchemaRefused, detail)
    })?;
    let registration = Registration {
        type_name,
        schema: proposal.schema.get(),
        columns: proposal.columns,
        force,
        by: &identity.token.token_id,
    };
    let tenant = &identity.tenant.id;
    let registered = schema::register(cache.store(), tenant, &registration, now).await;
    let (status, stored, reasons) = match registered.map_err(refused)? {
        Registered::Unchanged(stored) => (200, stored, Vec::new()),
        Registered::New(stored, reasons) => {
            cache.forget(tenant);
            tracing::info!(
                %tenant,
                token = identity.token.token_id,
                version = stored.version,
                forced = stored.forced,
                "schema registered"
            );
            (201, stored, reasons)
        }
    };
    let view = View {
        incompatibilities: &findings(&reasons),
        ..View::of(&stored)
    };
    answer(status, &view)
}

async fn get<T: Schemas>(
    cache: &SchemaCache<T>,
    request: Request<'_>,
    identity: &Identity,
    type_names: &[Cow<'_, str>],
) -> Answer {
    request.only_query(&["version"])?;
    let store = cache.store();
    let tenant = &identity.tenant.id;
    let version = request.query("version")?.map(str::parse::<NonZeroU32>);
    let version = version
        .transpose()
        .map_err(|_| ProblemDocument::parameter("version", "expected a whole number from 1"))?;
    let mut all = store.schemas(tenant).await?;
    let mut places = type_names
        .iter()
        .filter_map(|name| all.iter().position(|stored| stored.type_name == *name));
    let current = places.next().map(|place| all.swap_remove(place));
    let found = match (current, version) {
        (Some(current), Some(version)) => {
            let name = &current.type_name;
            store.schema_version(tenant, name, version.get()).await?
        }
        (current, _) => current,
    };
    let stored = found.ok_or_else(|| {
        ProblemDocument::new(
            ProblemType::NotFound,
            "no schema of this type and version is registered",
        )
    })?;
    let view = View {
        schema: RawValue::from_string(stored.schema.clone()).ok(),
        ..View::of(&stored)
    };
    answer(200, &view)
}

async fn list<T: Schemas>(
    cache: &SchemaCache<T>,
    request: Request<'_>,
    identity: &Identity,
) -> Answer {
    request.only_query(&[])?;
    let all = cache.store().schemas(&identity.tenant.id).await?;
    let views: Vec<View<'_>> = all.iter().map(View::of).collect();
    answer(200, &json!({ "schemas": views }))
}

fn answer(status: u16, body: &impl Serialize) -> Answer {
    let body = to_raw_value(body)
        .map_err(|e| ProblemDocument::new(ProblemType::Internal, e.to_string()))?;
    Ok((status, body))
}

fn findings(refusals: &[SchemaRefusal]) -> Vec<Value> {
    refusals
        .iter()
        .map(|r| json!({ "pointer": r.pointer, "message": r.message }))
        .collect()
}

fn refused(reason: NotRegistered) -> ProblemDocument {
    let detail = reason.to_string();
    let (kind, problems) = match reason {
        NotRegistered::Port(error) => return error.into(),
        NotRegistered::Refused(refusal) => (ProblemType::SchemaRefused, findings(&[refusal])),
        NotRegistered::Incompatible { reasons, .. } => {
            (ProblemType::SchemaIncompatible, findings(&reasons))
        }
        NotRegistered::TooMuch(_) => (ProblemType::QuotaExceeded, Vec::new()),
    };
    ProblemDocument {
        problems,
        ..ProblemDocument::new(kind, detail)
    }
}
