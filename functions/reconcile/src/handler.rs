//! Routes and status codes of the accounts; the schedule's event.

use crate::context::Context;
use crate::{counted_accounts, run};
use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayProxyResponse};
use lambda_runtime::{Error, LambdaEvent};
use serde::Serialize;
use serde_json::{Value, json};
use vernier_ledger::access::Scope;
use vernier_ledger::account::{MissingReceipt, WindowAccount, WindowState};
use vernier_ledger::clock;
use vernier_ledger::digest::Digest;
use vernier_ledger::ports::{Accounts, Commits, Directory, Notices, Objects, Receipts};
use vernier_ledger::time::Millis;
use vernier_web::{ProblemDocument, ProblemType, Request};

/// Answers an API request, or takes the schedule's event.
///
/// # Errors
/// When a scheduled run could not list the tenants.
pub async fn handle<T, O, N>(
    context: &Context<T, O, N>,
    event: LambdaEvent<Value>,
) -> Result<Value, Error>
where
    T: Receipts + Commits + Directory + Accounts,
    O: Objects,
    N: Notices,
{
    let now = clock::now();
    if event.payload.get("httpMethod").is_some() {
        let request: ApiGatewayProxyRequest = serde_json::from_value(event.payload)?;
        let answer = route(context, Request(&request), now).await;
        let answer = answer.unwrap_or_else(|document| vernier_web::problem(&document));
        return Ok(serde_json::to_value(answer)?);
    }
    let summary = run(&context.ports, context.settings, now).await?;
    tracing::info!(
        tenants = summary.tenants,
        completed = summary.completed,
        incomplete = summary.incomplete,
        failed = summary.failed,
        "scheduled run"
    );
    Ok(
        json!({"completed": summary.completed, "incomplete": summary.incomplete, "failed": summary.failed}),
    )
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
}

impl<'a> From<&'a WindowAccount> for WindowView<'a> {
    fn from(account: &'a WindowAccount) -> Self {
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
        }
    }
}

async fn route<T, O, N>(
    context: &Context<T, O, N>,
    request: Request<'_>,
    now: Millis,
) -> Result<ApiGatewayProxyResponse, ProblemDocument>
where
    T: Receipts + Commits + Directory,
    O: Objects,
{
    if request.0.http_method.as_str() != "GET" {
        return Err(ProblemDocument::new(
            ProblemType::MethodNotAllowed,
            "GET only",
        ));
    }
    let authorization = request.header("authorization");
    let identity = context
        .authenticator
        .authenticate(authorization, Scope::AuditRead)
        .await?;
    request.only_query(&["from", "to"])?;
    let range = request.live_range(now)?;
    let drawn_up = counted_accounts(
        &context.ports,
        context.settings,
        &identity.tenant,
        range,
        now,
    )
    .await?;
    let windows: Vec<WindowView<'_>> = drawn_up.iter().map(WindowView::from).collect();
    Ok(vernier_web::json(200, &[], &json!({ "windows": windows })))
}
