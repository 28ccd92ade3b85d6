//! Routes and status codes of the reading side.

use crate::context::Context;
use crate::cursor::{PageCursor, key_of_route};
use crate::deviations::{self, NoReport};
use crate::events::Paging;
use crate::insights::{Asked, POLICY};
use crate::metered::READS;
use crate::openapi::SERVED;
use crate::proofs::{self, NoProof};
use crate::query::{EventQuery, Key, PARAMETERS, QUARANTINE_PARAMETERS, read_limit};
use crate::reports::{self, Asking, Body, Rendered};
use crate::seals;
use crate::{events, receipts};
use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayProxyResponse};
use lambda_runtime::{Error, LambdaEvent};
use serde_json::json;
use std::borrow::Cow;
use vernier_ledger::access::{Identity, Scope};
use vernier_ledger::clock;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::limits::LIVE_READ_BYTES_MAX;
use vernier_ledger::stores::Stores;
use vernier_ledger::time::{Millis, TimeRange};
use vernier_web::{ProblemDocument, ProblemType, Request};

/// Answers one request; every failure is an answer.
///
/// # Errors
/// Never; the type is the runtime's.
pub async fn handle<S: Stores>(
    context: &Context<S>,
    event: LambdaEvent<ApiGatewayProxyRequest>,
) -> Result<ApiGatewayProxyResponse, Error> {
    let now = clock::now();
    let request = Request(&event.payload);
    let route = route(context, request, now);
    Ok(vernier_web::answered(&context.origins, request, route).await)
}

type Answer = Result<ApiGatewayProxyResponse, ProblemDocument>;

/// What a route answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Me,
    Receipt,
    Event,
    EventList,
    Proof,
    Quarantine,
    Deviations,
    SealList,
    Seal,
    Report(&'static str),
    Traffic,
}

/// A route behind a token.
struct Route {
    /// As the gateway names it.
    resource: &'static str,
    /// One of these is enough.
    scopes: &'static [Scope],
    /// Whether it shows a learner's token the learner's own data, and refuses it all else.
    for_learners: bool,
    page: Page,
}

/// For everybody in the tenant whose token has one of the scopes; closed to learners' tokens.
const fn staff(resource: &'static str, scopes: &'static [Scope], page: Page) -> Route {
    Route {
        resource,
        scopes,
        for_learners: false,
        page,
    }
}

/// The same, and open to learners' tokens: the page asks [`Call::own_learner`].
const fn learners(resource: &'static str, scopes: &'static [Scope], page: Page) -> Route {
    Route {
        for_learners: true,
        ..staff(resource, scopes, page)
    }
}

const EVENTS: &[Scope] = &[Scope::EventsRead];
const AUDIT: &[Scope] = &[Scope::AuditRead];

const REPORTS: &[Scope] = &[Scope::ReportsRead];

const USE: &[Scope] = &[Scope::AuditRead, Scope::Admin];

const ROUTES: [Route; 16] = [
    learners("/me", &Scope::ALL, Page::Me),
    staff("/receipts/{id}", EVENTS, Page::Receipt),
    learners("/events", EVENTS, Page::EventList),
    learners("/events/{id}", EVENTS, Page::Event),
    staff("/events/{id}/proof", EVENTS, Page::Proof),
    staff("/quarantine", EVENTS, Page::Quarantine),
    staff("/deviations", EVENTS, Page::Deviations),
    staff("/seals", AUDIT, Page::SealList),
    staff("/seals/{sequence}", AUDIT, Page::Seal),
    learners("/reports/assignments", REPORTS, Page::Report("assignments")),
    staff("/reports/grades", REPORTS, Page::Report("grades")),
    staff("/reports/sections", REPORTS, Page::Report("sections")),
    learners("/reports/activity", REPORTS, Page::Report("activity")),
    staff("/reports/usage", REPORTS, Page::Report("usage")),
    learners("/reports/history", REPORTS, Page::Report("history")),
    staff("/reports/traffic", USE, Page::Traffic),
];

/// The gateway's resource of all reports.
const ANY_REPORT: &str = "/reports/{report}";

async fn route<S: Stores>(context: &Context<S>, request: Request<'_>, now: Millis) -> Answer {
    let resource = request.resource();
    if resource == "/healthz" {
        let health = json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")});
        return Ok(vernier_web::json(200, &[], &health));
    }
    let is_inside = request.0.path.as_deref().is_some_and(|p| p.ends_with('/'));
    let asked = Asked {
        file: &request.id_in_path(),
        is_inside,
    };
    if let Some(asset) = context.insights.find(resource, asked) {
        let asset = asset.map_err(not_found)?;
        let policy = [("content-security-policy", POLICY.to_owned())];
        return Ok(asset.answer(request, &policy));
    }
    if resource == "/openapi.json" {
        return Ok(SERVED.answer(request, &[]));
    }
    let named = match resource {
        ANY_REPORT => Cow::Owned(format!("/reports/{}", reports::name_in(request))),
        other => Cow::Borrowed(other),
    };
    let route = ROUTES.iter().find(|route| route.resource == named);
    let Some(route) = route else {
        // A report that there is not, or another function's route that the gateway did not know.
        return Err(not_found(format!("no route {resource} here")));
    };
    let caller = request.caller(now);
    let authenticator = &context.authenticator;
    let identity = if route.for_learners {
        authenticator
            .authenticate_with_learners(caller, route.scopes)
            .await?
    } else {
        authenticator.authenticate_any(caller, route.scopes).await?
    };
    let call = Call {
        context,
        request,
        identity,
        now,
    };
    match route.page {
        Page::Me => call.me(),
        Page::Receipt => call.receipt().await,
        Page::Event => call.event().await,
        Page::EventList => call.event_list().await,
        Page::Proof => call.proof().await,
        Page::Quarantine => call.quarantine().await,
        Page::Deviations => call.deviations().await,
        Page::SealList => call.seal_list().await,
        Page::Seal => call.seal().await,
        Page::Report(name) => call.report(name).await,
        Page::Traffic => call.traffic().await,
    }
}

fn not_found(why: impl Into<String>) -> ProblemDocument {
    ProblemDocument::new(ProblemType::NotFound, why)
}

/// The range in which an event is looked for when none is given, and at most, seconds.
const EVENT_SECONDS: (i64, i64) = (24 * 3_600, 31 * 24 * 3_600);

/// The quarantine's range when none is given, and at most, seconds.
const QUARANTINE_SECONDS: (i64, i64) = (24 * 3_600, 31 * 24 * 3_600);

/// The range of the deviations when none is given, and at most: a day.
const DEVIATIONS_SECONDS: (i64, i64) = (24 * 3_600, 24 * 3_600);

/// A list of seals when no range is given, and at most, seconds: 2,976 windows of 15 minutes.
const SEALS_SECONDS: (i64, i64) = (24 * 3_600, 31 * 24 * 3_600);

/// The range in which a proof's event was received, the same: 24 hours hold 1,440 windows of a
/// minute, each a seal and the end of a part to read.
const PROOF_SECONDS: (i64, i64) = (24 * 3_600, 24 * 3_600);

/// A request whose token may make it.
struct Call<'c, S: Stores> {
    context: &'c Context<S>,
    request: Request<'c>,
    identity: Identity,
    now: Millis,
}

impl<S: Stores> Call<'_, S> {
    const fn tenant(&self) -> &TenantId {
        &self.identity.tenant.id
    }

    /// The learner whose data alone the token reads; none for one that reads the tenant's.
    fn own_learner(&self) -> Option<&str> {
        self.identity.token.learner.as_deref()
    }

    /// What the token is.
    fn me(&self) -> Answer {
        self.request.only_query(&[])?;
        let token = &self.identity.token;
        let me = json!({
            "tenant": token.tenant,
            "sensor": token.sensor,
            "token_id": token.token_id,
            "scopes": token.scopes,
            "learner": token.learner,
        });
        Ok(vernier_web::json(200, &[], &me))
    }

    async fn receipt(&self) -> Answer {
        let request = self.request;
        request.only_query(&["index"])?;
        let index = request.query("index")?.unwrap_or("0").parse();
        let first_index = index
            .map_err(|_| ProblemDocument::parameter("index", "expected a whole number from 0"))?;
        let text = request.id_in_path();
        let id: ReceiptId = text
            .parse()
            .map_err(|e| ProblemDocument::parameter("id", &format!("{e}")))?;
        let (stores, tenant) = (&self.context.stores, self.tenant());
        let found = receipts::view(stores, tenant, id, first_index, self.now).await?;
        let view = found.ok_or_else(|| not_found("no such receipt"))?;
        Ok(vernier_web::json(200, &[], &view))
    }

    async fn event(&self) -> Answer {
        self.request.only_query(&["from", "to"])?;
        let (default, most) = EVENT_SECONDS;
        let range = self.request.range(self.now, default, most)?;
        self.event_of(&self.request.ids_in_path(), range).await
    }

    /// The first of these ids that is an event's.
    async fn event_of(&self, ids: &[Cow<'_, str>], range: TimeRange) -> Answer {
        let (stores, tenant) = (&self.context.stores, self.tenant());
        for id in ids {
            let (learner, filters) = (self.own_learner(), &self.context.filters);
            let found = events::by_id(stores, tenant, id, learner, range, self.now, filters);
            if let Some((event, reads)) = found.await? {
                let reads = [(READS, reads.to_string())];
                return Ok(vernier_web::json(200, &reads, &event));
            }
        }
        Err(not_found(
            "no event with this id was received in the range ('from', 'to'; else the last 24 hours)",
        ))
    }

    async fn event_list(&self) -> Answer {
        let request = self.request;
        request.only_query(&PARAMETERS)?;
        let limit = read_limit(request)?;
        let key = &self.identity.signing_key;
        let mut given = EventQuery::read(request, self.now)?;
        if let Some(learner) = self.own_learner() {
            given.only_actor(learner)?;
        }
        self.page_of(given, limit, key).await
    }

    async fn quarantine(&self) -> Answer {
        let request = self.request;
        request.only_query(&QUARANTINE_PARAMETERS)?;
        let limit = read_limit(request)?;
        let key = &key_of_route(&self.identity.signing_key, "/quarantine");
        let range = request.range(self.now, QUARANTINE_SECONDS.0, QUARANTINE_SECONDS.1)?;
        let given = EventQuery::read_quarantine(request, range)?;
        self.page_of(given, limit, key).await
    }

    /// A page of a query, or of the one that the request's cursor goes on with.
    async fn page_of(&self, given: EventQuery, limit: usize, key: &[u8; 32]) -> Answer {
        let (query, after) = continued(self.request, given, key)?;
        let paging = Paging {
            after,
            limit,
            now: self.now,
            signing_key: key,
            filters: &self.context.filters,
            live_bytes_max: LIVE_READ_BYTES_MAX,
        };
        let page = events::page(&self.context.stores, self.tenant(), &query, paging);
        let (page, reads) = page.await?;
        Ok(vernier_web::json(200, &[(READS, reads.to_string())], &page))
    }

    async fn deviations(&self) -> Answer {
        self.request.only_query(&["from", "to"])?;
        let (default, most) = DEVIATIONS_SECONDS;
        let range = self.request.range(self.now, default, most)?;
        match deviations::report(&self.context.stores, self.tenant(), range, self.now).await {
            Ok(report) => Ok(vernier_web::json(200, &[], &report)),
            Err(NoReport::Read(error)) => Err(error.into()),
            Err(large @ NoReport::TooMuch(_)) => {
                Err(ProblemDocument::parameter("from", &large.to_string()))
            }
        }
    }

    async fn seal_list(&self) -> Answer {
        self.request.only_query(&["from", "to"])?;
        let range = self
            .request
            .range(self.now, SEALS_SECONDS.0, SEALS_SECONDS.1)?;
        let list = seals::list(&self.context.stores, self.tenant(), range, self.now).await?;
        Ok(vernier_web::json(200, &[], &list))
    }

    async fn seal(&self) -> Answer {
        self.request.only_query(&[])?;
        let text = self.request.id_in_path();
        let sequence = text.parse().map_err(|_| {
            ProblemDocument::parameter("sequence", "expected a whole number from 0")
        })?;
        let found = seals::document(&self.context.stores, self.tenant(), sequence).await?;
        let seal = found.ok_or_else(|| not_found("no such seal"))?;
        Ok(vernier_web::json(200, &[], &seal))
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            request: self.request,
            own_learner: self.identity.token.learner.as_deref(),
            now: self.now,
            live_bytes_max: LIVE_READ_BYTES_MAX,
            filters: &self.context.filters,
        }
    }

    async fn report(&self, name: &str) -> Answer {
        let stores = &self.context.stores;
        let answer = reports::answer(name, stores, self.tenant(), self.asking()).await?;
        let rendered = answer.ok_or_else(|| not_found(format!("no report {name}")))?;
        Ok(shown(rendered))
    }

    async fn traffic(&self) -> Answer {
        let (table, tenant) = (self.context.stores.table(), &self.identity.tenant);
        let rendered = reports::traffic::answer(table, tenant, self.asking()).await?;
        Ok(shown(rendered))
    }

    async fn proof(&self) -> Answer {
        self.request.only_query(&["from", "to"])?;
        let range = self
            .request
            .range(self.now, PROOF_SECONDS.0, PROOF_SECONDS.1)?;
        for id in self.request.ids_in_path() {
            match proofs::proof(&self.context.stores, self.tenant(), &id, range, self.now).await {
                Ok(Some(proof)) => return Ok(vernier_web::json(200, &[], &proof)),
                Ok(None) => {}
                Err(NoProof::Port(error)) => return Err(error.into()),
                Err(large @ NoProof::TooLarge(_)) => {
                    return Err(ProblemDocument::parameter("id", &large.to_string()));
                }
            }
        }
        // A gateway that decoded the path hides whether "/proof" is the end of it or of an event's id.
        if self.request.is_caught() {
            let ids = self.request.ids_of(vernier_web::EVENT);
            if let Ok(event) = self.event_of(&ids, range).await {
                return Ok(event);
            }
        }
        Err(not_found(
            "no sealed event with this id was received in the range ('from', 'to')",
        ))
    }
}

fn shown(rendered: Rendered) -> ApiGatewayProxyResponse {
    let headers = &rendered.headers;
    match rendered.body {
        Body::Json(text) => vernier_web::json_text(200, headers, text),
        Body::Csv(file, text) => vernier_web::csv(file, headers, text),
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
        || ((said("event_from")? || said("event_to")?) && given.event_time != carried.event_time)
        || ((said("weekday")? || said("hour")?) && given.clock_hour != carried.clock_hour)
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
