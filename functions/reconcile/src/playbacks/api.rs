//! `/playbacks`.

use super::{NotBegun, NotMoved, act, begin, play};
use crate::context::Context;
use serde_json::{Value, json};
use vernier_ledger::access::{Identity, Scope};
use vernier_ledger::clock;
use vernier_ledger::ids::TenantId;
use vernier_ledger::object;
use vernier_ledger::playback_job::{PlaybackAction, PlaybackId, PlaybackJob, PlaybackRequest};
use vernier_ledger::ports::Playbacks;
use vernier_ledger::prices::{PRICES_AS_OF, WRITE_UNIT_USD};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{DueItem, Nonce, NudgeQueue, Owner};
use vernier_web::{ProblemDocument, ProblemType, Request};

/// Playbacks in a list, the newest.
const LISTED_MAX: usize = 100;

/// A request, bytes: 1,000 receipts are 40 KB, a filter's columns 6 KB each when every byte is escaped.
const REQUEST_BYTES_MAX: usize = 128 * 1024;

/// A playback of so many events is begun with the request...
const AT_ONCE_EVENTS_MAX: u64 = 20_000;

/// ...and goes on for so long, seconds; the gateway waits 29.
const AT_ONCE_SECONDS: i64 = 8;

/// Answers with a status and a document.
///
/// # Errors
/// What the caller is told instead.
pub async fn route<S: ReconcileStores>(
    context: &Context<S>,
    request: Request<'_>,
    now: Millis,
) -> Result<(u16, Value), ProblemDocument> {
    let authenticated = context
        .authenticator
        .authenticate(request.caller(now), Scope::Playback);
    let identity = authenticated.await?;
    request.only_query(&[])?;
    let resource = request.resource();
    let action = match resource {
        "/playbacks/{id}/pause" => Some(PlaybackAction::Pause),
        "/playbacks/{id}/resume" => Some(PlaybackAction::Resume),
        "/playbacks/{id}/cancel" => Some(PlaybackAction::Cancel),
        _ => None,
    };
    let (table, tenant) = (context.stores.table(), &identity.tenant.id);
    match (request.method(), resource, action) {
        ("POST", "/playbacks", _) => start(context, request, &identity, now).await,
        ("POST", _, Some(action)) => {
            let nonce = (context.process.new_nonce)();
            let job = act(table, tenant, id_of(request)?, action, nonce, now).await?;
            if job.state.is_due() {
                nudge(context, tenant, nonce, now).await;
            }
            Ok((200, view(&job)))
        }
        ("GET", "/playbacks", _) => {
            let jobs = table.playbacks(tenant).await?;
            let newest: Vec<Value> = jobs.iter().rev().take(LISTED_MAX).map(view).collect();
            Ok((200, json!({ "playbacks": newest })))
        }
        ("GET", "/playbacks/{id}", _) => {
            let found = table.playback(tenant, id_of(request)?).await?;
            let job = found.ok_or(NotMoved::Unknown)?;
            Ok((200, view(&job)))
        }
        (method, _, _) => Err(ProblemDocument::new(
            ProblemType::MethodNotAllowed,
            format!("{method} {resource}"),
        )),
    }
}

fn id_of(request: Request<'_>) -> Result<PlaybackId, ProblemDocument> {
    let id = request.id_in_path();
    id.parse()
        .map_err(|_| ProblemDocument::parameter("id", "expected a playback's id, a UUID"))
}

async fn start<S: ReconcileStores>(
    context: &Context<S>,
    request: Request<'_>,
    identity: &Identity,
    now: Millis,
) -> Result<(u16, Value), ProblemDocument> {
    let body = request.body()?;
    if body.len() > REQUEST_BYTES_MAX {
        let why = format!("a request has at most {REQUEST_BYTES_MAX} bytes");
        return Err(ProblemDocument::new(ProblemType::ContentTooLarge, why));
    }
    let asked: PlaybackRequest = object::from_slice(&body).map_err(|e| {
        ProblemDocument::new(
            ProblemType::BodyMalformed,
            format!("body: no playback: {e}"),
        )
    })?;
    if let Some((pointer, why)) = asked.problem() {
        return Err(ProblemDocument::parameter(pointer, &why));
    }
    let (table, tenant) = (context.stores.table(), &identity.tenant.id);
    let nonce = (context.process.new_nonce)();
    let mut job = begin(table, tenant, asked, &identity.token.token_id, nonce, now).await?;
    if job.progress.events <= AT_ONCE_EVENTS_MAX {
        let deadline = now.plus_seconds(AT_ONCE_SECONDS);
        match play(context.wires(), tenant, job.id, clock::now, deadline).await {
            Ok(played) => job = played,
            // It is begun: a worker goes on with it.
            Err(error) => tracing::warn!(playback = %job.id, %tenant, %error, "not played at once"),
        }
    }
    if job.state.is_due() {
        nudge(context, tenant, nonce, now).await;
    }
    Ok((202, view(&job)))
}

/// Has a worker begin at once; else the planner finds the entry.
async fn nudge<S: ReconcileStores>(
    context: &Context<S>,
    tenant: &TenantId,
    nonce: Nonce,
    due: Millis,
) {
    let item = DueItem {
        owner: Owner::Tenant(tenant.clone()),
        due,
        nonce,
        lone_since: None,
    };
    for answer in context.stores.queue().send(&[item.into()]).await {
        if let Err(error) = answer {
            tracing::info!(%tenant, %error, "not nudged at once");
        }
    }
}

impl From<NotBegun> for ProblemDocument {
    fn from(why: NotBegun) -> Self {
        match why {
            NotBegun::Port(error) => error.into(),
            NotBegun::TooManySeals(_) => Self::parameter("/from", &why.to_string()),
            NotBegun::TooManyOpen => Self::new(ProblemType::QuotaExceeded, why.to_string()),
        }
    }
}

impl From<NotMoved> for ProblemDocument {
    fn from(why: NotMoved) -> Self {
        match why {
            NotMoved::Port(error) => error.into(),
            NotMoved::Unknown => Self::new(ProblemType::NotFound, why.to_string()),
            NotMoved::Ended(_) => Self::new(ProblemType::StateConflict, why.to_string()),
        }
    }
}

/// A playback as its tenant sees it.
fn view(job: &PlaybackJob) -> Value {
    let writes = job.progress.writes;
    json!({
        "id": job.id,
        "state": job.state,
        "reason": job.reason,
        "request": job.request,
        "token_id": job.token_id,
        "created_at": job.created_at.rfc3339(),
        "updated_at": job.updated_at.rfc3339(),
        "progress": job.progress,
        "diff": job.diff,
        "cost": {
            "write_units": writes,
            "usd": writes as f64 * WRITE_UNIT_USD,
            "prices_as_of": PRICES_AS_OF,
        },
    })
}
