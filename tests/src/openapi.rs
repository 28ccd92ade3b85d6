//! The API's description, read: its operations and parameters, and whether an answer is as it says.

use crate::world::{Answer, Call};
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use vernier_cli::document::Document;
use vernier_output::openapi::DOCUMENT;

/// Paths of the page and its assets, which are for browsers and no part of the API.
pub const PAGE: &str = "/insights";

/// The gateway's resource of all reports; the document has a path for each.
const ANY_REPORT: &str = "/reports/{report}";

/// The document.
///
/// # Panics
/// When it is no JSON.
#[must_use]
pub fn document() -> &'static Value {
    static READ: OnceLock<Value> = OnceLock::new();
    READ.get_or_init(|| serde_json::from_str(DOCUMENT).expect("openapi.json is JSON"))
}

/// What a reference leads to; else the value itself.
///
/// # Panics
/// When a reference leads nowhere.
#[must_use]
pub fn resolved(value: &'static Value) -> &'static Value {
    let Some(reference) = value["$ref"].as_str() else {
        return value;
    };
    let pointer = reference.trim_start_matches('#');
    let found = document().pointer(pointer);
    resolved(found.unwrap_or_else(|| panic!("openapi.json: {reference} leads nowhere")))
}

/// The elements of a list; none of what is no list.
fn elements(value: &'static Value) -> impl Iterator<Item = &'static Value> {
    value.as_array().into_iter().flatten()
}

/// A path with a method.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Such as `/events/{id}`.
    pub path: &'static str,
    /// In upper case.
    pub method: &'static str,
    /// The operation object.
    pub object: &'static Value,
}

/// A parameter of an operation.
#[derive(Debug, Clone, Copy)]
pub struct Parameter(pub &'static Value);

impl Parameter {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0["name"].as_str().unwrap_or_default()
    }

    /// `query`, `path` or `header`.
    #[must_use]
    pub fn place(&self) -> &'static str {
        self.0["in"].as_str().unwrap_or_default()
    }

    /// Its schema.
    #[must_use]
    pub fn schema(&self) -> &'static Value {
        &self.0["schema"]
    }

    /// Its example, as it is sent.
    #[must_use]
    pub fn example(&self) -> String {
        match &self.0["example"] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        }
    }
}

/// All operations.
///
/// # Panics
/// When a method is none that the API has.
#[must_use]
pub fn operations() -> Vec<Operation> {
    let paths = document()["paths"].as_object().into_iter().flatten();
    let of_path = |(path, methods): (&'static String, &'static Value)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, object)| Operation {
            path,
            method: match method.as_str() {
                "get" => "GET",
                "post" => "POST",
                "put" => "PUT",
                other => panic!("openapi.json: {path}: {other} is no method of the API"),
            },
            object,
        })
    };
    paths.flat_map(of_path).collect()
}

impl Operation {
    /// Its parameters.
    #[must_use]
    pub fn parameters(&self) -> Vec<Parameter> {
        elements(&self.object["parameters"])
            .map(|parameter| Parameter(resolved(parameter)))
            .collect()
    }

    /// One of its scopes is needed; none where no token is.
    #[must_use]
    pub fn needs_token(&self) -> bool {
        elements(&self.object["security"]).next().is_some()
    }

    /// The scopes that its security requirements name, each once.
    #[must_use]
    pub fn scopes(&self) -> Vec<&'static str> {
        let requirements = elements(&self.object["security"]);
        let bearer = requirements.flat_map(|requirement| elements(&requirement["bearer"]));
        bearer.filter_map(Value::as_str).collect()
    }

    /// A call of it with the examples of what it requires, as template.yaml routes it.
    ///
    /// # Panics
    /// When the document lacks an example.
    #[must_use]
    pub fn call(&self) -> Call {
        let mut call = Call {
            method: self.method,
            route: self.path,
            ..Call::default()
        };
        match self.path {
            "/schemas/{type}" => call.route = "/schemas/{type+}",
            path if path.starts_with("/reports/") => {
                call.route = ANY_REPORT;
                call.id = path.rsplit('/').next().map(str::to_owned);
            }
            _ => {}
        }
        for parameter in self.parameters() {
            match (parameter.place(), parameter.0["required"] == true) {
                ("path", _) => call.id = Some(parameter.example()),
                ("query", true) => call = call.query(parameter.name(), &parameter.example()),
                _ => {}
            }
        }
        let body = &self.object["requestBody"]["content"]["application/json"];
        let examples = body["examples"].as_object().into_iter().flatten();
        if let Some((_, example)) = examples.into_iter().next() {
            call.body = example["value"].to_string().into_bytes();
            call = call.header("content-type", "application/json");
        }
        call
    }
}

/// The path of the document that a call goes to.
fn path_of(call: &Call) -> String {
    match (call.route, &call.id) {
        (ANY_REPORT, Some(name)) => format!("/reports/{name}"),
        (route, _) => route.replace("+}", "}"),
    }
}

/// The operation of a call, if there is one.
#[must_use]
pub fn operation_of(call: &Call) -> Option<Operation> {
    let path = path_of(call);
    let mut all = operations().into_iter();
    all.find(|operation| operation.path == path && operation.method == call.method)
}

/// What is wrong with a value by one of the document's schemas.
///
/// # Panics
/// When it is no schema.
#[must_use]
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    static COMPILED: OnceLock<Mutex<HashMap<String, Arc<Validator>>>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(Mutex::default);
    let text = schema.to_string();
    let known = {
        let known = compiled.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&text).map(Arc::clone)
    };
    let validator = known.unwrap_or_else(|| {
        let whole = json!({
            "allOf": [schema],
            "components": { "schemas": document()["components"]["schemas"] },
        });
        let options = jsonschema::options().should_validate_formats(true);
        let built = options.build(&whole);
        let built = Arc::new(built.unwrap_or_else(|e| panic!("openapi.json: {e}: {text}")));
        let mut known = compiled.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(text, Arc::clone(&built));
        built
    });
    let shown = |error: jsonschema::ValidationError<'_>| {
        let text: String = error.to_string().chars().take(400).collect();
        format!("{}: {text}", error.instance_path())
    };
    validator.iter_errors(value).map(shown).collect()
}

/// Holds an answer against the document: its status, headers, content type and body.
///
/// # Panics
/// With everything that is not as the document says.
pub fn check(call: &Call, answer: &Answer) {
    let is_json = answer.header("content-type").contains("json");
    assert!(
        !is_json || !answer.body.is_empty() || call.method == "HEAD",
        "{} {}: an empty body that is called JSON",
        call.method,
        call.route
    );
    if call.route.starts_with(PAGE) {
        return;
    }
    let Some(operation) = operation_of(call) else {
        let refused = [401, 403, 404, 405].contains(&answer.status);
        assert!(refused, "{} {}: {}", call.method, call.route, answer.status);
        return;
    };
    let response = &operation.object["responses"][answer.status.to_string()];
    let mut wrong = Vec::new();
    if response.is_null() {
        wrong.push(format!("has no status {}", answer.status));
    } else {
        let response = resolved(response);
        wrong.extend(wrong_headers(response, answer));
        wrong.extend(wrong_body(response, answer));
    }
    assert!(
        wrong.is_empty(),
        "openapi.json: {} {} {}: {wrong:#?}",
        call.method,
        path_of(call),
        answer.status
    );
}

fn wrong_headers(response: &'static Value, answer: &Answer) -> Vec<String> {
    let mut wrong = Vec::new();
    let documented = response["headers"].as_object().into_iter().flatten();
    let documented: HashMap<String, &Value> = documented
        .map(|(name, header)| (name.to_lowercase(), resolved(header)))
        .collect();
    for (name, header) in &documented {
        let Some(text) = answer.headers.get(name) else {
            if header["required"] == true {
                wrong.push(format!("the header {name} is missing"));
            }
            continue;
        };
        let is_text = header["schema"]["type"] == "string";
        let read = serde_json::from_str(text).ok().filter(|_| !is_text);
        let value = read.unwrap_or_else(|| Value::from(text.as_str()));
        let found = faults(&header["schema"], &value);
        wrong.extend(found.into_iter().map(|fault| format!("{name}: {fault}")));
    }
    let ours = |name: &&String| name.starts_with("vernier-") && !documented.contains_key(*name);
    let unknown = answer.headers.keys().filter(ours);
    wrong.extend(unknown.map(|name| format!("the header {name} is not documented")));
    wrong
}

fn wrong_body(response: &'static Value, answer: &Answer) -> Vec<String> {
    let content = &response["content"];
    if answer.body.is_empty() {
        let may_be = content.is_null() || response["x-may-be-empty"] == true;
        return match may_be {
            true => Vec::new(),
            false => vec!["the body is empty".to_owned()],
        };
    }
    let declared = answer.header("content-type");
    let kind = declared.split(';').next().unwrap_or_default().trim();
    let media = &content[kind];
    if media.is_null() {
        return vec![format!("the content type {declared:?} is not documented")];
    }
    let Ok(text) = std::str::from_utf8(&answer.body) else {
        return vec!["the body is not UTF-8".to_owned()];
    };
    if !kind.ends_with("json") {
        return faults(&media["schema"], &Value::from(text));
    }
    // A rejected event may hold a number for which the schema's checker has no type: it is read as null.
    match Document::read(text.as_bytes().to_vec()) {
        Ok(body) => faults(&media["schema"], &body.value),
        Err(error) => vec![format!("the body is no JSON: {error}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn health(body: &str, kind: &str) -> Answer {
        Answer {
            status: 200,
            headers: BTreeMap::from([("content-type".to_owned(), kind.to_owned())]),
            body: body.as_bytes().to_vec(),
        }
    }

    fn fails(call: &Call, answer: &Answer) -> bool {
        std::panic::catch_unwind(|| check(call, answer)).is_err()
    }

    #[test]
    fn an_answer_that_is_not_as_described_is_found() {
        let call = Call::get("/healthz");
        let good = health(r#"{"status":"ok","version":"1"}"#, "application/json");
        check(&call, &good);
        let bad = [
            health(r#"{"status":"ok"}"#, "application/json"),
            health(
                r#"{"status":"ok","version":"1","more":1}"#,
                "application/json",
            ),
            health("{", "application/json"),
            health("", "application/json"),
            health(r#"{"status":"ok","version":"1"}"#, "text/html"),
            Answer {
                status: 418,
                ..good.clone()
            },
        ];
        for answer in &bad {
            assert!(fails(&call, answer), "{answer:?}");
        }
        let mut headed = good;
        headed
            .headers
            .insert("vernier-secret".to_owned(), "x".to_owned());
        assert!(fails(&call, &headed));
        for page in [r#"{"events":[]}"#, r#"{"events":[1e400]}"#] {
            let page = health(page, "application/json");
            assert!(fails(&Call::get("/events"), &page), "required members");
        }
    }
}
