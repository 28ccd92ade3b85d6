//! How many calls the services get for an envelope and for a batch, counted on their way.

use aws_lambda_events::apigw::ApiGatewayProxyRequest;
use lambda_runtime::{Context as Invoked, LambdaEvent};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use vernier_aws::{Bucket, KinesisStream, Table};
use vernier_fakes::MemoryTable;
use vernier_input::context::Context as Input;
use vernier_intake::{Sending, SpreadKeeper};
use vernier_ledger::access::{Authenticator, Caller, Identity, LookUps, Scope};
use vernier_ledger::clock;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Directory, Results as _};
use vernier_ledger::results::{Cause, Register, Registers, ResultKey, Status};
use vernier_ledger::salt::SaltKey;
use vernier_ledger::schema::SchemaCache;
use vernier_ledger::spread::Spread;
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::Millis;
use vernier_output::context::Context as Output;
use vernier_tests::contracts;
use vernier_tests::deployed::{config_at, variable};
use vernier_tests::envelopes::{bytes, events};
use vernier_tests::memory::{open_windows, proxy_event};
use vernier_tests::proxy::{Proxy, Tally};
use vernier_tests::trigger::{Answer, Invocation, Mapping, SimStream, Trigger, drive, in_process};
use vernier_tests::{Call, Member, world};
use vernier_validation::{Mode, Profile};

/// The deployed stores behind a proxy that only counts.
struct Counted {
    proxy: Proxy,
    stream: KinesisStream,
    table: Table,
    bucket: Bucket,
    member: Member,
}

impl Counted {
    async fn new() -> Self {
        let proxy = Proxy::start(&variable("AWS_ENDPOINT_URL"), |_| None);
        let direct = vernier_aws::config().await.expect("AWS_CA_BUNDLE is read");
        let counted = config_at(&proxy.url()).await;
        let table = Table::new(&direct, variable("VERNIER_TABLE"));
        let tenant = world::create_tenant(&table, Mode::Strict, Profile::Generic).await;
        Self {
            stream: KinesisStream::new(&counted, variable("VERNIER_STREAM")),
            table: Table::new(&counted, variable("VERNIER_TABLE")),
            bucket: Bucket::new(&counted, variable("VERNIER_BUCKET")),
            member: world::issue_token(&table, &tenant, None, &[Scope::EventsWrite]).await,
            proxy,
        }
    }

    async fn identity(&self) -> Identity {
        let authenticator = Authenticator::new(
            self.table.clone(),
            LookUps::trusting(Duration::from_secs(60)),
        );
        let header = format!("Bearer {}", self.member.secret);
        let identity = authenticator
            .authenticate(
                Caller {
                    authorization: Some(&header),
                    address: None,
                    now: clock::now(),
                },
                Scope::EventsWrite,
            )
            .await;
        let _ = self.proxy.take_tally();
        identity.expect("the token is good")
    }
}

/// A tally as `service operation`, and as a line of a table.
fn named(tally: &Tally) -> BTreeMap<String, u64> {
    let name = |c: &vernier_tests::proxy::Call| format!("{} {}", c.service, c.operation);
    tally
        .calls
        .iter()
        .map(|(call, n)| (name(call), *n))
        .collect()
}

fn show(what: &str, calls: &BTreeMap<String, u64>) {
    let calls: Vec<String> = calls
        .iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    eprintln!("{what:44} {}", calls.join(", "));
}

fn calls<const N: usize>(of: [(&str, u64); N]) -> BTreeMap<String, u64> {
    of.into_iter()
        .map(|(name, n)| (name.to_owned(), n))
        .collect()
}

fn invoked() -> Invoked {
    let deadline = SystemTime::now() + Duration::from_secs(30);
    let since = deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut invoked = Invoked::default();
    invoked.deadline = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    invoked
}

#[tokio::test]
async fn an_envelopes_calls_do_not_grow_with_its_events() {
    let counted = Counted::new().await;
    let context = Input {
        stores: StoreSet::new(counted.table.clone(), counted.bucket.clone())
            .with_stream(counted.stream.clone()),
        authenticator: Authenticator::new(
            counted.table.clone(),
            LookUps::trusting(Duration::from_secs(600)),
        ),
        schemas: SchemaCache::new(counted.table.clone(), Duration::from_secs(600)),
        refused: vernier_ledger::refused::RefusedTally::default(),
        settings: vernier_intake::Settings { receipt_days: 30 },
        // One window for all time: it does not end during the test, and its last third is far.
        windows: open_windows(u32::MAX, 300),
        spreads: SpreadKeeper::default(),
        store_clock: clock::StoreClock::default(),
        origins: vernier_web::AllowedOrigins::default(),
        rates: vernier_ledger::rates::RateKeeper::default(),
    };
    let warm = calls([("DynamoDB UpdateItem", 1), ("Kinesis PutRecords", 1)]);
    let mut cold = warm.clone();
    // Two of the token and its tenant, one of the window's entry, which is then put with its index item.
    cold.insert("DynamoDB GetItem".to_owned(), 3);
    cold.insert("DynamoDB PutItem".to_owned(), 2);
    cold.insert("DynamoDB Query".to_owned(), 1);
    for (what, count, expected) in [
        ("envelope of 1 event, token not yet known", 1, &cold),
        ("envelope of 1 event", 1, &warm),
        ("envelope of 100 events", 100, &warm),
        ("envelope of 1,000 events", 1_000, &warm),
    ] {
        let call = Call::post(bytes(&events(count))).token(&counted.member.secret);
        let request: ApiGatewayProxyRequest =
            serde_json::from_value(proxy_event(&call)).expect("a proxy request");
        let event = LambdaEvent::new(request, invoked());
        let answer = vernier_input::handler::handle(&context, event)
            .await
            .expect("answers");
        assert_eq!(answer.status_code, 200);
        let seen = named(&counted.proxy.take_tally());
        show(what, &seen);
        assert_eq!(&seen, expected, "{what}");
    }
}

/// Puts envelopes on a stream of the test's own; gives back the stream and its frames.
async fn frames(identity: &Identity, envelopes: usize, count: usize) -> (SimStream, u64) {
    let name = format!("calls-{}", uuid::Uuid::new_v4().simple());
    let stream = SimStream::new(&name, 1, clock::now());
    let bucket = vernier_fakes::MemoryBucket::default();
    let stores = StoreSet::new(MemoryTable::default(), bucket).with_stream(stream.clone());
    let windows = open_windows(15, 300);
    let sending = Sending {
        settings: vernier_intake::Settings { receipt_days: 30 },
        windows: &windows,
        spreads: &SpreadKeeper::default(),
        new_salt_key: SaltKey::random,
        clock: clock::now,
        budget: Duration::from_secs(30),
    };
    for _ in 0..envelopes {
        let body = bytes(&events(count));
        let receipt = Spread::of(&identity.tenant, None).new_receipt(clock::now());
        vernier_intake::accept(&stores, sending, identity, None, &body, receipt)
            .await
            .expect("acknowledged");
    }
    let frames = stream.len(&stream.shards()[0]);
    (stream, frames as u64)
}

#[tokio::test]
async fn a_batchs_calls_grow_with_its_frames_and_not_with_its_events() {
    let counted = Counted::new().await;
    let identity = counted.identity().await;
    let context = in_process::context(counted.table.clone(), counted.bucket.clone());
    let mut entries = 0;
    for (envelopes, count) in [(1, 1), (1, 100), (1, 10_000), (100, 1), (100, 100)] {
        let (stream, frames) = frames(&identity, envelopes, count).await;
        let mapping = Mapping {
            batch_size: 10_000,
            ..Mapping::default()
        };
        let mut trigger = Trigger::new(stream, mapping);
        let handler = async |i: &Invocation| {
            let answer = in_process::invoke(&context, i).await;
            assert_ne!(answer, Answer::FunctionError);
            answer
        };
        drive::run(&mut trigger, handler, |_| {}).await;
        assert_eq!(trigger.counts().invocations, 1, "one batch");
        let seen = named(&counted.proxy.take_tally());
        let what = format!("batch of {} events in {frames} frames", envelopes * count);
        show(&what, &seen);
        let mut expected = calls([
            ("DynamoDB GetItem", 1),
            ("DynamoDB TransactWriteItems", 1),
            ("DynamoDB UpdateItem", frames),
            ("S3 PutObject", 1),
        ]);
        // A large block's filter is to be rolled up, of which a process puts an entry once a minute.
        if envelopes * count == 10_000 && seen.contains_key("DynamoDB PutItem") {
            entries += 1;
            expected.insert("DynamoDB GetItem".to_owned(), 2);
            expected.insert("DynamoDB PutItem".to_owned(), 2);
        }
        assert_eq!(seen, expected, "{what}");
        let slices_max = 2 * envelopes * count / 1_000 + envelopes;
        assert!(frames <= slices_max as u64, "slices are full: {what}");
    }
    assert!(entries > 0, "the first large block has its entry");
}

/// The contracts' long lists are longer than one page: DynamoDB answers a query with 1 MB at most.
#[tokio::test]
async fn long_lists_come_in_several_pages() {
    let counted = Counted::new().await;
    let queries = || {
        named(&counted.proxy.take_tally())
            .get("DynamoDB Query")
            .copied()
    };
    contracts::receipts::more_receipts_than_one_page_holds(&counted.table).await;
    assert!(queries() > Some(1));
    contracts::directory::more_tokens_than_one_page_holds(&counted.table).await;
    assert!(queries() > Some(1));
    contracts::commits::more_records_than_one_page_holds(&counted.table).await;
    assert!(queries() > Some(1));
    assert!(counted.table.tenants().await.is_ok());
}

/// Forty attempts of a learner, and of everybody else in the section: a report reads its own alone. Of a
/// learner there is one query for the section, and one for what names no section.
#[tokio::test]
async fn a_learners_assignments_are_two_queries_and_a_sections_grades_one_a_slot() {
    let counted = Counted::new().await;
    let tenant: TenantId = counted.member.tenant.parse().expect("a tenant's name");
    let section = "https://school.example/sections/1";
    for n in 0..40 {
        for learner in ["joe", "jane"] {
            let key = ResultKey {
                section: Some(section.to_owned()),
                learner: learner.to_owned(),
                assignment: Some(format!("quiz-{n}")),
                attempt: None,
            };
            let cause = Cause::new(
                Millis(n),
                Some(&format!("{learner}-{n}")),
                &Fingerprint::of(b""),
            );
            let status = Status {
                action: "Graded".to_owned(),
            };
            let registers = Registers {
                status: Some(Register {
                    value: status,
                    cause,
                }),
                ..Registers::default()
            };
            let merged = counted.table.merge(&tenant, &key, &registers).await;
            merged.expect("merged");
        }
    }
    let table = &counted.table;
    let member = world::issue_token(table, &counted.member.tenant, None, &[Scope::ReportsRead]);
    let member = member.await;
    let context = Output {
        stores: StoreSet::new(table.clone(), counted.bucket.clone()),
        authenticator: Authenticator::new(
            table.clone(),
            LookUps::trusting(Duration::from_secs(600)),
        ),
        insights: vernier_output::insights::Insights::new("", []),
        origins: vernier_web::AllowedOrigins::default(),
        filters: vernier_output::filter_memory::FilterMemory::default(),
    };
    let slots = u64::from(vernier_ledger::limits::RESULT_SLOTS);
    let report = |name| {
        Call::get("/reports/{report}")
            .id(name)
            .query("section", section)
    };
    for (what, call, queries) in [
        (
            "token not yet known",
            report("assignments").query("learner", "joe"),
            2,
        ),
        (
            "a learner's assignments",
            report("assignments").query("learner", "joe"),
            2,
        ),
        ("a section's grades", report("grades"), slots),
    ] {
        let _ = counted.proxy.take_tally();
        let call = call.token(&member.secret);
        let request: ApiGatewayProxyRequest =
            serde_json::from_value(proxy_event(&call)).expect("a proxy request");
        let event = LambdaEvent::new(request, invoked());
        let answer = vernier_output::handler::handle(&context, event).await;
        assert_eq!(answer.expect("answers").status_code, 200, "{what}");
        let mut seen = named(&counted.proxy.take_tally());
        show(what, &seen);
        assert_eq!(seen.remove("DynamoDB Query"), Some(queries), "{what}");
        // The token, once, and how far the chain reaches.
        let others: Vec<&String> = seen.keys().collect();
        assert_eq!(others, ["DynamoDB GetItem"], "{what}");
    }
}
