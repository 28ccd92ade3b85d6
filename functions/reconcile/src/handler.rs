//! Routes and status codes of the accounts; the schedule's event.

use crate::compaction::{CompactSummary, compact_due};
use crate::context::Context;
use crate::healing::{HealSummary, MissingSummary, heal, heal_missing};
use crate::listing::list_commits;
use crate::measured::Done;
use crate::playbacks::{self, PlaybackSummary, PlaybackTable, play_due};
use crate::scaling::Scaler;
use crate::sealing::seal_due;
use crate::sweeping::{SweepSummary, sweep_parts, sweep_segments};
use crate::{Survey, counted_accounts, survey};
use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayProxyResponse};
use lambda_runtime::{Error, LambdaEvent};
use serde::Serialize;
use serde_json::{Value, json};
use vernier_ledger::access::Scope;
use vernier_ledger::account::{MissingReceipt, WindowAccount, WindowState};
use vernier_ledger::clock;
use vernier_ledger::digest::Digest;
use vernier_ledger::ports::{
    Accounts, Blocks, Chains, Commits, Directory, FrameRecords, FrameStream, Inventory, Listing,
    Notices, Objects, Receipts, Removal, ScalingLogs, SealKey, Shards, StreamMetrics, Sweeps,
};
use vernier_ledger::time::Millis;
use vernier_web::{ProblemDocument, Request};

/// Minutes between two looks for failed batches where no window is incomplete.
const HEAL_MINUTES: i64 = 15;

/// Minutes between two sweeps.
const SWEEP_MINUTES: i64 = 15;

/// Before a scheduled run's other work, so that a peak does not wait for a window to be sealed: looks at
/// the stream and scales it. A look that failed is the next run's. An API request scales nothing.
pub async fn scale<M: StreamMetrics, H: Shards, L: ScalingLogs>(
    scaler: &Scaler<M, H, L>,
    event: &LambdaEvent<Value>,
) {
    if is_api_request(event) {
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

/// Answers an API request, or takes the schedule's event.
///
/// # Errors
/// When a scheduled run could not list the tenants.
pub async fn handle<T, O, N, K, S>(
    context: &Context<T, O, N, K, S>,
    event: LambdaEvent<Value>,
) -> Result<Value, Error>
where
    T: PlaybackTable + Blocks + Listing + Accounts + Sweeps,
    O: Objects + Inventory + Removal,
    N: Notices,
    K: SealKey,
    S: FrameStream + FrameRecords,
{
    let now = clock::now();
    if is_api_request(&event) {
        let request: ApiGatewayProxyRequest = serde_json::from_value(event.payload)?;
        let route = route(context, Request(&request), now);
        let answer = vernier_web::answered(&context.origins, Request(&request), route).await;
        return Ok(serde_json::to_value(answer)?);
    }
    let done = scheduled_run(context, now, event.context.deadline).await?;
    let line = done.line(clock::now());
    context
        .metrics
        .write(&line.with("requestId", event.context.request_id));
    let (seals, swept) = (&done.sealed, &done.swept);
    Ok(json!({
        "completed": done.surveyed.completed,
        "incomplete": done.surveyed.incomplete,
        "failed": done.failed(),
        "sealed": seals.sealed,
        "backfills": seals.backfills,
        "held": seals.held,
        "days": done.compacted.days,
        "files_removed": done.compacted.removed,
        "playback_steps": done.played.steps,
        "swept": swept.segments + swept.oversize + swept.unnamed,
    }))
}

/// All that a run does, each part in what the one before left of its time.
async fn scheduled_run<T, O, N, K, S>(
    context: &Context<T, O, N, K, S>,
    now: Millis,
    deadline_millis: u64,
) -> Result<Done, Error>
where
    T: PlaybackTable + Blocks + Listing + Accounts + Sweeps,
    O: Objects + Inventory + Removal,
    N: Notices,
    K: SealKey,
    S: FrameStream + FrameRecords,
{
    let deadline = seal_until(now, deadline_millis);
    list(context, deadline).await;
    let found = survey(&context.ports, context.settings, now).await?;
    let surveyed = found.summary;
    tracing::info!(
        tenants = surveyed.tenants,
        completed = surveyed.completed,
        incomplete = surveyed.incomplete,
        failed = surveyed.failed,
        "scheduled run"
    );
    let (healed, missing) = bring_back(context, &found, now, deadline).await;
    let sealed = seal_due(
        &context.ports,
        &context.workshop,
        context.settings,
        clock::now,
        deadline,
    );
    let sealed = sealed.await?;
    tracing::info!(
        sealed = sealed.sealed,
        backfills = sealed.backfills,
        events = sealed.events,
        held = sealed.held,
        failed = sealed.failed,
        left = sealed.left,
        "sealing"
    );
    Ok(Done {
        surveyed,
        healed,
        missing,
        sealed,
        compacted: compact(context, deadline_millis).await,
        played: play_back(context, deadline_millis).await,
        swept: sweep(context, now, deadline_millis).await,
    })
}

/// Lists commits of earlier versions by tenant; what could not be is the next run's.
async fn list<T, O, N, K, S>(context: &Context<T, O, N, K, S>, deadline: Millis)
where
    T: Commits + Listing + Directory + Chains,
{
    match list_commits(&context.ports.table, clock::now, deadline).await {
        Ok(listed) => tracing::info!(
            commits = listed.commits,
            items = listed.items,
            complete = listed.complete,
            "blocks listed"
        ),
        Err(error) => tracing::error!(%error, "blocks not listed"),
    }
}

/// Compacts days in half of what the invocation has left.
async fn compact<T, O, N, K, S>(
    context: &Context<T, O, N, K, S>,
    deadline_millis: u64,
) -> CompactSummary
where
    T: Receipts + Commits + Blocks + Directory + Chains,
    O: Objects + Removal,
    N: Notices,
    K: SealKey,
{
    let deadline = seal_until(clock::now(), deadline_millis);
    let settings = (context.settings, context.compacting);
    let compacted = compact_due(
        &context.ports,
        &context.workshop,
        settings,
        clock::now,
        deadline,
    );
    let compacted = compacted.await.unwrap_or_else(|error| {
        tracing::error!(%error, "tenants not listed");
        CompactSummary {
            failed: 1,
            ..CompactSummary::default()
        }
    });
    tracing::info!(
        days = compacted.days,
        covered = compacted.covered,
        removed = compacted.removed,
        held = compacted.held,
        failed = compacted.failed,
        left = compacted.left,
        "compaction"
    );
    compacted
}

/// Goes on with the playbacks in half of what the invocation has left.
async fn play_back<T, O, N, K, S>(
    context: &Context<T, O, N, K, S>,
    deadline_millis: u64,
) -> PlaybackSummary
where
    T: PlaybackTable,
    O: Objects + Inventory,
    S: FrameStream,
{
    let deadline = seal_until(clock::now(), deadline_millis);
    let played = play_due(context.wires(), clock::now, deadline).await;
    let played = played.unwrap_or_else(|error| {
        tracing::error!(%error, "playbacks not listed");
        PlaybackSummary {
            failed: 1,
            ..PlaybackSummary::default()
        }
    });
    tracing::info!(
        steps = played.steps,
        ended = played.ended,
        failed = played.failed,
        "playbacks"
    );
    played
}

/// Removes what is not needed any more, now and then, in half of what the invocation has left.
async fn sweep<T, O, N, K, S>(
    context: &Context<T, O, N, K, S>,
    now: Millis,
    deadline_millis: u64,
) -> SweepSummary
where
    T: Commits + Chains + Directory + Sweeps,
    O: Objects + Inventory + Removal,
    N: Notices,
{
    let mut swept = SweepSummary::default();
    if now.minute().0 % SWEEP_MINUTES != 0 {
        return swept;
    }
    let ports = &context.ports;
    let deadline = seal_until(clock::now(), deadline_millis);
    let parts = sweep_parts(&ports.table, &ports.objects, clock::now, deadline).await;
    let segments = sweep_segments(ports, context.sweeping, clock::now, deadline).await;
    for done in [parts, segments] {
        match done {
            Ok(done) => swept.add(&done),
            Err(error) => {
                swept.failed += 1;
                tracing::error!(%error, "not swept");
            }
        }
    }
    tracing::info!(
        hours = swept.hours,
        segments = swept.segments,
        oversize = swept.oversize,
        unnamed = swept.unnamed,
        failed = swept.failed,
        "swept"
    );
    if swept.left > 0 {
        tracing::warn!(left = swept.left, "unsealed past its time");
    }
    swept
}

/// Brings back what is missing; what cannot be now is tried at the next run.
async fn bring_back<T, O, N, K, S>(
    context: &Context<T, O, N, K, S>,
    found: &Survey,
    now: Millis,
    deadline: Millis,
) -> (HealSummary, MissingSummary)
where
    T: Receipts + Commits,
    O: Objects + Inventory,
    S: FrameStream + FrameRecords,
{
    // Where nothing is missing there is hardly a failed batch: they are looked for now and then.
    if found.summary.incomplete == 0 && now.minute().0 % HEAL_MINUTES != 0 {
        return (HealSummary::default(), MissingSummary::default());
    }
    let (table, stream) = (&context.ports.table, &context.stream);
    let (objects, days) = (&context.ports.objects, context.receipt_days.0);
    let healed = heal(table, objects, stream, days, clock::now, deadline).await;
    let healed = healed.unwrap_or_else(|error| {
        tracing::error!(%error, "failed batches not listed");
        HealSummary::default()
    });
    tracing::info!(
        settled = healed.settled,
        pending = healed.pending,
        unreadable = healed.unreadable,
        played_back = healed.played_back,
        "failed batches"
    );
    let missing = heal_missing(table, stream, &found.missing, days, clock::now, deadline).await;
    tracing::info!(
        played_back = missing.played_back,
        pending = missing.pending,
        gone = missing.gone,
        "missing receipts"
    );
    (healed, missing)
}

/// When the last window is begun: half of what is left of the invocation is enough to end it.
fn seal_until(now: Millis, deadline_millis: u64) -> Millis {
    let deadline = i64::try_from(deadline_millis).unwrap_or(i64::MAX);
    Millis(now.0 + deadline.saturating_sub(now.0) / 2)
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

async fn route<T, O, N, K, S>(
    context: &Context<T, O, N, K, S>,
    request: Request<'_>,
    now: Millis,
) -> Result<ApiGatewayProxyResponse, ProblemDocument>
where
    T: PlaybackTable + Blocks,
    O: Objects + Inventory,
    S: FrameStream,
{
    if request.resource().starts_with("/playbacks") {
        let (status, body) = Box::pin(playbacks::api::route(context, request, now)).await?;
        return Ok(vernier_web::json(status, &[], &body));
    }
    let identity = context
        .authenticator
        .authenticate(request.caller(now), Scope::AuditRead)
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
