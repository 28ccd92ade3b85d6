//! Routes and status codes of the reading side.

use crate::context::Context;
use crate::cursor::{PageCursor, key_of_route};
use crate::deviations::{self, NoReport};
use crate::query::{EventQuery, Key, PARAMETERS, QUARANTINE_PARAMETERS, read_limit};
use crate::seals::{self, NoProof};
use crate::{events, receipts};
use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayProxyResponse};
use lambda_runtime::{Error, LambdaEvent};
use serde_json::json;
use vernier_ledger::access::{Identity, Scope};
use vernier_ledger::clock;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::ports::{Chains, Commits, Directory, Objects, Receipts};
use vernier_ledger::time::Millis;
use vernier_web::{ProblemDocument, ProblemType, Request};

/// Answers one request; every failure is an answer.
///
/// # Errors
/// Never; the type is the runtime's.
pub async fn handle<T: Receipts + Commits + Directory + Chains, O: Objects>(
    context: &Context<T, O>,
    event: LambdaEvent<ApiGatewayProxyRequest>,
) -> Result<ApiGatewayProxyResponse, Error> {
    let now = clock::now();
    let answer = route(context, Request(&event.payload), now).await;
    Ok(answer.unwrap_or_else(|document| vernier_web::problem(&document)))
}

type Answer = Result<ApiGatewayProxyResponse, ProblemDocument>;

async fn route<T: Receipts + Commits + Directory + Chains, O: Objects>(
    context: &Context<T, O>,
    request: Request<'_>,
    now: Millis,
) -> Answer {
    let resource = request.0.resource.as_deref().unwrap_or_default();
    if request.0.http_method.as_str() != "GET" {
        return Err(ProblemDocument::new(
            ProblemType::MethodNotAllowed,
            "GET only",
        ));
    }
    if resource == "/healthz" {
        return Ok(vernier_web::json(
            200,
            &[],
            &json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}),
        ));
    }
    let authorization = request.header("authorization");
    let scope = match resource {
        "/seals" | "/seals/{sequence}" => Scope::AuditRead,
        _ => Scope::EventsRead,
    };
    let identity = context
        .authenticator
        .authenticate(authorization, scope)
        .await?;
    match resource {
        "/receipts/{id}" => get_receipt(context, request, &identity, now).await,
        "/events/{id}" => get_event(context, request, &identity, now).await,
        "/events" => list_events(context, request, &identity, now).await,
        "/events/{id}/proof" => get_proof(context, request, &identity, now).await,
        "/quarantine" => list_quarantine(context, request, &identity, now).await,
        "/deviations" => get_deviations(context, request, &identity, now).await,
        "/seals" => list_seals(context, request, &identity, now).await,
        "/seals/{sequence}" => get_seal(context, request, &identity).await,
        other => Err(ProblemDocument::new(
            ProblemType::NotFound,
            format!("no route {other}"),
        )),
    }
}

async fn get_receipt<T: Receipts + Commits + Directory + Chains, O: Objects>(
    context: &Context<T, O>,
    request: Request<'_>,
    identity: &Identity,
    now: Millis,
) -> Answer {
    request.only_query(&["index"])?;
    let first_index = match request.query("index")? {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| ProblemDocument::parameter("index", "expected a whole number from 0"))?,
    };
    let text = request.path("id").unwrap_or_default();
    let id: ReceiptId = text
        .parse()
        .map_err(|e| ProblemDocument::parameter("id", &format!("{e}")))?;
    match receipts::view(&context.ports, &identity.tenant.id, (id, first_index), now).await? {
        Some(view) => Ok(vernier_web::json(200, &[], &view)),
        None => Err(ProblemDocument::new(
            ProblemType::NotFound,
            "no such receipt",
        )),
    }
}

async fn get_event<T: Receipts + Commits + Directory + Chains, O: Objects>(
    context: &Context<T, O>,
    request: Request<'_>,
    identity: &Identity,
    now: Millis,
) -> Answer {
    request.only_query(&["from", "to"])?;
    let range = request.range(now, EVENT_SECONDS.0, EVENT_SECONDS.1)?;
    let id = request.path("id").unwrap_or_default();
    match events::by_id(&context.ports, &identity.tenant.id, &id, range, now).await? {
        Some((event, reads)) => Ok(vernier_web::json(
            200,
            &[(READS, reads.to_string())],
            &event,
        )),
        None => Err(ProblemDocument::new(
            ProblemType::NotFound,
            "no event with this id was received in the range ('from', 'to'; else the last 24 hours)",
        )),
    }
}

async fn list_events<T: Receipts + Commits + Directory + Chains, O: Objects>(
    context: &Context<T, O>,
    request: Request<'_>,
    identity: &Identity,
    now: Millis,
) -> Answer {
    request.only_query(&PARAMETERS)?;
    let limit = read_limit(request)?;
    let key = &identity.signing_key;
    let given = EventQuery::read(request, now)?;
    let (query, after) = continued(request, given, key)?;
    let tenant = &identity.tenant.id;
    let place = (after, limit);
    let (page, reads) = events::page(&context.ports, tenant, &query, place, (now, key)).await?;
    Ok(vernier_web::json(200, &[(READS, reads.to_string())], &page))
}

/// Tells what an answer cost: requests to the object store, and their bytes.
const READS: &str = "vernier-reads";

/// The range in which an event is looked for when none is given, and at most, seconds.
const EVENT_SECONDS: (i64, i64) = (24 * 3_600, 31 * 24 * 3_600);

/// The quarantine's range when none is given, and at most, seconds.
const QUARANTINE_SECONDS: (i64, i64) = (24 * 3_600, 31 * 24 * 3_600);

/// The range of a report when none is given, and at most: a day.
const REPORT_SECONDS: (i64, i64) = (24 * 3_600, 24 * 3_600);

async fn list_quarantine<T: Receipts + Commits + Directory + Chains, O: Objects>(
    context: &Context<T, O>,
    request: Request<'_>,
    identity: &Identity,
    now: Millis,
) -> Answer {
    request.only_query(&QUARANTINE_PARAMETERS)?;
    let limit = read_limit(request)?;
    let key = &key_of_route(&identity.signing_key, "/quarantine");
    let range = request.range(now, QUARANTINE_SECONDS.0, QUARANTINE_SECONDS.1)?;
    let given = EventQuery::read_quarantine(request, range)?;
    let (query, after) = continued(request, given, key)?;
    let tenant = &identity.tenant.id;
    let place = (after, limit);
    let (page, reads) = events::page(&context.ports, tenant, &query, place, (now, key)).await?;
    Ok(vernier_web::json(200, &[(READS, reads.to_string())], &page))
}

async fn get_deviations<T: Receipts + Commits + Directory + Chains, O: Objects>(
    context: &Context<T, O>,
    request: Request<'_>,
    identity: &Identity,
    now: Millis,
) -> Answer {
    request.only_query(&["from", "to"])?;
    let range = request.range(now, REPORT_SECONDS.0, REPORT_SECONDS.1)?;
    match deviations::report(&context.ports, &identity.tenant.id, range, now).await {
        Ok(report) => Ok(vernier_web::json(200, &[], &report)),
        Err(NoReport::Read(error)) => Err(error.into()),
        Err(large @ NoReport::TooMuch(_)) => {
            Err(ProblemDocument::parameter("from", &large.to_string()))
        }
    }
}

/// A list of seals when no range is given, and at most, seconds: 2,976 windows of 15 minutes.
const SEALS_SECONDS: (i64, i64) = (24 * 3_600, 31 * 24 * 3_600);

/// The range in which a proof's event was received, the same: 24 hours hold 1,440 windows of a
/// minute, each a seal and the end of a part to read.
const PROOF_SECONDS: (i64, i64) = (24 * 3_600, 24 * 3_600);

async fn list_seals<T: Receipts + Commits + Directory + Chains, O: Objects>(
    context: &Context<T, O>,
    request: Request<'_>,
    identity: &Identity,
    now: Millis,
) -> Answer {
    request.only_query(&["from", "to"])?;
    let range = request.range(now, SEALS_SECONDS.0, SEALS_SECONDS.1)?;
    let list = seals::list(&context.ports, &identity.tenant.id, range).await?;
    Ok(vernier_web::json(200, &[], &list))
}

async fn get_seal<T: Receipts + Commits + Directory + Chains, O: Objects>(
    context: &Context<T, O>,
    request: Request<'_>,
    identity: &Identity,
) -> Answer {
    request.only_query(&[])?;
    let text = request.path("sequence").unwrap_or_default();
    let sequence = text
        .parse()
        .map_err(|_| ProblemDocument::parameter("sequence", "expected a whole number from 0"))?;
    match seals::document(&context.ports, &identity.tenant.id, sequence).await? {
        Some(seal) => Ok(vernier_web::json(200, &[], &seal)),
        None => Err(ProblemDocument::new(ProblemType::NotFound, "no such seal")),
    }
}

async fn get_proof<T: Receipts + Commits + Directory + Chains, O: Objects>(
    context: &Context<T, O>,
    request: Request<'_>,
    identity: &Identity,
    now: Millis,
) -> Answer {
    request.only_query(&["from", "to"])?;
    let range = request.range(now, PROOF_SECONDS.0, PROOF_SECONDS.1)?;
    let id = request.path("id").unwrap_or_default();
    match seals::proof(&context.ports, &identity.tenant.id, &id, range).await {
        Ok(Some(proof)) => Ok(vernier_web::json(200, &[], &proof)),
        Ok(None) => Err(ProblemDocument::new(
            ProblemType::NotFound,
            "no sealed event with this id was received in the range ('from', 'to')",
        )),
        Err(NoProof::Port(error)) => Err(error.into()),
        Err(large @ NoProof::TooLarge(_)) => {
            Err(ProblemDocument::parameter("id", &large.to_string()))
        }
    }
}

/// The query and the place to go on from: the cursor's where there is one.
fn continued(
    request: Request<'_>,
    given: EventQuery,
    key: &[u8; 32],
) -> Result<(EventQuery, Option<Key>), ProblemDocument> {
    let Some(text) = request.query("cursor")? else {
        return Ok((given, None));
    };
    let cursor = PageCursor::open(text, key)
        .ok_or_else(|| ProblemDocument::parameter("cursor", "not a cursor of this token"))?;
    same_query(request, &cursor.query, &given)?;
    Ok((cursor.query, Some(cursor.after)))
}

/// A cursor carries its query; parameters given beside it must not say otherwise.
fn same_query(
    request: Request<'_>,
    carried: &EventQuery,
    given: &EventQuery,
) -> Result<(), ProblemDocument> {
    let said = |name| Ok::<bool, ProblemDocument>(request.query(name)?.is_some());
    let differs = (said("from")? && given.from != carried.from)
        || (said("to")? && given.to != carried.to)
        || (said("event_from")? && given.event_time != carried.event_time)
        || (said("sort")? && given.sort != carried.sort)
        || (said("order")? && given.order != carried.order)
        || (said("disposition")? && given.disposition != carried.disposition)
        || given.filters.iter().any(|f| !carried.filters.contains(f));
    if differs {
        return Err(ProblemDocument::parameter(
            "cursor",
            "belongs to another query; give it alone or with the same parameters",
        ));
    }
    Ok(())
}
