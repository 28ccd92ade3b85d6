//! One envelope to its final answer: compression, tries, pauses.

use super::report::{Counts, Outcome, Row, body_name};
use super::source::Input;
use crate::command::api::{Answer, Api, pause};
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What an envelope beyond its tenant's rate is answered with.
const RATE_EXCEEDED: &str = "urn:vernier:problem:rate-exceeded";

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Compress {
    None,
    Gzip,
    Zstd,
}

impl Compress {
    const fn encoding(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    fn pack(self, body: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(body.to_vec()),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(body)?;
                encoder.finish()
            }
            Self::Zstd => zstd::bulk::compress(body, 3),
        }
    }
}

/// What came of the tries.
pub(super) enum Posted {
    /// A line for the report.
    Row(Box<Row>),
    /// The service does not let us in, or is no such service: nothing about this envelope.
    Barred(String),
    /// The send was stopped before an answer came.
    Stopped,
}

/// How envelopes are posted.
pub(super) struct Poster<'a> {
    pub(super) api: &'a Api,
    pub(super) compress: Compress,
    /// Ask for every event's verdict.
    pub(super) verdicts: bool,
    /// Tries after the first.
    pub(super) retries: u32,
    /// Set when the whole send is to stop.
    pub(super) stop: &'a AtomicBool,
}

impl Poster<'_> {
    /// Posts until there is a final answer or the tries are used up.
    ///
    /// # Errors
    /// The body cannot be compressed.
    pub(super) fn post(&self, input: Input) -> io::Result<Posted> {
        let body = self.compress.pack(&input.body)?;
        let mut row = Row {
            sha256: body_name(&input.body),
            bytes: input.body.len() as u64,
            path: input.path,
            line: input.line,
            outcome: Outcome::Unsent,
            status: None,
            receipt: None,
            received_at: None,
            counts: None,
            problem: None,
            events: None,
            attempts: 0,
            bytes_sent: body.len() as u64,
        };
        let mut tries = 0;
        loop {
            row.attempts += 1;
            tries += 1;
            let asked = match self
                .api
                .post(&body, self.compress.encoding(), self.verdicts)
            {
                Ok(answer) => match judge(&answer, &mut row) {
                    Next::Done => return Ok(Posted::Row(Box::new(row))),
                    Next::Barred => return Ok(Posted::Barred(answer.problem().to_string())),
                    Next::Again => answer.retry_after(),
                    Next::Paced => {
                        tries -= 1;
                        answer.retry_after()
                    }
                },
                Err(error) => {
                    row.status = None;
                    row.problem =
                        Some(json!({ "title": "no answer", "detail": error.to_string() }));
                    None
                }
            };
            if tries > self.retries {
                return Ok(Posted::Row(Box::new(row)));
            }
            if !self.sleep(pause(row.attempts, asked)) {
                return Ok(Posted::Stopped);
            }
        }
    }

    /// Sleeps unless the send is stopped; says whether it slept to the end.
    fn sleep(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        while !self.stop.load(Ordering::Relaxed) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
        false
    }
}

enum Next {
    Done,
    Again,
    /// The tenant's rate is spent: the service said for how long, and it is no failure of a try.
    Paced,
    Barred,
}

/// Reads an answer into the row. 200 to 299 and the refusals that say something about the body
/// (Caliper 1.2, section 8: 400, 415, 422; and 413) are final; 401, 403, 404, redirections and the
/// like say something about us.
fn judge(answer: &Answer, row: &mut Row) -> Next {
    row.status = Some(answer.status);
    match answer.status {
        200..=299 => {
            row.outcome = Outcome::Acknowledged;
            row.problem = None;
            read_acknowledgement(answer, row);
            Next::Done
        }
        _ if answer.is_transient() => {
            let problem = answer.problem().document;
            let is_paced = problem["type"] == RATE_EXCEEDED && answer.retry_after().is_some();
            row.problem = Some(problem);
            if is_paced { Next::Paced } else { Next::Again }
        }
        400 | 413 | 415 | 422 => {
            row.outcome = Outcome::Refused;
            row.problem = Some(answer.problem().document);
            Next::Done
        }
        _ => Next::Barred,
    }
}

fn read_acknowledgement(answer: &Answer, row: &mut Row) {
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let number = |name: &str, header: &str| {
        let in_body = body.get(name).and_then(Value::as_u64);
        in_body.or_else(|| answer.header(header)?.parse().ok())
    };
    let counts = (
        number("received", "vernier-received"),
        number("accepted", "vernier-accepted"),
        number("rejected", "vernier-rejected"),
    );
    if let (Some(received), Some(accepted), Some(rejected)) = counts {
        row.counts = Some(Counts {
            received,
            accepted,
            rejected,
        });
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    row.receipt = text("receipt").or_else(|| answer.header("vernier-receipt").map(str::to_owned));
    row.received_at = text("received_at");
    row.events = body.get_mut("events").map(Value::take);
}
