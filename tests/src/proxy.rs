//! A proxy in front of the stores that counts calls and makes some of them fail, before or after
//! they took effect.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tiny_http::{Header, Request, Response, Server};

/// Requests under way at once.
const WORKERS: usize = 48;

/// One call of the SDK.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// `DynamoDB`, `Kinesis` or `S3`.
    pub service: &'static str,
    /// Such as `UpdateItem`; for S3 `PutObject`, `GetObject` or `ListObjects`.
    pub operation: String,
}

/// How a call fails: with the service's throttling error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttle {
    /// The service never saw it.
    Before,
    /// The service did it, and the caller is told otherwise.
    After,
}

/// Calls by kind, and how many of them were made to fail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Every call that came in.
    pub calls: BTreeMap<Call, u64>,
    /// Those answered with a throttling error before they took effect.
    pub throttled_before: u64,
    /// Those answered so after.
    pub throttled_after: u64,
}

impl Tally {
    /// All calls.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.calls.values().sum()
    }
}

type Plan = dyn Fn(&Call) -> Option<Throttle> + Send + Sync;

/// The proxy; it ends when it is dropped.
pub struct Proxy {
    server: Arc<Server>,
    tally: Arc<Mutex<Tally>>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

impl Proxy {
    /// Starts one on a free port of loopback, in front of `upstream`.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn start(
        upstream: &str,
        plan: impl Fn(&Call) -> Option<Throttle> + Send + Sync + 'static,
    ) -> Self {
        let server = Server::http((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let server = Arc::new(server);
        let tally = Arc::<Mutex<Tally>>::default();
        let plan: Arc<Plan> = Arc::new(plan);
        let agent = agent();
        for _ in 0..WORKERS {
            let worker = Worker {
                server: Arc::clone(&server),
                tally: Arc::clone(&tally),
                plan: Arc::clone(&plan),
                agent: agent.clone(),
                upstream: upstream.trim_end_matches('/').to_owned(),
            };
            std::thread::spawn(move || worker.run());
        }
        Self { server, tally }
    }

    /// What to use as `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.server_addr())
    }

    /// What came by so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What came by so far; counting begins again.
    #[must_use]
    pub fn take_tally(&self) -> Tally {
        std::mem::take(&mut *self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for _ in 0..WORKERS {
            self.server.unblock();
        }
    }
}

/// Hands requests and answers on as they are.
fn agent() -> ureq::Agent {
    use ureq::config::AutoHeaderValue::None as Absent;
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(2 * WORKERS)
        .max_idle_connections_per_host(2 * WORKERS)
        .timeout_global(Some(Duration::from_secs(30)))
        .proxy(None)
        .accept(Absent)
        .accept_encoding(Absent)
        .user_agent(Absent);
    config.build().into()
}

struct Worker {
    server: Arc<Server>,
    tally: Arc<Mutex<Tally>>,
    plan: Arc<Plan>,
    agent: ureq::Agent,
    upstream: String,
}

impl Worker {
    fn run(&self) {
        while let Ok(request) = self.server.recv() {
            self.answer(request);
        }
    }

    fn answer(&self, mut request: Request) {
        let mut body = Vec::new();
        if std::io::Read::read_to_end(request.as_reader(), &mut body).is_err() {
            // The caller was killed while it wrote: the service saw no whole request either.
            return;
        }
        let call = call_of(&request);
        let throttle = (self.plan)(&call);
        {
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            *tally.calls.entry(call.clone()).or_default() += 1;
            tally.throttled_before += u64::from(throttle == Some(Throttle::Before));
            tally.throttled_after += u64::from(throttle == Some(Throttle::After));
        }
        // A caller that is gone by now does not hear the answer, as with the service.
        let _ = match throttle {
            Some(Throttle::Before) => request.respond(throttling(&call)),
            Some(Throttle::After) => {
                let _ = self.forward(&request, &body);
                request.respond(throttling(&call))
            }
            None => {
                let answer = self.forward(&request, &body);
                request.respond(answer.unwrap_or_else(|e| plain(502, "text/plain", &e)))
            }
        };
    }

    fn forward(&self, request: &Request, body: &[u8]) -> Result<Response<Data>, String> {
        let method = request.method().to_string();
        let url = format!("{}{}", self.upstream, request.url());
        let mut onward = ureq::http::Request::builder()
            .method(method.as_str())
            .uri(url);
        for header in request.headers() {
            let name = header.field.as_str().as_str();
            if !is_of_the_hop(name) {
                onward = onward.header(name, header.value.as_str());
            }
        }
        let shown = |e: ureq::Error| e.to_string();
        let mut answer = if body.is_empty() && method != "POST" && method != "PUT" {
            let onward = onward.body(()).map_err(|e| e.to_string())?;
            self.agent.run(onward).map_err(shown)?
        } else {
            let onward = onward.body(body).map_err(|e| e.to_string())?;
            self.agent.run(onward).map_err(shown)?
        };
        let bytes = answer
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_vec();
        let mut response =
            Response::from_data(bytes.map_err(shown)?).with_status_code(answer.status().as_u16());
        for (name, value) in answer.headers() {
            if !is_of_the_hop(name.as_str())
                && let Ok(header) = Header::from_bytes(name.as_str(), value.as_bytes())
            {
                response.add_header(header);
            }
        }
        Ok(response)
    }
}

type Data = std::io::Cursor<Vec<u8>>;

/// Headers of one connection, which the next one has of its own.
fn is_of_the_hop(name: &str) -> bool {
    let of_the_hop = [
        "connection",
        "content-length",
        "transfer-encoding",
        "expect",
    ];
    of_the_hop.iter().any(|h| name.eq_ignore_ascii_case(h))
}

fn call_of(request: &Request) -> Call {
    let target = request
        .headers()
        .iter()
        .find(|h| h.field.equiv("x-amz-target"));
    if let Some((api, operation)) = target.and_then(|h| h.value.as_str().split_once('.')) {
        let service = if api.starts_with("Kinesis") {
            "Kinesis"
        } else {
            "DynamoDB"
        };
        return Call {
            service,
            operation: operation.to_owned(),
        };
    }
    let operation = match request.method().to_string().as_str() {
        "GET" if request.url().contains("list-type=") => "ListObjects".to_owned(),
        method => {
            let rest = method.get(1..).unwrap_or_default().to_ascii_lowercase();
            format!("{}{rest}Object", method.get(..1).unwrap_or_default())
        }
    };
    Call {
        service: "S3",
        operation,
    }
}

fn plain(status: u16, content_type: &str, text: &str) -> Response<Data> {
    let header = Header::from_bytes("Content-Type", content_type).expect("plain text");
    Response::from_string(text)
        .with_status_code(status)
        .with_header(header)
}

/// The service's own words for "slower".
fn throttling(call: &Call) -> Response<Data> {
    match call.service {
        "S3" => plain(
            503,
            "application/xml",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code>\
             <Message>Please reduce your request rate.</Message></Error>",
        ),
        service => {
            let (api, version) = match service {
                "Kinesis" => ("com.amazonaws.kinesis.v20131202", "1.1"),
                _ => ("com.amazonaws.dynamodb.v20120810", "1.0"),
            };
            let text = format!(
                "{{\"__type\":\"{api}#ProvisionedThroughputExceededException\",\"message\":\"slower\"}}"
            );
            plain(400, &format!("application/x-amz-json-{version}"), &text)
        }
    }
}
