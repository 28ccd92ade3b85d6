//! The reference load: the generator's mix in envelopes, as API Gateway and the trigger hand them over.

use super::StoredRecord;
use super::streams::SHARD_ID;
use crate::trigger::StreamRecord;
use crate::trigger::event::kinesis_event;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;
use vernier_cli::generate::{CONTEXT, Params, SENSOR, Semester};
use vernier_ledger::access::{Scope, Tenant, TokenInfo, hash_token};
use vernier_ledger::ids::Shard;
use vernier_ledger::rates::Rates;
use vernier_ledger::time::Millis;

/// Events of the reference load in a month.
pub const EVENTS_PER_MONTH: f64 = 1e9;

/// 730 hours.
pub const SECONDS_PER_MONTH: f64 = 2_628_000.0;

/// How far the busiest hours stand above the average; shards must be as many as they need.
pub const PEAK_TO_AVERAGE: f64 = 3.0;

/// `BatchWindowSeconds` of the reference load.
pub const BATCH_WINDOW_SECONDS: f64 = 5.0;

/// What a shard takes each second, records and bytes.
pub const SHARD_RECORDS_PER_SECOND: f64 = 1_000.0;
/// The same in bytes.
pub const SHARD_BYTES_PER_SECOND: f64 = 1_048_576.0;

/// What the template tells the C library of input and stream: to keep freed memory.
pub const ALLOCATOR: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "8388608"),
    ("MALLOC_TRIM_THRESHOLD_", "134217728"),
];

/// Lanes of the tenant: three are what the peak needs in envelopes of one event.
const LANES: u16 = 4;

const TENANT: &str = "school";
const CREATED_AT: Millis = Millis(1_790_000_000_000);

/// A tenant and its one token.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'t> {
    /// The name of the tenant that the token is of.
    pub tenant: &'t str,
    /// The token that its requests carry.
    pub secret: &'t str,
}

/// The token that every request carries: as long as a real one.
fn token() -> String {
    format!(
        "{}{}",
        vernier_ledger::access::TOKEN_PREFIX,
        "5c".repeat(32)
    )
}

/// Events of a whole semester in the order in which they are sent: one after the other of the
/// semester's parts in turn. A month's billion comes from thousands of learners at once, so that the
/// events of one batch have nothing to do with each other; those of one small semester would.
#[must_use]
pub fn events(seed: u64, count: u64, turns: usize) -> Vec<String> {
    let semester = Semester::new(Params::new(seed, count)).expect("within bounds");
    let all: Vec<String> = semester.events().map(|e| e.json).collect();
    (0..turns)
        .flat_map(|first| all.iter().skip(first).step_by(turns).cloned())
        .collect()
}

/// Request bodies of so many events each.
#[must_use]
pub fn bodies(events: &[String], per_envelope: usize) -> Vec<String> {
    let body = |data: &[String]| {
        format!(
            "{{\"sensor\":\"{SENSOR}\",\"sendTime\":\"2026-06-01T08:00:00.000Z\",\
             \"dataVersion\":\"{CONTEXT}\",\"data\":[{}]}}",
            data.join(",")
        )
    };
    events.chunks(per_envelope).map(body).collect()
}

/// The event that API Gateway makes of a POST to `/caliper`.
#[must_use]
pub fn api_event(body: &str) -> Vec<u8> {
    posted(body, None)
}

/// The same with another tenant's token.
#[must_use]
pub fn api_event_of(holder: Holder<'_>, body: &str) -> Vec<u8> {
    posted(body, Some(holder.secret))
}

fn posted(body: &str, token: Option<&str>) -> Vec<u8> {
    Asking {
        method: "POST",
        resource: "/caliper",
        body: Some(body),
        token,
        ..Asking::default()
    }
    .event()
}

/// The event that API Gateway makes of a GET.
#[must_use]
pub fn api_get(path: &str) -> Vec<u8> {
    Asking {
        method: "GET",
        resource: path,
        ..Asking::default()
    }
    .event()
}

/// A request to the API.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// The gateway's resource, such as `/insights/{file}`.
    pub resource: &'a str,
    /// The value of the resource's `{file}`.
    pub file: Option<&'a str>,
    /// Its token; none for the bench's own tenant's.
    pub token: Option<&'a str>,
    /// The address that it comes from.
    pub address: &'a str,
    /// The body of the request, if it has one.
    pub body: Option<&'a str>,
}

impl Default for Asking<'_> {
    fn default() -> Self {
        Self {
            method: "GET",
            resource: "/me",
            file: None,
            token: None,
            address: "192.0.2.1",
            body: None,
        }
    }
}

impl Asking<'_> {
    /// The event that API Gateway makes of it.
    #[must_use]
    pub fn event(&self) -> Vec<u8> {
        let own = token();
        let file = self.file.map(|file| json!({ "file": file }));
        let body = self.body.map(|body| STANDARD.encode(body));
        let path = match self.file {
            Some(file) => self.resource.replace("{file}", file),
            None => self.resource.to_owned(),
        };
        api_request(self, self.token.unwrap_or(&own), (&path, file, body))
    }
}

/// What is of one request: its path, its path parameters, its body in base64.
type Own<'a> = (&'a str, Option<Value>, Option<String>);

fn api_request(asking: &Asking<'_>, token: &str, (path, file, body): Own<'_>) -> Vec<u8> {
    let Asking {
        method,
        resource,
        address,
        ..
    } = asking;
    let headers = json!({
        "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate",
        "Authorization": format!("Bearer {token}"),
        "Content-Type": "application/json",
        "Host": "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com",
        "User-Agent": "sensor/1.0",
        "X-Amzn-Trace-Id": "Root=1-67891233-abcdef012345678912345678",
        "X-Forwarded-For": address,
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    });
    let several: serde_json::Map<String, Value> = headers
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), json!([value])))
        .collect();
    let event = json!({
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": several,
        "queryStringParameters": null,
        "multiValueQueryStringParameters": null,
        "pathParameters": file,
        "stageVariables": null,
        "requestContext": {
            "accountId": "123456789012", "apiId": "a1b2c3d4e5", "httpMethod": method,
            "domainName": "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "a1b2c3d4e5", "extendedRequestId": "JKJaXmPLvHcESHA=",
            "identity": { "sourceIp": address, "userAgent": "sensor/1.0" },
            "path": format!("/v1{path}"), "protocol": "HTTP/1.1",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "requestTime": "01/Sep/2026:09:15:00 +0000", "requestTimeEpoch": 1_788_254_100_000_i64,
            "resourceId": "abc123", "resourcePath": resource, "stage": "v1",
        },
        "body": body,
        "isBase64Encoded": asking.body.is_some(),
    });
    event.to_string().into_bytes()
}

/// The event that the trigger makes of records of the stream.
#[must_use]
pub fn trigger_event(stream: &str, records: &[StoredRecord]) -> Vec<u8> {
    let shard = Shard::new(stream, SHARD_ID).expect("a shard's name");
    let records: Vec<StreamRecord> = records
        .iter()
        .map(|record| StreamRecord {
            sequence: record.sequence.parse().expect("digits"),
            partition_key: record.partition_key.clone(),
            data: Arc::from(record.data.as_slice()),
            arrived: Millis(1_788_254_100_000),
        })
        .collect();
    kinesis_event(&shard, &records).to_string().into_bytes()
}

/// The event of the schedule's rule.
#[must_use]
pub fn schedule_event() -> Vec<u8> {
    let event = json!({
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-09-01T09:15:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/reconcile"],
        "detail": {},
    });
    event.to_string().into_bytes()
}

/// What the table holds before: the tenant and its token.
#[must_use]
pub fn items() -> Vec<Value> {
    let secret = token();
    let holder = Holder {
        tenant: TENANT,
        secret: &secret,
    };
    items_of(holder, Rates::default())
}

/// What the table holds of a tenant with these rates and of its token.
///
/// # Panics
/// When the tenant's name is none.
#[must_use]
pub fn items_of(holder: Holder<'_>, rates: Rates) -> Vec<Value> {
    let tenant = Tenant {
        lanes: LANES,
        rates,
        ..Tenant::new(holder.tenant.parse().expect("a name"), CREATED_AT)
    };
    let info = TokenInfo {
        token_id: "0123456789ab".to_owned(),
        tenant: tenant.id.clone(),
        sensor: SENSOR.to_owned(),
        scopes: Scope::ALL.to_vec(),
        learner: None,
        label: None,
        created_at: CREATED_AT,
        revoked_at: None,
    };
    let hash = hex::encode(hash_token(holder.secret));
    let text = |value: Result<String, serde_json::Error>| value.expect("plain data");
    vec![
        json!({
            "pk": { "S": format!("tenant#{}", holder.tenant) }, "sk": { "S": "tenant" },
            "tenant": { "S": text(serde_json::to_string(&tenant)) },
        }),
        json!({
            "pk": { "S": format!("token#{hash}") }, "sk": { "S": "token" },
            "token": { "S": text(serde_json::to_string(&info)) },
        }),
    ]
}
