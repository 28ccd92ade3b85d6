//! Routes and status codes of the accounts; the schedule's event and the queue's.

use crate::context::Context;
use crate::counted_accounts;
use crate::planner::plan;
use crate::playbacks;
use crate::scaling::Scaler;
use crate::shortfalls::add_shortfalls;
use crate::worker::turn;
use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayProxyResponse};
use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use vernier_archive::seal::{Shortfall, ShortfallCause};
use vernier_ledger::access::Scope;
use vernier_ledger::account::{MissingReceipt, WindowAccount, WindowState};
use vernier_ledger::clock;
use vernier_ledger::digest::Digest;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::ports::{ScalingLogs, Shards, StreamMetrics};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;
use vernier_ledger::work::Nudge;
use vernier_web::{ProblemDocument, Request};

/// Before the planner, so that a peak does not wait for anything: looks at
/// the stream and scales it. A look that failed is the next run's. An API request and a nudge scale nothing.
pub async fn scale<M: StreamMetrics, H: Shards, L: ScalingLogs>(
    scaler: &Scaler<M, H, L>,
    event: &LambdaEvent<Value>,
) {
    if is_api_request(event) || is_from_queue(event) {
        return;
    }
    match scaler.run(clock::now()).await {
        Ok(decision) => tracing::info!(
            shards = decision.to,
            reason = ?decision.reason,
            "stream scaling"
        ),
        Err(error) => tracing::error!(%error, "stream not scaled"),
    }
}

fn is_api_request(event: &LambdaEvent<Value>) -> bool {
    event.payload.get("httpMethod").is_some()
}

fn is_from_queue(event: &LambdaEvent<Value>) -> bool {
    let source = event.payload.pointer("/Records/0/eventSource");
    source.and_then(Value::as_str) == Some("aws:sqs")
}

/// Answers an API request, takes the turns that the queue's nudges ask for, or plans, as the schedule's event asks.
///
/// # Errors
/// When the due index or a work list could not be read, no checkpoint could be written, or a message is no nudge.
pub async fn handle<S: ReconcileStores>(
    context: &Context<S>,
    event: LambdaEvent<Value>,
) -> Result<Value, Error> {
    if is_api_request(&event) {
        let request: ApiGatewayProxyRequest = serde_json::from_value(event.payload)?;
        let route = route(context, Request(&request), clock::now());
        let answer = vernier_web::answered(&context.origins, Request(&request), route).await;
        return Ok(serde_json::to_value(answer)?);
    }
    let request_id = event.context.request_id.clone();
    if is_from_queue(&event) {
        let deadline = Millis(i64::try_from(event.context.deadline).unwrap_or(i64::MAX));
        let messages: SqsEvent = serde_json::from_value(event.payload)?;
        for message in messages.records {
            let nudge: Nudge = serde_json::from_str(&message.body.unwrap_or_default())?;
            take_turn(context, &nudge, deadline, &request_id).await?;
        }
        return Ok(Value::Null);
    }
    let planned = plan(&context.stores, &context.process, clock::now()).await?;
    let line = planned.line(clock::now());
    context.metrics.write(&line.with("requestId", request_id));
    if !planned.is_checkpointed {
        return Err("no checkpoint of the shards was written".into());
    }
    Ok(json!({
        "owners": planned.owners,
        "sent": planned.sent,
        "failed": planned.failed,
    }))
}

async fn take_turn<S: ReconcileStores>(
    context: &Context<S>,
    nudge: &Nudge,
    deadline: Millis,
    request_id: &str,
) -> Result<(), Error> {
    let (stores, process) = (&context.stores, &context.process);
    let taking = turn(
        stores,
        process,
        &context.settings,
        nudge,
        &clock::now,
        deadline,
    );
    let taken = taking.await?;
    let line = taken.line(clock::now());
    context.metrics.write(&line.with("requestId", request_id));
    Ok(())
}

#[derive(Serialize)]
struct Received {
    envelopes: u64,
    unacknowledged: u64,
    events: u64,
    digest: Digest,
}

#[derive(Serialize)]
struct Accounted {
    events: u64,
    /// Null where the range is too large to count them in one request.
    stored: Option<u64>,
    duplicate: Option<u64>,
    conflict: Option<u64>,
    rejected: u64,
    digest: Digest,
}

#[derive(Serialize)]
struct WindowView<'a> {
    start: String,
    end: String,
    state: WindowState,
    complete: bool,
    received: Received,
    accounted: Accounted,
    missing_count: u64,
    missing: &'a [MissingReceipt],
    /// What the window's seal says of what is missing; null where it misses nothing, and where there is no seal yet.
    shortfall: Option<ShortfallView<'a>>,
}

#[derive(Serialize)]
struct ShortfallView<'a> {
    cause: ShortfallCause,
    since: Option<String>,
    reason: &'a str,
}

impl<'a> From<&'a Shortfall> for ShortfallView<'a> {
    fn from(shortfall: &'a Shortfall) -> Self {
        Self {
            cause: shortfall.cause,
            since: shortfall.since.map(Millis::rfc3339),
            reason: &shortfall.reason,
        }
    }
}

impl<'a> WindowView<'a> {
    fn of(account: &'a WindowAccount, shortfalls: &'a BTreeMap<Millis, Shortfall>) -> Self {
        let (received, stored) = (&account.received, &account.stored_side);
        let counts = account.dispositions;
        Self {
            start: account.start.rfc3339(),
            end: account.end.rfc3339(),
            state: account.state,
            complete: account.adds_up(),
            received: Received {
                envelopes: received.envelopes,
                unacknowledged: received.unacknowledged,
                events: received.tally.events,
                digest: received.tally.digest,
            },
            accounted: Accounted {
                events: stored.events,
                stored: counts.map(|c| c.stored),
                duplicate: counts.map(|c| c.duplicate),
                conflict: counts.map(|c| c.conflict),
                rejected: stored.rejected,
                digest: stored.digest,
            },
            missing_count: account.missing_count,
            missing: &account.missing,
            shortfall: shortfalls.get(&account.start).map(ShortfallView::from),
        }
    }
}

/// The parameter that asks for what is missing behind a receipt.
const MISSING_AFTER: &str = "missing_after";

fn missing_after(request: Request<'_>) -> Result<Option<ReceiptId>, ProblemDocument> {
    let Some(text) = request.query(MISSING_AFTER)? else {
        return Ok(None);
    };
    let id = text.parse();
    id.map(Some)
        .map_err(|_| ProblemDocument::parameter(MISSING_AFTER, "is no receipt's id"))
}

async fn route<S: ReconcileStores>(
    context: &Context<S>,
    request: Request<'_>,
    now: Millis,
) -> Result<ApiGatewayProxyResponse, ProblemDocument> {
    if request.resource().starts_with("/playbacks") {
        let (status, body) = Box::pin(playbacks::api::route(context, request, now)).await?;
        return Ok(vernier_web::json(status, &[], &body));
    }
    let identity = context
        .authenticator
        .authenticate(request.caller(now), Scope::AuditRead)
        .await?;
    request.only_query(&["from", "to", MISSING_AFTER])?;
    let range = request.live_range(now)?;
    let missing_after = missing_after(request)?;
    let mut drawn_up = counted_accounts(
        &context.stores,
        context.settings.windows,
        &identity.tenant,
        range,
        now,
    )
    .await?;
    let tenant = &identity.tenant.id;
    let shortfalls = add_shortfalls(&context.stores, tenant, &mut drawn_up).await?;
    let drawn_up: Vec<WindowAccount> = drawn_up
        .into_iter()
        .map(|account| account.named_after(missing_after))
        .collect();
    let windows: Vec<WindowView<'_>> = drawn_up
        .iter()
        .map(|account| WindowView::of(account, &shortfalls))
        .collect();
    Ok(vernier_web::json(200, &[], &json!({ "windows": windows })))
}
