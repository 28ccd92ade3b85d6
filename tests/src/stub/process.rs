//! A function's real executable, its Runtime API, and what its process takes.

use crate::trigger::runtime::{Call, Program};
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use tiny_http::{Request, Response, Server};

/// Ticks of `/proc/{pid}/stat` in a second: Linux shows programs 100 on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// What CloudWatch adds to the bytes of each log event.
const LOG_EVENT_EXTRA_BYTES: u64 = 26;

/// What was written to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Logged {
    /// Lines: log events.
    pub lines: u64,
    /// Their bytes, with those that CloudWatch adds.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Log {
    lines: AtomicU64,
    bytes: AtomicU64,
}

impl Log {
    /// Counts what comes, until the process ends.
    fn follow(log: &Arc<Self>, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let log = Arc::clone(log);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                log.lines.fetch_add(1, Ordering::Relaxed);
                let bytes = line.len() as u64 + LOG_EVENT_EXTRA_BYTES;
                log.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
        })
    }
}

/// A process that asks for one call after the other.
pub struct Process {
    child: Child,
    api: Server,
    timeout: Duration,
    /// Its request for the next call, not yet answered.
    waiting: Option<Request>,
    started: Instant,
    calls: u64,
    log: Arc<Log>,
    readers: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process")
            .field("child", &self.child)
            .finish_non_exhaustive()
    }
}

impl Process {
    /// Starts it, with `memory_mib` as the function's memory.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(program: &Program, memory_mib: u32) -> Self {
        let api = super::server();
        let mut command = program.command(&api, memory_mib);
        command
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let child = command.spawn();
        let mut child = child.unwrap_or_else(|e| panic!("{}: {e}", program.path.display()));
        let log = Arc::<Log>::default();
        let mut readers = Vec::new();
        readers.extend(child.stdout.take().map(|stream| Log::follow(&log, stream)));
        readers.extend(child.stderr.take().map(|stream| Log::follow(&log, stream)));
        Self {
            child,
            api,
            timeout: program.timeout,
            waiting: None,
            started,
            calls: 0,
            log,
            readers,
        }
    }

    /// Waits until it asks for a call; the time since it was started.
    ///
    /// # Panics
    /// When it does not.
    pub fn ready(&mut self) -> Duration {
        while self.waiting.is_none() {
            let request = self.request();
            assert!(is_next(&request), "{} before any call", request.url());
            self.waiting = Some(request);
        }
        self.started.elapsed()
    }

    /// Calls it; its answer.
    ///
    /// # Panics
    /// When it fails, ends or takes too long: nothing that is measured may.
    pub fn call(&mut self, event: Vec<u8>) -> Vec<u8> {
        self.ready();
        self.calls += 1;
        let waiting = self.waiting.take().expect("it waits");
        let call = Call {
            id: format!("8f507cfc-1e2d-4f7a-9a52-{:012x}", self.calls),
            event,
            deadline: SystemTime::now() + self.timeout,
        };
        let handed = waiting.respond(call.into_response());
        handed.expect("the function listens");
        let mut request = self.request();
        let mut answer = Vec::new();
        let read = request.as_reader().read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        let is_answer = read.is_ok() && request.url().ends_with("/response");
        assert!(is_answer, "{}: {text}", request.url());
        // It waits for this before it asks for the next call.
        let _ = request.respond(Response::empty(202));
        answer
    }

    fn request(&mut self) -> Request {
        let received = self.api.recv_timeout(self.timeout).expect("loopback");
        received.unwrap_or_else(|| {
            panic!(
                "nothing from the function for {:?}; its process: {:?}",
                self.timeout,
                self.child.try_wait()
            )
        })
    }

    /// Processor time that it has taken, in user and in kernel mode, all its threads together.
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn cpu(&self) -> [Duration; 2] {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.expect("the process lives");
        // The second field is the name in parentheses, which may hold anything.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |at: usize| -> f64 { fields[at].parse().expect("a number") };
        [11, 12].map(|at| Duration::from_secs_f64(ticks(at) / TICKS_PER_SECOND))
    }

    /// The most memory that it has held, bytes.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes.unwrap_or(0) * 1_024
    }

    /// Ends it; all that it logged.
    #[must_use]
    pub fn end(mut self) -> Logged {
        // It may have ended by itself.
        let _ = self.child.kill();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        self.logged()
    }

    /// What it has logged, as far as it was read.
    #[must_use]
    pub fn logged(&self) -> Logged {
        Logged {
            lines: self.log.lines.load(Ordering::Relaxed),
            bytes: self.log.bytes.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_next(request: &Request) -> bool {
    request.url().ends_with("/runtime/invocation/next")
}
