//! A stand-in for the API: records every request and answers as a test says.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tiny_http::{Header, Response, Server};

/// The token that the tests use; no output may show it.
pub(crate) const TOKEN: &str = "vrn_0123456789abcdef";

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// The body without its compression.
    pub(crate) fn unpacked(&self) -> Vec<u8> {
        match self.headers.get("content-encoding").map(String::as_str) {
            Some("gzip") => {
                let mut body = Vec::new();
                flate2::read::GzDecoder::new(&self.body[..])
                    .read_to_end(&mut body)
                    .expect("gzip");
                body
            }
            Some("zstd") => zstd::decode_all(&self.body[..]).expect("zstd"),
            _ => self.body.clone(),
        }
    }
}

/// What to answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    /// Before the answer goes out.
    pub(crate) delay: Duration,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            delay: Duration::ZERO,
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// All events of the envelope accepted.
    pub(crate) fn accepted(events: u64) -> Self {
        Self::new(200, "")
            .with("Vernier-Receipt", "019a3c52-7d1e-7c44-9d5c-3f0a5b1c2d3e")
            .with("Vernier-Received", events.to_string())
            .with("Vernier-Accepted", events.to_string())
            .with("Vernier-Rejected", "0")
    }
}

type Answer = dyn Fn(usize, &Seen) -> Reply + Send + Sync;

/// The stand-in, on a free port of loopback.
pub(crate) struct Service {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Service {
    /// Answers the n-th request (from 0) as `answer` says.
    pub(crate) fn start(answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("a port"));
        let url = format!(
            "http://{}/v1",
            server.server_addr().to_ip().expect("an address")
        );
        let (seen, stop) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let answer: Arc<Answer> = Arc::new(answer);
        let threads = (0..8)
            .map(|_| {
                let (server, seen, stop, answer) =
                    (server.clone(), seen.clone(), stop.clone(), answer.clone());
                thread::spawn(move || serve(&server, &seen, &stop, &*answer))
            })
            .collect();
        Self {
            url,
            seen,
            stop,
            threads,
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("whole").clone()
    }

    /// The command with this service and the token in its environment.
    pub(crate) fn vernier(&self, args: &[&str]) -> Command {
        let mut command = vernier(args);
        command
            .env("VERNIER_API", &self.url)
            .env("VERNIER_TOKEN", TOKEN);
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.vernier(args).output().expect("the command starts"))
    }

    /// Starts the command and leaves it to itself.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.vernier(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command starts")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

fn serve(server: &Server, seen: &Mutex<Vec<Seen>>, stop: &AtomicBool, answer: &Answer) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(Some(mut request)) = server.recv_timeout(Duration::from_millis(20)) else {
            continue;
        };
        let mut body = Vec::new();
        if request.as_reader().read_to_end(&mut body).is_err() {
            continue;
        }
        let header = |h: &Header| (h.field.to_string().to_lowercase(), h.value.to_string());
        let this = Seen {
            at: Instant::now(),
            method: request.method().to_string(),
            url: request.url().to_owned(),
            headers: request.headers().iter().map(header).collect(),
            body,
        };
        let number = {
            let mut seen = seen.lock().expect("whole");
            seen.push(this.clone());
            seen.len() - 1
        };
        let reply = answer(number, &this);
        thread::sleep(reply.delay);
        let mut response = Response::from_string(reply.body).with_status_code(reply.status);
        for (name, value) in reply.headers {
            response.add_header(Header::from_bytes(name, value).expect("a header"));
        }
        // A killed client does not read its answer.
        let _gone = request.respond(response);
    }
}

/// The command with an environment of its own.
pub(crate) fn vernier(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vernier"));
    command.args(args).env_clear();
    command
}

/// A run that came to its end.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let ran = Self {
            code: output.status.code().expect("it ended by itself"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(
            !ran.stdout.contains(TOKEN) && !ran.stderr.contains(TOKEN),
            "the token was printed: {ran:?}"
        );
        ran
    }

    /// Standard output as one JSON document.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// The lines of a JSON lines file.
pub(crate) fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).expect("readable");
    text.lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect()
}
