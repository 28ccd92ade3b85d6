//! Routes and status codes of /caliper, a Caliper Endpoint (Caliper 1.2, HTTP requests); those of
//! /schemas lie in [`crate::schemas`].

use crate::body;
use crate::context::Context;
use crate::rates;
use crate::refused::{self, Refused};
use crate::schemas;
use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayProxyResponse};
use lambda_runtime::{Error, LambdaEvent};
use serde::Serialize;
use serde_json::json;
use std::time::{Duration, SystemTime};
use vernier_intake::{Accepted, NotAccepted, ReadEnvelope, Sending};
use vernier_ledger::access::{Identity, Scope};
use vernier_ledger::clock;
use vernier_ledger::limits::BODY_BYTES_MAX;
use vernier_ledger::line::Verdict;
use vernier_ledger::ports::Directory as _;
use vernier_ledger::rates::Demand;
use vernier_ledger::salt::SaltKey;
use vernier_ledger::stores::IntakeStores;
use vernier_ledger::time::Millis;
use vernier_validation::{Item, Problem, SUPPORTED_VERSIONS, TIME_UNREADABLE};
use vernier_web::{ProblemDocument, ProblemType, Request};

/// Kept back from the function's deadline to write the answer.
const ANSWER_RESERVE: Duration = Duration::from_millis(500);

/// When trying again makes sense where this machine's clock is wrong, seconds: another machine may answer then.
const CLOCK_RETRY_SECONDS: u32 = 2;

/// Verdicts in one answer, bytes: a Lambda answer is 6 MB at most, and JSON inside JSON grows by
/// its quotes.
const ANSWER_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Answers one request; every failure is an answer.
///
/// # Errors
/// Never; the type is the runtime's.
pub async fn handle<S: IntakeStores>(
    context: &Context<S>,
    event: LambdaEvent<ApiGatewayProxyRequest>,
) -> Result<ApiGatewayProxyResponse, Error> {
    let now = clock::now();
    let budget = event
        .context
        .deadline()
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    let request = Request(&event.payload);
    let budget = budget.saturating_sub(ANSWER_RESERVE);
    let route = route(context, request, now, budget);
    Ok(vernier_web::answered(&context.origins, request, route).await)
}

async fn route<S: IntakeStores>(
    context: &Context<S>,
    request: Request<'_>,
    now: Millis,
    budget: Duration,
) -> Result<ApiGatewayProxyResponse, ProblemDocument> {
    if request.resource().starts_with("/schemas") {
        let route = schemas::route(&context.authenticator, &context.schemas, request, now);
        // Boxed: rare, and it would make the future of every envelope as large as its own.
        let (status, body) = Box::pin(route).await?;
        return Ok(vernier_web::json(status, &[], &body));
    }
    let identity = context
        .authenticator
        .authenticate(request.caller(now), Scope::EventsWrite)
        .await?;
    match request.method() {
        "POST" => post(context, request, &identity, now, budget).await,
        "GET" => Ok(configuration()),
        other => Err(ProblemDocument::new(
            ProblemType::MethodNotAllowed,
            format!("{other}: POST or GET"),
        )),
    }
}

async fn post<S: IntakeStores>(
    context: &Context<S>,
    request: Request<'_>,
    identity: &Identity,
    now: Millis,
    budget: Duration,
) -> Result<ApiGatewayProxyResponse, ProblemDocument> {
    let refused = match take(context, request, identity, now, budget).await {
        Ok(answer) => return Ok(answer),
        Err(refused) => refused,
    };
    if !refused.rules.is_empty() {
        let counted = refused::count(context, identity, &refused.rules, now, budget);
        // Boxed: rare, as the schemas' routes are.
        Box::pin(counted).await;
    }
    Err(refused.document)
}

async fn take<S: IntakeStores>(
    context: &Context<S>,
    request: Request<'_>,
    identity: &Identity,
    now: Millis,
    budget: Duration,
) -> Result<ApiGatewayProxyResponse, Refused> {
    check_clock(context, identity).await?;
    rates::check(context, identity, now)?;
    let body = body::read(request)?;
    let schemas = context
        .schemas
        .of(&identity.tenant.id)
        .await
        .map_err(ProblemDocument::from)?;
    let receipt = context.spreads.new_receipt(&identity.tenant, now);
    let read = ReadEnvelope::read(identity, schemas.as_deref(), &body, receipt);
    let demand = Demand {
        requests: 1,
        events: read.as_ref().map_or(0, ReadEnvelope::events),
        bytes: body.len() as u64,
    };
    rates::take(context, identity, demand, now, budget).await?;
    let read = read.map_err(NotAccepted::Refused)?;
    let sending = Sending {
        settings: context.settings,
        windows: &context.windows,
        spreads: &context.spreads,
        new_salt_key: SaltKey::random,
        clock: clock::now,
        budget,
    };
    let accepted = read
        .accept(&context.stores, sending, identity)
        .await
        .inspect_err(|_| {
            // Nobody is told this receipt, but frames of it may be on the stream.
            tracing::info!(%receipt, tenant = %identity.tenant.id, "envelope not acknowledged");
        })?;
    tracing::info!(
        receipt = %accepted.receipt,
        tenant = %identity.tenant.id,
        received = accepted.tally.events,
        rejected = accepted.tally.rejected,
        "envelope acknowledged"
    );
    log_unreadable_times(&accepted, identity);
    Ok(acknowledge(&accepted, Wanted::of(request)))
}

/// Refuses envelopes where this machine's clock is not the stores': they would be received in another window, which may
/// be closed. What was last seen of the stores' clock may be old, so that a look at it comes before a refusal.
async fn check_clock<S: IntakeStores>(
    context: &Context<S>,
    identity: &Identity,
) -> Result<(), ProblemDocument> {
    if context.store_clock.check().is_ok() {
        return Ok(());
    }
    context.stores.table().tenant(&identity.tenant.id).await?;
    let checked = context.store_clock.check();
    checked.map_err(|wrong| {
        tracing::error!(ahead_seconds = wrong.ahead_seconds, "clock wrong");
        let told = format!("{wrong}; nothing of this envelope was taken, send it again");
        ProblemDocument {
            retry_after_seconds: Some(CLOCK_RETRY_SECONDS),
            ..ProblemDocument::new(ProblemType::Unavailable, told)
        }
    })
}

/// What the answer to an envelope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Nothing, as the Caliper specification has it.
    Nothing,
    /// The receipt and the counts, for who reads every answer as JSON.
    Counts,
    /// Each event's verdict too (RFC 7240, 4.2).
    Verdicts,
}

impl Wanted {
    fn of(request: Request<'_>) -> Self {
        if vernier_web::prefers(request, "return", "representation") {
            return Self::Verdicts;
        }
        match vernier_web::accepts_json_alone(request) {
            true => Self::Counts,
            false => Self::Nothing,
        }
    }
}

/// Says in the log how many events of an envelope have a time that nobody can read, and whose they are;
/// what stands in the time's place is the event's content and stays out of it.
fn log_unreadable_times(accepted: &Accepted<'_>, identity: &Identity) {
    let is_unreadable = |problem: &Problem| problem.rule == TIME_UNREADABLE;
    let items = accepted.envelope.items.iter();
    let unreadable = items
        .filter(|item| item.verdict.deviations.iter().any(is_unreadable))
        .count();
    if unreadable > 0 {
        tracing::info!(
            receipt = %accepted.receipt,
            tenant = %identity.tenant.id,
            sensor = identity.token.sensor,
            events = unreadable,
            "times cannot be read"
        );
    }
}

#[derive(Serialize)]
struct EventVerdict<'e> {
    index: usize,
    id: Option<&'e str>,
    r#type: Option<&'e str>,
    verdict: Verdict,
    strict: Verdict,
    problems: &'e [Problem],
    deviations: &'e [Problem],
}

/// 200, with an empty body unless something else is wanted: real sensors accept nothing else.
fn acknowledge(accepted: &Accepted<'_>, wanted: Wanted) -> ApiGatewayProxyResponse {
    let tally = &accepted.tally;
    let mut headers = vec![
        ("vernier-receipt", accepted.receipt.to_string()),
        ("vernier-received", tally.events.to_string()),
        (
            "vernier-accepted",
            (tally.events - tally.rejected).to_string(),
        ),
        ("vernier-rejected", tally.rejected.to_string()),
    ];
    if wanted == Wanted::Nothing {
        return vernier_web::empty(200, &headers);
    }
    let mut body = json!({
        "receipt": accepted.receipt,
        "received_at": accepted.receipt.received_at().rfc3339(),
        "received": tally.events,
        "accepted": tally.events - tally.rejected,
        "rejected": tally.rejected,
    });
    if wanted == Wanted::Counts {
        return vernier_web::json(200, &headers, &body);
    }
    headers.push(("preference-applied", "return=representation".to_owned()));
    let items = accepted.envelope.items.iter().enumerate();
    let mut bytes = 0;
    let events: Vec<EventVerdict<'_>> = items
        .take_while(|(_, item)| {
            bytes += answer_bytes(item);
            bytes <= ANSWER_BYTES_MAX
        })
        .map(|(index, item)| EventVerdict {
            index,
            id: item.columns.id.as_deref(),
            r#type: item.columns.type_name.as_deref(),
            verdict: Verdict::from(item.verdict.accepted),
            strict: Verdict::from(item.verdict.strict_accepted),
            problems: &item.verdict.problems,
            deviations: &item.verdict.deviations,
        })
        .collect();
    body["deviations"] = json!(accepted.envelope.deviations);
    // The receipt has them all.
    body["events_cut"] = json!(events.len() < accepted.envelope.items.len());
    body["events"] = json!(events);
    vernier_web::json(200, &headers, &body)
}

/// What an event's verdict takes of the answer, bytes, at most: JSON escapes a byte as six.
fn answer_bytes(item: &Item<'_>) -> usize {
    let texts = |p: &Problem| {
        p.pointer.len() + p.found.len() + p.message.len() + p.expected.len() + p.clause.len() + 128
    };
    let findings = item.verdict.problems.iter().chain(&item.verdict.deviations);
    let column = |text: &Option<_>| {
        text.as_ref()
            .map_or(0, |t: &std::borrow::Cow<'_, str>| t.len())
    };
    let own = column(&item.columns.id) + column(&item.columns.type_name);
    128 + 2 * (own + findings.map(texts).sum::<usize>())
}

/// The endpoint configuration (Caliper 1.2, endpoint configuration); the size is in kilobytes.
fn configuration() -> ApiGatewayProxyResponse {
    let body = json!({
        "caliper_maximum_payload_size": BODY_BYTES_MAX / 1_000,
        "caliper_supported_versions": SUPPORTED_VERSIONS,
        "caliper_supported_extensions": {
            "endpoint_name": "Vernier",
            "endpoint_version": env!("CARGO_PKG_VERSION"),
        },
    });
    vernier_web::json(200, &[], &body)
}
