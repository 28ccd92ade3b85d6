//! Requests of the SDK to the three services, and their answers.

use super::{State, lock, streams, table};
use serde_json::{Value, json};
use std::sync::Mutex;
use tiny_http::{Header, Method, Request, Response, Server};

type Answer = Response<std::io::Cursor<Vec<u8>>>;

/// Answers requests until the server is unblocked.
pub(super) fn serve(server: &Server, state: &Mutex<State>) {
    while let Ok(mut request) = server.recv() {
        let mut body = Vec::new();
        if request.as_reader().read_to_end(&mut body).is_err() {
            continue;
        }
        let answer = answer(state, &request, &body);
        // Whoever asked may be gone.
        let _ = request.respond(answer);
    }
}

fn header<'r>(request: &'r Request, name: &'static str) -> Option<&'r str> {
    let found = request.headers().iter().find(|h| h.field.equiv(name))?;
    Some(found.value.as_str())
}

fn answer(state: &Mutex<State>, request: &Request, body: &[u8]) -> Answer {
    let target = header(request, "x-amz-target").and_then(|target| target.split_once('.'));
    let Some((service, operation)) = target else {
        return object(state, request, body);
    };
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return typed(400, &error("SerializationException", json!({})));
    };
    let mut state = lock(state);
    let State {
        counts,
        table,
        records,
        last_record,
        ..
    } = &mut *state;
    if service.starts_with("Kinesis") {
        let answer = match operation {
            "PutRecords" => streams::put_records(records, last_record, &asked, counts),
            "ListShards" => Some(streams::list_shards(counts)),
            _ => None,
        };
        return match answer {
            Some(answer) => typed(200, &answer),
            None => typed(400, &error("InvalidArgumentException", json!({}))),
        };
    }
    match table.call(operation, &asked, counts) {
        Ok(answer) => typed(200, &answer),
        Err(table::Failure(name, members)) => typed(400, &error(name, members)),
    }
}

fn error(name: &str, mut members: Value) -> Value {
    members["__type"] = json!(format!("com.amazonaws.dynamodb.v20120810#{name}"));
    members
}

fn typed(status: u16, body: &Value) -> Answer {
    let json = Header::from_bytes("Content-Type", "application/x-amz-json-1.0");
    Response::from_string(body.to_string())
        .with_status_code(status)
        .with_header(json.expect("plain text"))
}

/// S3 in path style: `/bucket/key`.
fn object(state: &Mutex<State>, request: &Request, body: &[u8]) -> Answer {
    let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
    let path = decoded(path);
    let key = path.trim_start_matches('/').split_once('/');
    let key = key.map_or("", |(_, key)| key);
    let mut state = lock(state);
    let State {
        counts, objects, ..
    } = &mut *state;
    match request.method() {
        // In chunks with a checksum behind them: the bytes would not be the object's.
        Method::Put if header(request, "x-amz-decoded-content-length").is_some() => {
            s3_error(501, "NotImplemented")
        }
        Method::Put if objects.put_new(key, body, counts) => Response::from_string(""),
        Method::Put => s3_error(412, "PreconditionFailed"),
        Method::Delete => {
            objects.remove(key, counts);
            Response::from_string("").with_status_code(204)
        }
        _ if query.contains("list-type=") => {
            let list = objects.list(
                &parameter(query, "prefix"),
                &parameter(query, "start-after"),
                counts,
            );
            Response::from_string(list)
        }
        _ => match objects.get(key, header(request, "range"), counts) {
            Some(bytes) => Response::from_data(bytes),
            None => s3_error(404, "NoSuchKey"),
        },
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

fn parameter(query: &str, name: &str) -> String {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(n, _)| *n == name)
        .map_or_else(String::new, |(_, value)| decoded(value))
}

fn s3_error(status: u16, code: &str) -> Answer {
    let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    Response::from_string(text).with_status_code(status)
}
