//! template.yaml, the crates and the trigger events belong together.

use crate::tree::{self, Violation, report};
use aws_lambda_events::apigw::ApiGatewayProxyRequest;
use aws_lambda_events::eventbridge::EventBridgeEvent;
use aws_lambda_events::kinesis::KinesisEvent;
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use vernier_ledger::work::Nudge;
use vernier_tests::bodies::walls::DOORS;
use vernier_web::{ROUTES, Route};

/// A template as JSON. Tags (`!Ref`, `!Sub`) are dropped: the rules ask for plain values only.
fn plain(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::String(text)) => Value::String(text.to_string()),
        Yaml::Value(Scalar::Integer(number)) => Value::from(*number),
        Yaml::Value(Scalar::Boolean(truth)) => Value::Bool(*truth),
        Yaml::Value(Scalar::FloatingPoint(number)) => Value::from(number.0),
        Yaml::Sequence(items) => Value::Array(items.iter().map(plain).collect()),
        Yaml::Mapping(entries) => {
            let key = |k: &Yaml<'_>| k.as_str().map_or_else(|| format!("{k:?}"), str::to_owned);
            Value::Object(
                entries
                    .iter()
                    .map(|(k, v)| (key(k), plain(v)))
                    .collect::<Map<_, _>>(),
            )
        }
        Yaml::Tagged(_, inner) => plain(inner),
        Yaml::Value(Scalar::Null) | Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => {
            Value::Null
        }
    }
}

/// The template.
pub(crate) fn template() -> Value {
    let text = tree::text("template.yaml");
    let documents = Yaml::load_from_str(&text).unwrap_or_else(|e| panic!("template.yaml: {e}"));
    plain(documents.first().expect("template.yaml has a document"))
}

/// What starts a function.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trigger {
    /// A route of the API: method and path.
    Api { method: String, path: String },
    /// The stream.
    Kinesis,
    /// The queue of nudges.
    Queue,
    /// The clock.
    Schedule,
}

/// The template's word for every method that a path does not name.
const ANY: &str = "ANY";

impl Trigger {
    /// Whether what a file holds is a start by this trigger.
    fn starts_on(&self, file: &Self) -> bool {
        match (self, file) {
            (Self::Api { method, path }, Self::Api { path: other, .. }) if method == ANY => {
                path == other
            }
            _ => self == file,
        }
    }
}

/// The paths of the template's triggers for every method, and those for one.
fn paths_of(is_any: bool) -> BTreeSet<String> {
    let triggers = functions().into_iter().flat_map(|f| f.triggers);
    let path = |(_, trigger)| match trigger {
        Trigger::Api { method, path } if (method == ANY) == is_any => Some(path),
        _ => None,
    };
    triggers.filter_map(path).collect()
}

/// `ROUTES` is what methods are answered by, and where a path leads that the gateway did not know.
#[test]
fn the_routes_are_the_templates() {
    let triggers = functions().into_iter().flat_map(|f| f.triggers);
    let mut deployed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, trigger) in triggers {
        if let Trigger::Api { method, path } = trigger
            && method != ANY
        {
            deployed.entry(path).or_default().insert(method);
        }
    }
    let own = |route: &Route| {
        let named = route.methods.allow().split(", ");
        let named = named.filter(|method| !["HEAD", "OPTIONS"].contains(method));
        (route.path.to_owned(), named.map(str::to_owned).collect())
    };
    let coded: BTreeMap<String, BTreeSet<String>> = ROUTES.iter().map(own).collect();
    assert_eq!(deployed, coded);
}

/// HEAD of a route is answered by the function that answers its GET: output by what it catches, the others
/// by a trigger of their own.
#[test]
fn every_method_of_a_path_starts_a_function() {
    let any = paths_of(true);
    for everything in ["/", "/{proxy+}"] {
        assert!(any.contains(everything), "{everything}");
    }
    for function in functions().iter().filter(|f| f.name() != "output") {
        for (name, trigger) in &function.triggers {
            if let Trigger::Api { method, path } = trigger
                && method == "GET"
            {
                assert!(any.contains(path), "{name}: {path} has no trigger for ANY");
            }
        }
    }
}

/// A function of the template.
struct Function {
    /// Its name in the template.
    logical_id: String,
    /// The folder of its crate, from the root.
    code: String,
    /// What starts it, by the trigger's name.
    triggers: Vec<(String, Trigger)>,
}

impl Function {
    /// The last step of its folder.
    fn name(&self) -> &str {
        self.code.rsplit('/').next().unwrap_or(&self.code)
    }
}

fn trigger(name: &str, event: &Value) -> Trigger {
    let property = |p: &str| {
        event["Properties"][p]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    match event["Type"].as_str() {
        Some("Api") => Trigger::Api {
            method: property("Method").to_uppercase(),
            path: property("Path"),
        },
        Some("Kinesis") => Trigger::Kinesis,
        Some("SQS") => Trigger::Queue,
        Some("Schedule" | "ScheduleV2") => Trigger::Schedule,
        other => panic!("template.yaml: event {name}: no rule for the type {other:?}"),
    }
}

fn functions() -> Vec<Function> {
    let template = template();
    let resources = template["Resources"]
        .as_object()
        .expect("template.yaml has resources");
    let is_function = |r: &&Value| r["Type"] == "AWS::Serverless::Function";
    let found: Vec<Function> = resources
        .iter()
        .filter(|(_, r)| is_function(r))
        .map(|(logical_id, resource)| {
            let properties = &resource["Properties"];
            let code = properties["CodeUri"].as_str().unwrap_or_default();
            let events = properties["Events"]
                .as_object()
                .cloned()
                .unwrap_or_default();
            Function {
                logical_id: logical_id.clone(),
                code: code
                    .trim_start_matches("./")
                    .trim_end_matches('/')
                    .to_owned(),
                triggers: events
                    .iter()
                    .map(|(name, event)| (name.clone(), trigger(name, event)))
                    .collect(),
            }
        })
        .collect();
    assert!(!found.is_empty(), "template.yaml: no function found");
    found
}

/// The trigger that an events file is of, if it parses as that trigger's type.
fn read_event(text: &str) -> Result<Trigger, String> {
    let json: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if json.get("httpMethod").is_some() {
        let request: ApiGatewayProxyRequest =
            serde_json::from_value(json).map_err(|e| format!("no API request: {e}"))?;
        let path = request.resource.clone().ok_or("no resource")?;
        return Ok(Trigger::Api {
            method: request.http_method.to_string(),
            path,
        });
    }
    if json["Records"][0]["eventSource"] == "aws:sqs" {
        return read_nudges(&json);
    }
    if json.get("Records").is_some() {
        let event: KinesisEvent =
            serde_json::from_value(json).map_err(|e| format!("no Kinesis event: {e}"))?;
        let is_whole = |r: &aws_lambda_events::kinesis::KinesisEventRecord| {
            r.event_source.as_deref() == Some("aws:kinesis")
                && r.event_id.is_some()
                && r.event_source_arn.is_some()
        };
        return match event.records.iter().all(is_whole) && !event.records.is_empty() {
            true => Ok(Trigger::Kinesis),
            false => Err("records without their source, id or stream".to_owned()),
        };
    }
    let event: EventBridgeEvent =
        serde_json::from_value(json).map_err(|e| format!("no trigger's event: {e}"))?;
    match event.detail_type.as_str() {
        "Scheduled Event" => Ok(Trigger::Schedule),
        other => Err(format!("the schedule sends no {other:?}")),
    }
}

/// Messages whose bodies are nudges, each in the group of its owner and without a twin by its nonce.
fn read_nudges(json: &Value) -> Result<Trigger, String> {
    for record in json["Records"].as_array().into_iter().flatten() {
        let body = record["body"].as_str().ok_or("a message without a body")?;
        let nudge: Nudge = serde_json::from_str(body).map_err(|e| format!("no nudge: {e}"))?;
        let of = &record["attributes"];
        if of["MessageGroupId"] != nudge.owner().as_str()
            || of["MessageDeduplicationId"] != nudge.first.nonce.to_string()
        {
            return Err("a message of another group, or with another id".to_owned());
        }
    }
    Ok(Trigger::Queue)
}

fn event_files(function: &str) -> Vec<(String, String)> {
    let folder = format!("events/{function}/");
    let is_ours =
        |(path, _): &(String, String)| path.starts_with(&folder) && path.ends_with(".json");
    tree::texts().into_iter().filter(is_ours).collect()
}

#[test]
fn every_function_has_its_crate() {
    let mut found = Vec::new();
    let functions = functions();
    for function in &functions {
        let manifest = format!("{}/Cargo.toml", function.code);
        let is_in_place = function.code == format!("functions/{}", function.name());
        if !is_in_place || !tree::root().join(&manifest).is_file() {
            let what = format!(
                "{}: CodeUri {:?} has no crate under functions/",
                function.logical_id, function.code
            );
            found.push(Violation::new("template.yaml", 1, what));
        }
    }
    let deployed: BTreeSet<&str> = functions.iter().map(Function::name).collect();
    for folder in tree::folders("functions")
        .iter()
        .filter(|f| !deployed.contains(f.as_str()))
    {
        found.push(Violation::new(
            format!("functions/{folder}"),
            1,
            "is no function of template.yaml",
        ));
    }
    report(
        "template.yaml and functions/ name the same functions",
        found,
    );
}

#[test]
fn every_trigger_has_an_event() {
    let mut found = Vec::new();
    for function in functions() {
        let files = event_files(function.name());
        let have: Vec<Trigger> = files
            .iter()
            .filter_map(|(_, text)| read_event(text).ok())
            .collect();
        if files.is_empty() {
            found.push(Violation::new(
                format!("events/{}", function.name()),
                1,
                "has no event",
            ));
        }
        let lacks = |trigger: &Trigger| !have.iter().any(|file| trigger.starts_on(file));
        for (name, trigger) in function.triggers.iter().filter(|(_, t)| lacks(t)) {
            let what = format!(
                "{} has no event for {name}, {trigger:?}",
                function.logical_id
            );
            found.push(Violation::new(
                format!("events/{}", function.name()),
                1,
                what,
            ));
        }
    }
    report(
        "every trigger of every function has an event in events/",
        found,
    );
}

/// Invariant 7: who may pass is tested for every route there is.
#[test]
fn every_route_is_tried_with_the_wrong_token() {
    let triggers = functions().into_iter().flat_map(|f| f.triggers);
    let deployed: BTreeSet<(String, String)> = triggers
        .filter_map(|(_, trigger)| match trigger {
            Trigger::Api { method, path } if method != ANY => Some((method, path)),
            Trigger::Api { .. } | Trigger::Kinesis | Trigger::Queue | Trigger::Schedule => None,
        })
        .collect();
    let tried = DOORS
        .iter()
        .map(|door| (door.method.to_owned(), door.route.to_owned()))
        .collect();
    assert_eq!(
        deployed, tried,
        "template.yaml and tests/src/bodies/walls.rs (DOORS) name the same routes"
    );
}

#[test]
fn every_event_is_of_its_function() {
    let mut found = Vec::new();
    let functions = functions();
    for folder in tree::folders("events") {
        let Some(function) = functions.iter().find(|f| f.name() == folder) else {
            found.push(Violation::new(
                format!("events/{folder}"),
                1,
                "is no function of template.yaml",
            ));
            continue;
        };
        for (path, text) in event_files(&folder) {
            match read_event(&text) {
                Err(why) => found.push(Violation::new(path, 1, why)),
                Ok(trigger) if !function.triggers.iter().any(|(_, t)| t.starts_on(&trigger)) => {
                    found.push(Violation::new(
                        path,
                        1,
                        format!("{} is not started by {trigger:?}", function.logical_id),
                    ));
                }
                Ok(_) => {}
            }
        }
    }
    report(
        "every file in events/ is what its function's trigger sends",
        found,
    );
}

#[test]
fn events_of_no_trigger_are_found() {
    for bad in [
        "{",
        "{}",
        r#"{"Records":[]}"#,
        r#"{"Records":[{"s3":{}}]}"#,
        r#"{"Records":[{"eventSource":"aws:sqs","body":"{}"}]}"#,
        r#"{"detail-type":"x","source":"y","detail":{}}"#,
        r#"{"httpMethod":5}"#,
    ] {
        assert!(read_event(bad).is_err(), "{bad}");
    }
}
