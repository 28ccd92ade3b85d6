//! The AWS endpoints that the functions call, in this process: they answer at once, keep what they
//! are given, and count requests, bytes and the units that AWS bills.
//!
//! What is measured against them is the function alone: its own code, the SDK, HTTP. Units are
//! counted as AWS's price pages say: a write unit for each KB of the item before or after a write,
//! whichever is larger, twice that in a transaction, also where the condition failed; a read unit
//! for each 4 KB of a consistent read; 25 KB of a record are one PUT unit of Kinesis.

mod config;
mod expression;
mod http;
mod item;
pub mod load;
mod objects;
pub mod process;
mod streams;
mod table;

use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tiny_http::Server;

pub use config::config_of;
pub use streams::StoredRecord;
pub use table::Table;

/// Requests answered at once: what one function has under way and its connections that idle.
const WORKERS: usize = 48;

/// A kind of call: the service's operation and, for the table, what the key begins with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Such as `UpdateItem`.
    pub operation: String,
    /// Such as `receipts` or `segments/`; empty where there is one kind only.
    pub of: String,
}

/// What was asked for, in requests, bytes and billed units.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counts {
    /// Requests.
    pub calls: BTreeMap<Kind, u64>,
    /// PUT units of Kinesis, 25 KB of a record each.
    pub put_units: u64,
    /// Records put.
    pub records: u64,
    /// Their data and partition keys, bytes.
    pub record_bytes: u64,
    /// Write units of the table, by what the keys begin with.
    pub write_units: BTreeMap<String, u64>,
    /// Those of them that were paid for conditions that did not hold.
    pub failed_write_units: u64,
    /// Read units of the table, all of consistent reads, by what the keys begin with.
    pub read_units: BTreeMap<String, u64>,
    /// Objects put and lists asked for, which are billed alike.
    pub puts: u64,
    /// Objects asked for.
    pub gets: u64,
    /// Bytes of the objects put, by their keys' first step.
    pub object_bytes: BTreeMap<String, u64>,
}

impl Counts {
    /// Requests of an operation on keys that begin so.
    #[must_use]
    pub fn calls(&self, operation: &str, of: &str) -> u64 {
        let is_meant = |kind: &Kind| kind.operation == operation && kind.of.starts_with(of);
        self.calls
            .iter()
            .filter(|(kind, _)| is_meant(kind))
            .map(|(_, n)| n)
            .sum()
    }

    /// Adds what another run asked for.
    pub fn add(&mut self, other: &Self) {
        for (kind, n) in &other.calls {
            *self.calls.entry(kind.clone()).or_default() += n;
        }
        self.put_units += other.put_units;
        self.records += other.records;
        self.record_bytes += other.record_bytes;
        for (sums, more) in [
            (&mut self.write_units, &other.write_units),
            (&mut self.read_units, &other.read_units),
            (&mut self.object_bytes, &other.object_bytes),
        ] {
            for (of, n) in more {
                Self::pay(sums, of, *n);
            }
        }
        self.failed_write_units += other.failed_write_units;
        self.puts += other.puts;
        self.gets += other.gets;
    }

    /// Adds units or bytes to what keys that begin so took.
    fn pay(units: &mut BTreeMap<String, u64>, of: &str, n: u64) {
        match units.get_mut(of) {
            Some(sum) => *sum += n,
            None => drop(units.insert(of.to_owned(), n)),
        }
    }

    /// Adds one more request.
    fn count(&mut self, operation: &str, of: &str) {
        let kind = Kind {
            operation: operation.to_owned(),
            of: of.to_owned(),
        };
        *self.calls.entry(kind).or_default() += 1;
    }
}

/// What the endpoints hold.
#[derive(Debug, Default)]
struct State {
    counts: Counts,
    table: Table,
    records: Vec<StoredRecord>,
    last_record: usize,
    objects: objects::Objects,
}

/// The endpoints; they end when this is dropped.
pub struct Stub {
    server: Arc<Server>,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Stub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stub")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server on a free port of loopback whose answers leave at once: else their second part would wait
/// for the first one's acknowledgement, which the other side holds back for 40 ms.
fn server() -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    // What it accepts takes this over.
    let set = socket2::SockRef::from(&listener).set_tcp_nodelay(true);
    set.expect("a socket of TCP");
    Server::from_listener(listener, None).expect("it listens")
}

impl Stub {
    /// Starts them on a free port of loopback, with a table that holds these items.
    ///
    /// # Panics
    /// When loopback has no free port, or an item has no key.
    pub fn start(items: impl IntoIterator<Item = Value>) -> Self {
        let server = Arc::new(server());
        let state = Arc::<Mutex<State>>::default();
        for item in items {
            lock(&state).table.keep(item);
        }
        for _ in 0..WORKERS {
            let (server, state) = (Arc::clone(&server), Arc::clone(&state));
            std::thread::spawn(move || http::serve(&server, &state));
        }
        Self { server, state }
    }

    /// What to use as `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.server_addr())
    }

    /// What was asked for since this was last called.
    #[must_use]
    pub fn take_counts(&self) -> Counts {
        std::mem::take(&mut lock(&self.state).counts)
    }

    /// The records that were put since this was last called, in their order.
    #[must_use]
    pub fn take_records(&self) -> Vec<StoredRecord> {
        std::mem::take(&mut lock(&self.state).records)
    }

    /// Every item that the table holds, in DynamoDB's JSON and in the order of the keys.
    #[must_use]
    pub fn items(&self) -> Vec<Value> {
        lock(&self.state).table.all_items()
    }

    /// What the items take that the table holds, as it is billed, by what their keys begin with.
    #[must_use]
    pub fn stored_bytes(&self) -> BTreeMap<String, u64> {
        lock(&self.state).table.stored_bytes()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        for _ in 0..WORKERS {
            self.server.unblock();
        }
    }
}
