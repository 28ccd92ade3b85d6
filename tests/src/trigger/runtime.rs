//! An execution environment of Lambda for a real binary: its process, and the Runtime API that it
//! asks for work (AWS Lambda Developer Guide: Using the Lambda runtime API).

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tiny_http::{Header, Method, Response, Server};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::event::FUNCTION_ARN;

/// The function's memory, MiB.
const MEMORY_MIB: u32 = 256;

/// How a call of the binary failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The function answered with an error.
    #[error("the function failed: {0}")]
    Function(String),
    /// The process ended by itself.
    #[error("the process ended: {0}")]
    Exited(String),
    /// The time was up; the process was killed, as Lambda does.
    #[error("the function ran out of time")]
    TimedOut,
    /// It was killed on purpose, with SIGKILL.
    #[error("killed")]
    Killed,
}

/// What the binary is and what it is told.
#[derive(Debug, Clone)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// The function's name.
    pub name: String,
    /// Its own settings and the AWS environment; nothing else is inherited.
    pub environment: BTreeMap<String, String>,
    /// How long one call may take.
    pub timeout: Duration,
}

impl Program {
    /// What starts it as Lambda does, with `memory_mib` as the function's memory; it asks `api` for
    /// work. Its output is for the caller to direct.
    #[must_use]
    pub fn command(&self, api: &Server, memory_mib: u32) -> std::process::Command {
        let mut command = std::process::Command::new(&self.path);
        command
            .env_clear()
            .envs(&self.environment)
            .env("AWS_LAMBDA_RUNTIME_API", api.server_addr().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", &self.name)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mib.to_string())
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/tests")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "tests")
            .stdin(Stdio::null());
        command
    }
}

/// One call of a function.
#[derive(Debug)]
pub struct Call {
    /// The request's id.
    pub id: String,
    /// The event, JSON.
    pub event: Vec<u8>,
    /// When it is out of time.
    pub deadline: SystemTime,
}

impl Call {
    /// The answer to `/runtime/invocation/next`.
    ///
    /// # Panics
    /// When the id is not plain text.
    #[must_use]
    pub fn into_response(self) -> Response<Cursor<Vec<u8>>> {
        let since = self.deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
        let headers = [
            ("Lambda-Runtime-Aws-Request-Id", self.id.as_str()),
            ("Lambda-Runtime-Deadline-Ms", &since.as_millis().to_string()),
            ("Lambda-Runtime-Invoked-Function-Arn", FUNCTION_ARN),
            ("Content-Type", "application/json"),
        ]
        .map(|(name, value)| Header::from_bytes(name, value).expect("plain text"));
        let mut response = Response::from_data(self.event);
        for header in headers {
            response.add_header(header);
        }
        response
    }
}

/// One execution environment. It starts a process when there is none, and keeps it between calls.
#[derive(Debug)]
pub struct Sandbox {
    program: Program,
    process: Option<Process>,
    started: u64,
}

struct Process {
    child: Child,
    api: Arc<Server>,
    events: blocking::Sender<Call>,
    answers: mpsc::UnboundedReceiver<Result<Value, String>>,
}

impl Sandbox {
    /// One without a process.
    #[must_use]
    pub const fn new(program: Program) -> Self {
        Self {
            program,
            process: None,
            started: 0,
        }
    }

    /// Processes started so far.
    #[must_use]
    pub const fn started(&self) -> u64 {
        self.started
    }

    /// Calls the function; kills the process with SIGKILL after `kill_after`, if it has not
    /// answered by then.
    ///
    /// # Errors
    /// How it failed. The next call finds a new process where this one's ended.
    pub async fn invoke(
        &mut self,
        event: &Value,
        kill_after: Option<Duration>,
    ) -> Result<Value, Failure> {
        let timeout = self.program.timeout;
        let process = match &mut self.process {
            Some(process) => process,
            none => {
                self.started += 1;
                none.insert(Process::start(&self.program))
            }
        };
        let call = Call {
            id: uuid::Uuid::new_v4().to_string(),
            event: event.to_string().into_bytes(),
            deadline: SystemTime::now() + timeout,
        };
        // A closed channel means a process that ended between two calls: seen below.
        let _ = process.events.send(call);
        let answer = tokio::select! {
            biased;
            Some(answer) = process.answers.recv() => answer.map_err(Failure::Function),
            status = process.child.wait() => {
                Err(Failure::Exited(status.map_or_else(|e| e.to_string(), |s| s.to_string())))
            }
            () = wait(kill_after) => Err(Failure::Killed),
            () = tokio::time::sleep(timeout) => Err(Failure::TimedOut),
        };
        if !matches!(answer, Ok(_) | Err(Failure::Function(_))) {
            self.kill().await;
        }
        answer
    }

    /// Ends the process with SIGKILL, if there is one.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.child.kill().await;
        }
    }
}

async fn wait(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

impl Process {
    fn start(program: &Program) -> Self {
        let api = Server::http((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let api = Arc::new(api);
        let (events, next) = blocking::channel();
        let (answered, answers) = mpsc::unbounded_channel();
        let server = Arc::clone(&api);
        std::thread::spawn(move || serve(&server, &next, &answered));
        let mut command = program.command(&api, MEMORY_MIB);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = Command::from(command).kill_on_drop(true).spawn();
        let child = child.unwrap_or_else(|e| panic!("{}: {e}", program.path.display()));
        Self {
            child,
            api,
            events,
            answers,
        }
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process")
            .field("child", &self.child)
            .finish_non_exhaustive()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.api.unblock();
    }
}

/// Answers one process, which asks one thing at a time, until it or its sandbox is gone.
fn serve(
    api: &Server,
    events: &blocking::Receiver<Call>,
    answers: &mpsc::UnboundedSender<Result<Value, String>>,
) {
    while let Ok(mut request) = api.recv() {
        let path = request.url().to_owned();
        if *request.method() == Method::Get && path.ends_with("/runtime/invocation/next") {
            let Ok(call) = events.recv() else { return };
            // A process that is gone by now is seen by whoever waits for it.
            let _ = request.respond(call.into_response());
            continue;
        }
        let mut body = Vec::new();
        let read = std::io::Read::read_to_end(request.as_reader(), &mut body);
        // Half an answer is none: the process was killed while it wrote.
        if read.is_ok() {
            let _ = answers.send(answer_of(&path, &body));
        }
        let _ = request.respond(Response::empty(202));
    }
}

/// `…/{id}/response` is a result; `…/{id}/error` and `init/error` are failures.
fn answer_of(path: &str, body: &[u8]) -> Result<Value, String> {
    if path.ends_with("/response") {
        return Ok(serde_json::from_slice(body).unwrap_or(json!(null)));
    }
    let error: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    Err(error["errorMessage"]
        .as_str()
        .unwrap_or("no message")
        .to_owned())
}
