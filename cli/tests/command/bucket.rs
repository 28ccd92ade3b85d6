//! `vernier verify s3://…` over HTTP: a stand-in for S3 that fails and cuts answers short.

use super::service::{Ran, vernier};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tiny_http::{Header, Request, Response, Server};
use vernier_archive::files::{Directory, Source as _};

/// What becomes of the n-th request.
type Mood = fn(u64) -> Temper;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Temper {
    Good,
    /// 503 Slow Down.
    Busy,
    /// A byte less than was asked for.
    Short,
}

/// One bucket of this name, its objects listed three to a page.
const BUCKET: &str = "ledger";
const PAGE: usize = 3;

struct Store {
    address: String,
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/archive/tests/golden/v2")
}

/// The golden archive below a prefix, with its key where a bucket has it.
fn objects(prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let source = Directory::new(golden());
    let entries = source.list("").expect("a folder");
    let object = |entry: vernier_archive::files::Entry| {
        let bytes = source.read(&entry.key, 1 << 20).expect("there").to_vec();
        let key = entry.key.replace("key.pem", "keys/some.pem");
        (format!("{prefix}{key}"), bytes)
    };
    entries.into_iter().map(object).collect()
}

impl Store {
    fn begin(objects: BTreeMap<String, Vec<u8>>, mood: Mood) -> Self {
        let server = Server::http("127.0.0.1:0").expect("a port");
        let address = server.server_addr().to_string();
        let (stop, requests) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&requests));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let request = server.recv_timeout(Duration::from_millis(20));
                let Ok(Some(request)) = request else { continue };
                let number = seen.fetch_add(1, Ordering::Relaxed);
                answer(request, &objects, mood(number));
            }
        });
        Self {
            address,
            stop,
            requests,
            thread: Some(thread),
        }
    }

    fn verify(&self, args: &[&str]) -> Ran {
        let args = [&["verify"], args].concat();
        let mut command = vernier(&args);
        command
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.address))
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        Ran::of(command.output().expect("ran"))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (code, after) = after.split_at(2);
            let code = std::str::from_utf8(code).expect("ASCII");
            bytes.push(u8::from_str_radix(code, 16).expect("hexadecimal"));
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn answer(request: Request, objects: &BTreeMap<String, Vec<u8>>, temper: Temper) {
    let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
    let path = unescaped(path);
    let path = path.trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    assert_eq!(bucket, BUCKET, "path-style");
    let query: BTreeMap<String, String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), unescaped(value)))
        .collect();
    let error = |status: u16, code: &str| {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
        Response::from_string(body).with_status_code(status).boxed()
    };
    let response = if temper == Temper::Busy {
        error(503, "SlowDown")
    } else if query.contains_key("list-type") {
        Response::from_string(page(objects, &query)).boxed()
    } else {
        match objects.get(key) {
            None => error(404, "NoSuchKey"),
            Some(bytes) => {
                let header = request.headers().iter().find(|h| h.field.equiv("Range"));
                let range = header.expect("a range").value.as_str();
                let (first, last) = range
                    .strip_prefix("bytes=")
                    .and_then(|range| range.split_once('-'))
                    .expect("one range");
                let first: usize = first.parse().expect("a number");
                let last: usize = last.parse().expect("a number");
                let mut piece = &bytes[first..(last + 1).min(bytes.len())];
                if temper == Temper::Short {
                    piece = &piece[..piece.len() - 1];
                }
                Response::from_data(piece).with_status_code(206).boxed()
            }
        }
    };
    let xml = Header::from_bytes("x-amz-request-id", "1").expect("a header");
    // Whoever asked may have seen enough.
    let _ = request.respond(response.with_header(xml));
}

fn page(objects: &BTreeMap<String, Vec<u8>>, query: &BTreeMap<String, String>) -> String {
    let prefix = &query["prefix"];
    let after = query.get("start-after").map_or("", String::as_str);
    let all = objects.iter();
    let mine = all.filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
    let mut text = format!("<?xml version=\"1.0\"?><ListBucketResult><Name>{BUCKET}</Name>");
    for (key, bytes) in mine.take(PAGE) {
        let size = bytes.len();
        let _ = write!(
            text,
            "<Contents><Key>{key}</Key><LastModified>2026-11-21T08:00:00.000Z</LastModified><Size>{size}</Size></Contents>"
        );
    }
    text + "</ListBucketResult>"
}

fn key() -> String {
    golden().join("key.pem").to_str().expect("text").to_owned()
}

#[test]
fn a_bucket_is_checked_as_its_copy_is() {
    let store = Store::begin(objects("copies/1/"), |_| Temper::Good);
    let archive = format!("s3://{BUCKET}/copies/1");
    let ran = store.verify(&[&archive, "--key", &key()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("3 stored, 1 duplicate"), "{ran:?}");
    assert!(ran.stdout.ends_with("sound\n"), "{ran:?}");
    let own = store.verify(&[&archive, "--own-keys", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&own.stdout).expect("JSON");
    assert_eq!((own.code, &report["rows"]), (0, &6.into()));
    let none = store.verify(&[&format!("s3://{BUCKET}/else"), "--key", &key()]);
    assert_eq!(none.code, 1, "{none:?}");
    let none = store.verify(&[&format!("s3://{BUCKET}/else"), "--own-keys"]);
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.stderr.contains("no keys lie here"), "{none:?}");
}

#[test]
fn answers_that_fail_or_come_short_are_asked_for_again() {
    for mood in [
        (|n| {
            if n % 2 == 0 {
                Temper::Busy
            } else {
                Temper::Good
            }
        }) as Mood,
        |n| {
            if n % 3 == 0 {
                Temper::Short
            } else {
                Temper::Good
            }
        },
    ] {
        let store = Store::begin(objects(""), mood);
        let ran = store.verify(&[&format!("s3://{BUCKET}"), "--key", &key()]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(store.requests.load(Ordering::Relaxed) > 12);
    }
}

#[test]
fn what_is_wrong_in_a_bucket_is_found() {
    let (mut changed, mut missing) = (objects(""), objects(""));
    let archive = format!("s3://{BUCKET}");
    let file = changed.keys().find(|key| key.starts_with("days/archive/"));
    let file = file.expect("one").clone();
    changed.get_mut(&file).expect("there")[100] ^= 1;
    missing.remove(&file);
    for (objects, check) in [(changed, "file_changed"), (missing, "file_missing")] {
        let store = Store::begin(objects, |_| Temper::Good);
        let ran = store.verify(&[&archive, "--key", &key(), "--format", "json"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert_eq!(report["findings"][0]["check"], check, "{report}");
        assert_eq!(report["findings"][0]["file"], file.as_str());
    }
    let nobody = Store::begin(objects(""), |_| Temper::Good);
    let ran = nobody.verify(&["s3:///prefix", "--key", &key()]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("names no bucket"), "{ran:?}");
}

/// A bundle of certificates that is not there ends the command, with words and not with a panic.
#[test]
fn a_bundle_that_cannot_be_read_is_an_ordinary_error() {
    let file = std::env::temp_dir().join(format!("no-such-bundle-{}", std::process::id()));
    let file = file.to_str().expect("a path in UTF-8");
    let key = golden().join("key.pem");
    let key = key.to_str().expect("a path in UTF-8");
    for args in [
        &["verify", "s3://ledger/prefix", "--key", key][..],
        &["tenant", "list", "--table", "ledger"][..],
    ] {
        let mut command = vernier(args);
        command
            .env("AWS_CA_BUNDLE", file)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        let ran = Ran::of(command.output().expect("ran"));
        let named = format!("AWS_CA_BUNDLE: {file}: cannot be read: ");
        assert!(ran.stderr.contains(&named), "{ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
        // 101 is a panic's.
        assert!((1..=3).contains(&ran.code), "{ran:?}");
    }
}
