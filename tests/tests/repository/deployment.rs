//! What template.yaml keeps safe: throttles of what needs no token, who may read tokens and sign, names of any
//! length, and shards that a deployment leaves alone.

use crate::functions::template;
use crate::tree;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use vernier_tests::openapi::{PAGE, operations};

/// The longest name of a stack that CloudFormation takes.
const STACK_NAME_MAX: usize = 128;

/// The longest name of a function that Lambda takes.
const FUNCTION_NAME_MAX: usize = 64;

/// Characters that a policy inside a role may have, without white space.
const ROLE_POLICY_MAX: usize = 10_240;

fn resource(name: &str) -> Value {
    let found = template()["Resources"][name]["Properties"].clone();
    assert!(found.is_object(), "template.yaml has no {name}");
    found
}

/// A list, or one element that stands for it.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        other => {
            let items = other.as_array().into_iter().flatten();
            items.filter_map(Value::as_str).collect()
        }
    }
}

/// The statements of a role's policies, those in a condition too.
fn statements(role: &str) -> Vec<Value> {
    let role = resource(role);
    let policies = role["Policies"].as_array().into_iter().flatten();
    let all = policies.filter_map(|p| p["PolicyDocument"]["Statement"].as_array());
    let plain = |statement: &Value| match &statement["Fn::If"][1] {
        Value::Null => statement.clone(),
        conditional => conditional.clone(),
    };
    all.flatten().map(plain).collect()
}

/// Paths that need no token have a throttle of their own, and so has what is asked of no path that there is.
#[test]
fn what_needs_no_token_has_its_own_throttle() {
    let open: BTreeSet<&str> = operations()
        .iter()
        .filter(|operation| !operation.needs_token())
        .map(|operation| operation.path)
        .collect();
    let template = template();
    let resources = template["Resources"].as_object().expect("resources");
    let events = resources
        .values()
        .filter_map(|r| r["Properties"]["Events"].as_object())
        .flat_map(|events| events.values());
    let mut public = BTreeSet::new();
    for event in events.filter(|event| event["Type"] == "Api") {
        let property = |name: &str| event["Properties"][name].as_str().unwrap_or_default();
        let (method, path) = (property("Method"), property("Path"));
        let everything = ["/", "/{proxy+}"].contains(&path);
        let is_open = everything || open.contains(path) || path.starts_with(PAGE);
        if is_open {
            let path = path.trim_start_matches('/');
            public.insert((
                method.to_owned(),
                match path {
                    "" => "/".to_owned(),
                    some => format!("/~1{}", some.replace('/', "~1")),
                },
            ));
        }
    }
    assert!(public.len() >= 6, "{public:?}");
    let api = resource("Api");
    let settings = api["MethodSettings"].as_array().expect("settings");
    let throttled = settings
        .iter()
        .filter(|s| s["ThrottlingRateLimit"] == "PublicRequestsPerSecondMax")
        .map(|s| {
            assert_eq!(s["ThrottlingBurstLimit"], "PublicRequestsBurstMax");
            assert_eq!(s["LoggingLevel"], "OFF", "execution logs carry bodies");
            assert_eq!(s["DataTraceEnabled"], false);
            let text = |name: &str| s[name].as_str().unwrap_or_default().to_owned();
            (text("HttpMethod"), text("ResourcePath"))
        })
        .collect();
    assert_eq!(public, throttled);
}

/// The account's limit of requests a second is not used up by what needs no token.
#[test]
fn public_throttles_leave_room() {
    let default = |name: &str| {
        let value = &template()["Parameters"][name]["Default"];
        value.as_u64().expect("a number")
    };
    let public = operations().iter().filter(|o| !o.needs_token()).count() as u64 + 2;
    assert!(public * default("PublicRequestsPerSecondMax") <= 10_000 / 20);
    assert!(default("PublicRequestsPerSecondMax") <= default("RequestsPerSecondMax"));
}

/// Invariant 7: a token is read by its hash, which only the token gives, and tokens are listed by nobody.
#[test]
fn no_function_can_list_tokens() {
    let mut readers = BTreeSet::new();
    for role in ["InputRole", "StreamRole", "OutputRole", "ReconcileRole"] {
        let of_the_table = statements(role).into_iter().filter(|statement| {
            let actions = texts(&statement["Action"]);
            actions.iter().any(|action| action.starts_with("dynamodb:"))
        });
        for statement in of_the_table {
            let condition = &statement["Condition"]["ForAllValues:StringLike"];
            let keys = texts(&condition["dynamodb:LeadingKeys"]);
            assert!(!keys.is_empty(), "{role}: {statement}: which items?");
            let hidden = |key: &&str| {
                let start = key.trim_end_matches('*');
                ["token#", "tenant#"]
                    .iter()
                    .any(|held| held.starts_with(start) || start.starts_with(held))
            };
            if keys.iter().any(hidden) {
                let actions = texts(&statement["Action"]);
                assert_eq!(actions, ["dynamodb:GetItem"], "{role}: {statement}");
                readers.insert(role);
            }
        }
    }
    // Those that answer requests.
    let expected = ["InputRole", "OutputRole", "ReconcileRole"];
    assert_eq!(readers, BTreeSet::from(expected));
}

/// Invariant 6: one role signs seals, and the account's administrators do not by being that.
#[test]
fn reconcile_alone_may_sign() {
    let key = resource("SealKey");
    let statements = key["KeyPolicy"]["Statement"].as_array().expect("a policy");
    let mut signers = Vec::new();
    for statement in statements {
        assert_eq!(statement["Effect"], "Allow");
        for action in texts(&statement["Action"]) {
            let start = action.trim_end_matches('*');
            let gives = |held: &str| held == action || (start != action && held.starts_with(start));
            if gives("kms:Sign") {
                signers.push(statement["Principal"]["AWS"].as_str().expect("a role"));
            }
            assert!(!gives("kms:CreateGrant"), "a grant could give kms:Sign on");
        }
    }
    assert_eq!(signers, ["ReconcileRole.Arn"]);
    // Whoever may no longer administer a key has lost it.
    let account = statements
        .iter()
        .find(|s| s["Sid"] == "TheAccountDecides")
        .expect("the account's statement");
    let allowed = texts(&account["Action"]);
    for needed in [
        "kms:PutKeyPolicy",
        "kms:ScheduleKeyDeletion",
        "kms:CancelKeyDeletion",
        "kms:EnableKey",
        "kms:Describe*",
        "kms:Get*",
    ] {
        assert!(allowed.contains(&needed), "{needed}");
    }
}

/// A function's two names, without its stack's.
fn names_of(function: &str) -> (String, String) {
    let name = resource(function)["FunctionName"]["Fn::If"].clone();
    assert_eq!(name[0], "NamesByStackId", "{function}: {name}");
    let by_id: Vec<String> = name[1][1]
        .as_array()
        .expect("parts")
        .iter()
        .map(|part| part.as_str().map_or_else(|| "0".repeat(36), str::to_owned))
        .collect();
    let by_name = name[2].as_str().expect("text").to_owned();
    (by_id.join("-"), by_name)
}

/// Bounds of AWS on names and texts that hold a stack's name, by property.
const BOUNDS: [(&str, usize); 10] = [
    ("AlarmName", 255),
    ("DashboardName", 255),
    ("DatabaseName", 255),
    ("DisplayName", 100),
    ("FunctionName", FUNCTION_NAME_MAX),
    ("LogGroupName", 512),
    ("MetricNamespace", 255),
    ("Name", 255),
    ("Namespace", 255),
    ("Value", 1_024),
];

/// Every text of a resource that holds the stack's name, with the property that it is of.
fn derived(property: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) if text.contains("AWS::StackName") => {
            let text = text.replace("${AWS::StackName}", "AWS::StackName");
            found.push((property.to_owned(), text));
        }
        Value::Array(items) => items.iter().for_each(|i| derived(property, i, found)),
        Value::Object(members) => {
            for (name, member) in members {
                let name = match name.as_str() {
                    "Fn::If" => property,
                    other => other,
                };
                derived(name, member, found);
            }
        }
        _ => {}
    }
}

/// Short stacks keep their names, so that no deployment makes a function anew; long ones have names that fit.
#[test]
fn every_stack_name_makes_names_that_fit() {
    for function in ["input", "stream", "output", "reconcile"] {
        let (first, rest) = function.split_at(1);
        let logical = format!("{}{rest}Function", first.to_uppercase());
        let (by_id, by_name) = names_of(&logical);
        assert_eq!(by_name, format!("${{AWS::StackName}}-{function}"));
        assert!(by_id.len() <= FUNCTION_NAME_MAX, "{by_id}");
        for length in 1..=STACK_NAME_MAX {
            let name = by_name.replace("${AWS::StackName}", &"s".repeat(length));
            let fits = name.len() <= FUNCTION_NAME_MAX;
            assert!(fits || length > 54, "{name}: {}", name.len());
        }
    }
    let template = template();
    assert_eq!(
        template["Parameters"]["FunctionNames"]["Default"],
        "stack-name"
    );
    let resources = template["Resources"].as_object().expect("resources");
    let mut found = Vec::new();
    for resource in resources.values() {
        derived("", &resource["Properties"], &mut found);
    }
    assert!(found.len() > 40, "the rule found few names");
    for (property, text) in found {
        // Texts of any length, and what is there for short stacks only.
        if [
            "DashboardBody",
            "Resource",
            "PolicyDocument",
            "VERNIER_METRICS",
        ]
        .contains(&property.as_str())
            || ["FunctionName", "DisplayName"].contains(&property.as_str())
            || property == "Function"
        {
            continue;
        }
        let bound = BOUNDS.iter().find(|(name, _)| *name == property);
        let (_, bound) = bound.unwrap_or_else(|| panic!("{property}: {text}: no bound is known"));
        let long = text.replace("AWS::StackName", &"s".repeat(STACK_NAME_MAX));
        assert!(long.len() <= *bound, "{property}: {long}");
    }
    let display = &resource("AuditTopic")["DisplayName"];
    assert_eq!(display[0], "NamesByStackId", "SNS takes 100 characters");
}

/// A role's policies fit where every name in them is as long as it can be.
#[test]
fn policies_fit_with_the_longest_names() {
    for role in ["InputRole", "StreamRole", "OutputRole", "ReconcileRole"] {
        let mut text = Value::from(statements(role)).to_string();
        for (name, length) in [
            ("${Bucket.Arn}", 13 + 63),
            ("Bucket.Arn", 13 + 63),
            ("Table.Arn", 60 + 255),
            ("Stream.Arn", 60 + 128),
            ("AuditTopic", 50 + 256),
            ("WorkQueue.Arn", 40 + 80),
        ] {
            text = text.replace(name, &"s".repeat(length));
        }
        let length = text.chars().filter(|c| !c.is_whitespace()).count();
        assert!(length <= ROLE_POLICY_MAX, "{role}: {length}");
    }
}

/// A deployment of a stack whose name is too long is refused before anything is made.
#[test]
fn a_stack_name_that_is_too_long_is_refused_by_make_deploy() {
    let check = |arguments: &[&str]| {
        let output = Command::new("python3")
            .arg("scripts/stack_name.py")
            .args(arguments)
            .current_dir(tree::root())
            .output()
            .expect("python3 is what every script here runs on");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    for length in 1..=54 {
        if length % 9 == 0 {
            let (good, said) = check(&["--name", &"s".repeat(length)]);
            assert!(good, "{length}: {said}");
        }
    }
    for length in [55, STACK_NAME_MAX] {
        let name = "s".repeat(length);
        let (good, said) = check(&["--name", &name]);
        assert!(!good && said.contains("FunctionNames=stack-id"), "{said}");
        let (good, said) = check(&["--name", &name, "FunctionNames=stack-id"]);
        assert!(good, "{length}: {said}");
    }
    let (good, said) = check(&["--name", &"s".repeat(129), "FunctionNames=stack-id"]);
    assert!(!good && said.contains("128"), "{said}");
    for environment in ["dev", "prod", "local"] {
        let (good, said) = check(&[environment]);
        assert!(good, "{environment}: {said}");
    }
}

/// CloudFormation sets a stream's shards only when the value in its template changes. So that the scaler's
/// stay, nothing but `ShardCount` may change it: not the switch, nor the scaler's bounds.
#[test]
fn a_deployment_leaves_the_scalers_shards_alone() {
    let template = template();
    let stream = &template["Resources"]["Stream"]["Properties"];
    let count = &stream["ShardCount"];
    assert_eq!(count[0], "IsProvisioned", "{count}");
    assert_eq!(
        (&count[1], &count[2]),
        (&"ShardCount".into(), &"AWS::NoValue".into())
    );
    let condition = template["Conditions"]["IsProvisioned"].to_string();
    assert!(!condition.contains("Scale"), "{condition}");
    assert_eq!(template["Parameters"]["ShardCount"]["Default"], 1);
    let runbook = tree::text("docs/runbook.md");
    for told in [
        "## Deploying a new version",
        "`ShardCount`",
        "update-shard-count",
    ] {
        assert!(
            runbook.contains(told),
            "docs/runbook.md does not say {told}"
        );
    }
}
