//! The service's HTTP API: where it is, who asks, and what a refusal says.

use super::{FINDINGS, TROUBLE, time};
use crate::document::Document;
use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;
use std::fmt;
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::HeaderMap;

/// An answer's body, bytes: a page of events is 6 MB at most, a verdict of 10,000 rejected events
/// a few MB more.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Waiting for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Tries of a read request.
const READ_ATTEMPTS: u32 = 4;
/// Pause between two looks while `--wait` runs.
const POLL_PAUSE: Duration = Duration::from_secs(1);

/// Where the service is and who asks.
#[derive(Debug, clap::Args)]
pub(super) struct ApiArgs {
    /// Base URL of the API, as the deployment prints it (a URL that ends in /caliper is fine too)
    #[arg(long, env = "VERNIER_API", value_name = "URL", value_parser = base_url)]
    api: String,
    /// Token; better in the environment as VERNIER_TOKEN, where no process list shows it
    #[arg(long, value_name = "TOKEN")]
    token: Option<Secret>,
    /// Longest time for one request, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 35, value_parser = clap::value_parser!(u64).range(1..=900))]
    timeout: u64,
}

/// A text that is never printed.
#[derive(Clone)]
pub(super) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

fn base_url(text: &str) -> Result<String, String> {
    let uri: ureq::http::Uri = text.parse().map_err(|e| format!("no URL: {e}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err("expected http://… or https://…".to_owned());
    }
    if uri.query().is_some() {
        return Err("expected a URL without '?'".to_owned());
    }
    let base = text.trim_end_matches('/');
    Ok(base.strip_suffix("/caliper").unwrap_or(base).to_owned())
}

/// The API, ready to be asked.
pub(super) struct Api {
    agent: Agent,
    base: String,
    authorization: String,
}

impl Api {
    /// Takes the token from the environment unless one was given, of which it warns.
    ///
    /// # Errors
    /// There is no token.
    pub(super) fn new(args: &ApiArgs, connections: usize) -> anyhow::Result<Self> {
        let token = match &args.token {
            Some(Secret(token)) => {
                eprintln!(
                    "vernier: a token on the command line can be read in process lists: better set VERNIER_TOKEN"
                );
                token.clone()
            }
            None => std::env::var("VERNIER_TOKEN")
                .map_err(|_| anyhow!("no token: set VERNIER_TOKEN (or --token)"))?,
        };
        let token = token.trim();
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            bail!("the token is empty or holds blanks");
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(Duration::from_secs(args.timeout)))
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .user_agent(concat!("vernier/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Self {
            agent,
            base: args.api.clone(),
            authorization: format!("Bearer {token}"),
        })
    }

    /// Where envelopes go.
    pub(super) fn endpoint(&self) -> String {
        format!("{}/caliper", self.base)
    }

    /// Posts an envelope once.
    ///
    /// # Errors
    /// No answer came.
    pub(super) fn post(
        &self,
        body: &[u8],
        encoding: Option<&str>,
        verdicts: bool,
    ) -> Result<Answer, ureq::Error> {
        let mut request = self
            .agent
            .post(self.endpoint())
            .header("authorization", &self.authorization)
            .header("content-type", "application/json");
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        if verdicts {
            request = request.header("prefer", "return=representation");
        }
        Answer::read(request.send(body)?)
    }

    /// Reads a resource, trying again when the service is busy or cannot be reached.
    ///
    /// # Errors
    /// The service cannot be reached, or refuses: then a [`Problem`].
    pub(super) fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        let body = self.get_bytes(path, query)?;
        serde_json::from_slice(&body).with_context(|| format!("GET {path} gave no JSON"))
    }

    /// As [`Self::get`], of a resource that holds what sensors sent.
    ///
    /// # Errors
    /// The errors are those of [`Self::get`].
    pub(super) fn get_document(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> anyhow::Result<Document> {
        let body = self.get_bytes(path, query)?;
        Document::read(body).with_context(|| format!("GET {path} gave no JSON"))
    }

    /// As [`Self::get`], of a resource that is text.
    ///
    /// # Errors
    /// The errors are those of [`Self::get`].
    pub(super) fn get_text(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<String> {
        let body = self.get_bytes(path, query)?;
        String::from_utf8(body).with_context(|| format!("GET {path} gave no text"))
    }

    fn get_bytes(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Vec<u8>> {
        let mut attempt = 1;
        loop {
            let mut request = self
                .agent
                .get(format!("{}{path}", self.base))
                .header("authorization", &self.authorization);
            for (name, value) in query {
                request = request.query(name, value);
            }
            let (wait, error) = match request.call().and_then(Answer::read) {
                Ok(answer) if answer.status == 200 => return Ok(answer.body),
                Ok(answer) if answer.is_transient() => {
                    (answer.retry_after(), anyhow!(answer.problem()))
                }
                Ok(answer) => return Err(answer.problem().into()),
                Err(error) => (
                    None,
                    anyhow!(error).context(format!("GET {}{path}", self.base)),
                ),
            };
            if attempt == READ_ATTEMPTS {
                return Err(error);
            }
            std::thread::sleep(pause(attempt, wait));
            attempt += 1;
        }
    }

    /// Posts a JSON document, or nothing, once.
    ///
    /// # Errors
    /// The service cannot be reached, or refuses: then a [`Problem`].
    pub(super) fn post_json(&self, path: &str, body: &[u8]) -> anyhow::Result<Value> {
        let answer = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .send(body)
            .and_then(Answer::read)
            .with_context(|| format!("POST {}{path}", self.base))?;
        if !matches!(answer.status, 200 | 202) {
            return Err(answer.problem().into());
        }
        serde_json::from_slice(&answer.body).with_context(|| format!("POST {path} gave no JSON"))
    }

    /// Puts a JSON document once.
    ///
    /// # Errors
    /// The service cannot be reached, or refuses: then a [`Problem`].
    pub(super) fn put(
        &self,
        path: &str,
        query: &[(&str, String)],
        body: &[u8],
    ) -> anyhow::Result<Value> {
        let mut request = self
            .agent
            .put(format!("{}{path}", self.base))
            .header("authorization", &self.authorization)
            .header("content-type", "application/json");
        for (name, value) in query {
            request = request.query(name, value);
        }
        let answer = request
            .send(body)
            .and_then(Answer::read)
            .with_context(|| format!("PUT {}{path}", self.base))?;
        if !matches!(answer.status, 200 | 201) {
            return Err(answer.problem().into());
        }
        serde_json::from_slice(&answer.body).with_context(|| format!("PUT {path} gave no JSON"))
    }

    /// Looks again and again until `done` says so or the time is over; gives the last look.
    /// A 404 counts as not yet.
    ///
    /// # Errors
    /// As [`Self::get`]; the 404 when there was nothing else to the end.
    pub(super) fn poll<T>(
        &self,
        wait: Duration,
        look: impl Fn(&Self) -> anyhow::Result<T>,
        done: impl Fn(&T) -> bool,
    ) -> anyhow::Result<T> {
        let end = Instant::now() + wait;
        loop {
            let seen = look(self);
            let absent =
                |e: &anyhow::Error| e.downcast_ref::<Problem>().is_some_and(|p| p.status == 404);
            let over = match &seen {
                Ok(value) => done(value),
                Err(error) => !absent(error),
            };
            if over || Instant::now() >= end {
                return seen;
            }
            std::thread::sleep(POLL_PAUSE.min(end.saturating_duration_since(Instant::now())));
        }
    }
}

/// An HTTP answer, read to its end.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Self, ureq::Error> {
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()?;
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body,
        })
    }

    /// The text of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the same request may well succeed later.
    pub(super) const fn is_transient(&self) -> bool {
        matches!(self.status, 408 | 429 | 500 | 502 | 503 | 504)
    }

    /// How long the service asks to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        time::retry_after(self.header("retry-after")?, time::now())
    }

    /// The answer as a refusal.
    pub(super) fn problem(&self) -> Problem {
        let document: Value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        Problem {
            status: self.status,
            document,
        }
    }
}

/// A refusal: a problem document (RFC 9457), or what a gateway says in its place.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) status: u16,
    /// The document; null when the body was no JSON.
    pub(super) document: Value,
}

impl Problem {
    pub(super) fn exit_code(&self) -> u8 {
        if matches!(self.status, 404 | 409 | 422) {
            FINDINGS
        } else {
            TROUBLE
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |name: &str| {
            self.document
                .get(name)
                .and_then(Value::as_str)
                .filter(|t| !t.is_empty())
        };
        write!(f, "{}", self.status)?;
        if let Some(title) = text("title").or_else(|| text("message")) {
            write!(f, " {title}")?;
        }
        if let Some(detail) = text("detail") {
            write!(f, ": {detail}")?;
        }
        let problems = self.document.get("problems").and_then(Value::as_array);
        for problem in problems.into_iter().flatten() {
            let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or("");
            // What one finding alone says is usually the detail.
            if text("message") != detail_of(&self.document) {
                write!(f, "\n  {} {}", text("pointer"), text("message"))?;
            }
        }
        Ok(())
    }
}

fn detail_of(document: &Value) -> &str {
    document
        .get("detail")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

impl std::error::Error for Problem {}

/// Longest pause before a try, whatever the service asks for.
const PAUSE_MAX: Duration = Duration::from_secs(120);

/// How long to pause before try `attempt + 1`: what the service asked for and a bit, else from
/// half to all of 0.25 s, 0.5 s, 1 s … 20 s, so that many senders do not come back together.
pub(super) fn pause(attempt: u32, asked: Option<Duration>) -> Duration {
    let spread = |low: Duration, high: Duration| {
        low + (high.saturating_sub(low)).mul_f64(rand::random::<f64>())
    };
    match asked {
        Some(asked) => {
            let asked = asked.min(PAUSE_MAX);
            spread(asked, asked + (asked / 4).max(Duration::from_millis(250)))
        }
        None => {
            let full = Duration::from_millis(250 << attempt.saturating_sub(1).min(7))
                .min(Duration::from_secs(20));
            spread(full / 2, full)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_tidied_and_nonsense_refused() {
        assert_eq!(base_url("https://h/v1/"), Ok("https://h/v1".to_owned()));
        assert_eq!(
            base_url("http://127.0.0.1:80/v1/caliper"),
            Ok("http://127.0.0.1:80/v1".to_owned())
        );
        for wrong in ["", "h/v1", "ftp://h", "https://", "https://h/?x=1"] {
            assert!(base_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        assert!(!format!("{:?}", Secret("s3cret".to_owned())).contains("s3cret"));
    }

    #[test]
    fn pauses_grow_are_bounded_and_honour_the_service() {
        for attempt in 1..40 {
            let got = pause(attempt, None);
            assert!(
                got >= Duration::from_millis(125) && got <= Duration::from_secs(20),
                "{got:?}"
            );
        }
        assert!(pause(8, None) >= Duration::from_secs(10));
        let asked = pause(1, Some(Duration::from_secs(8)));
        assert!(asked >= Duration::from_secs(8) && asked <= Duration::from_secs(10));
        assert!(pause(1, Some(Duration::from_secs(100_000))) <= Duration::from_secs(150));
    }

    #[test]
    fn problems_say_what_they_know() {
        let problem = |status, body: &str| {
            Answer {
                status,
                headers: HeaderMap::new(),
                body: body.into(),
            }
            .problem()
            .to_string()
        };
        assert_eq!(
            problem(422, r#"{"title":"Unknown version","detail":"v9"}"#),
            "422 Unknown version: v9"
        );
        assert_eq!(problem(403, r#"{"message":"Forbidden"}"#), "403 Forbidden");
        assert_eq!(problem(502, "<html>"), "502");
    }
}
