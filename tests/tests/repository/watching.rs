//! Alarms, dashboard and runbook say the same, and of nothing that is not measured.

use crate::functions::template;
use crate::rust::crate_sources;
use crate::tree::{self, Violation, report};
use serde_json::Value;
use std::collections::BTreeSet;
use vernier_ledger::metrics::Metric;

const PAGE: &str = "docs/runbook.md";

/// What every entry says, in this order.
const PARTS: [&str; 4] = ["**Means.**", "**Look at.**", "**Do.**", "**Over when.**"];

/// What AWS's services measure by themselves, without a price (their User Guides, "metrics"), by the
/// dimensions that are asked for here.
const MEASURED_BY_AWS: [(&str, &[&str], &[&str]); 5] = [
    (
        "AWS/Lambda",
        &["FunctionName"],
        &[
            "AsyncEventsDropped",
            "ConcurrentExecutions",
            "Duration",
            "Errors",
            "IteratorAge",
            "Throttles",
        ],
    ),
    (
        "AWS/ApiGateway",
        &["ApiName", "Stage"],
        &["4XXError", "5XXError", "Count"],
    ),
    (
        "AWS/Kinesis",
        &["StreamName"],
        &["WriteProvisionedThroughputExceeded"],
    ),
    ("AWS/DynamoDB", &["TableName"], &["WriteThrottleEvents"]),
    (
        "AWS/SQS",
        &["QueueName"],
        &[
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesVisible",
            "NumberOfMessagesDeleted",
            "NumberOfMessagesSent",
        ],
    ),
];

/// A metric that is asked for: namespace, name, names of its dimensions.
type Asked = (String, String, Vec<String>);

fn resources(kind: &str) -> Vec<(String, Value)> {
    let template = template();
    let resources = template["Resources"].as_object().expect("resources");
    let of_kind = resources.iter().filter(|(_, r)| r["Type"] == kind);
    let found: Vec<_> = of_kind
        .map(|(name, r)| (name.clone(), r["Properties"].clone()))
        .collect();
    assert!(!found.is_empty(), "template.yaml has no {kind}");
    found
}

fn alarms() -> Vec<(String, Value)> {
    resources("AWS::CloudWatch::Alarm")
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|i| i.as_str().map(str::to_owned))
        .collect()
}

fn asked_by_alarm(alarm: &Value) -> Asked {
    let dimensions = alarm["Dimensions"].as_array().into_iter().flatten();
    let names = dimensions.filter_map(|d| d["Name"].as_str().map(str::to_owned));
    let text = |name: &str| alarm[name].as_str().unwrap_or_default().to_owned();
    (text("Namespace"), text("MetricName"), names.collect())
}

/// The dashboard's widgets. Parameters are left as they stand (`${…}`): they are inside of texts.
fn widgets() -> Vec<Value> {
    let (_, dashboard) = resources("AWS::CloudWatch::Dashboard").remove(0);
    let body = dashboard["DashboardBody"].as_str().expect("a body");
    let body: Value = serde_json::from_str(body).expect("the dashboard's body is JSON");
    body["widgets"].as_array().expect("widgets").clone()
}

/// `["namespace", "name", "dimension", "value", …, {…}]`.
fn asked_by_chart(row: &Value) -> Asked {
    let texts = texts(row);
    let names = texts.iter().skip(2).step_by(2).cloned().collect();
    (texts[0].clone(), texts[1].clone(), names)
}

fn charts() -> Vec<Asked> {
    let rows = widgets().into_iter().flat_map(|w| {
        let rows = w["properties"]["metrics"].as_array().cloned();
        rows.unwrap_or_default()
    });
    let found: Vec<Asked> = rows.map(|row| asked_by_chart(&row)).collect();
    assert!(found.len() > 20, "the rule found few charts: {found:?}");
    found
}

/// Whether nobody measures it.
fn is_made_up((namespace, name, dimensions): &Asked) -> bool {
    if namespace.starts_with("Vernier/") {
        return !dimensions.is_empty() || Metric::ALL.iter().all(|m| m.name() != *name);
    }
    !MEASURED_BY_AWS.iter().any(|(space, keys, names)| {
        space == namespace && keys == dimensions && names.contains(&name.as_str())
    })
}

/// Entries of the runbook: the heading's word, its line, its text.
fn entries(page: &str) -> Vec<(String, usize, String)> {
    let mut found: Vec<(String, usize, String)> = Vec::new();
    for (line, text) in (1..).zip(page.lines()) {
        match text.strip_prefix("## ") {
            Some(title) => found.push((title.to_owned(), line, String::new())),
            None => {
                if let Some((_, _, entry)) = found.last_mut() {
                    entry.push_str(text);
                    entry.push('\n');
                }
            }
        }
    }
    found.retain(|(title, ..)| title.ends_with("Alarm"));
    found
}

/// Parts that an entry lacks, has twice, or has in another order.
fn has_its_parts(entry: &str) -> bool {
    let places: Vec<Option<usize>> = PARTS.iter().map(|part| entry.find(part)).collect();
    places.iter().all(Option::is_some)
        && places.is_sorted()
        && PARTS.iter().all(|part| entry.matches(part).count() == 1)
}

#[test]
fn every_alarm_has_its_entry_in_the_runbook() {
    let page = tree::text(PAGE);
    let entries = entries(&page);
    let titles: Vec<&String> = entries.iter().map(|(title, ..)| title).collect();
    let names: BTreeSet<String> = alarms().into_iter().map(|(name, _)| name).collect();
    assert!(names.len() > 10, "the rule found few alarms: {names:?}");
    let mut found = Vec::new();
    for name in names.iter().filter(|n| !titles.contains(n)) {
        found.push(Violation::new(PAGE, 1, format!("has no entry for {name}")));
    }
    for (at, (title, line, entry)) in entries.iter().enumerate() {
        if !names.contains(title) || titles[..at].contains(&title) {
            found.push(Violation::new(
                PAGE,
                *line,
                format!("{title}: no such alarm, or twice"),
            ));
        }
        if !has_its_parts(entry) {
            found.push(Violation::new(
                PAGE,
                *line,
                format!("{title} does not say {PARTS:?}"),
            ));
        }
    }
    report(
        "every alarm has its entry in the runbook, and every entry its alarm",
        found,
    );
}

#[test]
fn every_alarm_speaks_and_is_on_the_dashboard() {
    let shown: Vec<String> = widgets()
        .iter()
        .flat_map(|w| texts(&w["properties"]["alarms"]))
        .collect();
    for (name, alarm) in alarms() {
        for actions in ["AlarmActions", "OKActions"] {
            assert_eq!(texts(&alarm[actions]), ["AuditTopic"], "{name}: {actions}");
        }
        assert_eq!(alarm["AlarmName"], format!("${{AWS::StackName}}-{name}"));
        assert!(
            shown.contains(&format!("${{{name}.Arn}}")),
            "{name} is not on the dashboard"
        );
    }
    assert_eq!(shown.len(), alarms().len());
}

#[test]
fn nothing_is_watched_that_nobody_measures() {
    let mut found = Vec::new();
    for (name, alarm) in alarms() {
        let asked = asked_by_alarm(&alarm);
        if is_made_up(&asked) {
            found.push(Violation::new(
                "template.yaml",
                1,
                format!("{name}: {asked:?}"),
            ));
        }
    }
    for asked in charts().iter().filter(|a| is_made_up(a)) {
        found.push(Violation::new(
            "template.yaml",
            1,
            format!("the dashboard: {asked:?}"),
        ));
    }
    report(
        "alarms and dashboard ask for what the code or AWS measures",
        found,
    );
}

#[test]
fn everything_that_is_measured_is_shown_and_told() {
    let charts = charts();
    let page = tree::text(PAGE);
    for metric in Metric::ALL {
        let name = metric.name();
        assert!(
            charts.iter().any(|(_, shown, _)| *shown == name),
            "{name} is on no chart"
        );
        let row = page
            .lines()
            .find(|l| l.starts_with("| ") && l.contains(&name));
        let row = row.unwrap_or_else(|| panic!("{PAGE} has no row for {name}"));
        let promise = format!("| {} |", metric.invariant().number());
        assert!(row.ends_with(&promise), "{row}: not {}", metric.invariant());
    }
}

/// All texts of the sources: those of the logging macros and of lines of metrics are among them.
fn said() -> BTreeSet<String> {
    let texts = crate_sources().iter().flat_map(|s| {
        let strings = s.strings();
        strings.into_iter().map(|(text, _)| text)
    });
    texts.collect()
}

/// The template's metric filters read lines that are written, and fields that these have.
#[test]
fn metric_filters_read_lines_that_are_written() {
    let said = said();
    for (name, filter) in resources("AWS::Logs::MetricFilter") {
        let pattern = filter["FilterPattern"].as_str().expect("a pattern");
        let message = pattern
            .strip_prefix("{ $.fields.message = \"")
            .and_then(|rest| rest.strip_suffix("\" }"))
            .unwrap_or_else(|| panic!("{name}: no rule for the pattern {pattern}"));
        assert!(said.contains(message), "{name}: nobody writes {message:?}");
        let transformation = &filter["MetricTransformations"][0];
        let metric = transformation["MetricName"].as_str().unwrap_or_default();
        assert!(Metric::ALL.iter().any(|m| m.name() == metric), "{name}");
        let value = transformation["MetricValue"].as_str().unwrap_or_default();
        let field = value
            .strip_prefix("$.fields.")
            .expect("a field of the line");
        let writers = [
            "functions/input/src/handler.rs",
            "functions/input/src/rates.rs",
            "shared/intake/src/growth.rs",
            "shared/ledger/src/access/attempts.rs",
        ];
        let sources = writers.map(tree::text);
        let calls = sources.iter().flat_map(|s| s.split("tracing::").skip(1));
        let ends = |call: &&str| call.split(';').next().is_some_and(|c| c.contains(message));
        let calls: Vec<&str> = calls.filter(ends).collect();
        assert!(!calls.is_empty(), "{name}: none of them writes {message:?}");
        assert!(
            calls
                .iter()
                .all(|call| call.contains(&format!("{field} = "))),
            "{name}: the line has no {field}"
        );
    }
}

/// Lines of the log that the runbook quotes.
#[test]
fn the_runbook_quotes_lines_that_are_written() {
    let page = tree::text(PAGE);
    let quoted = regex::Regex::new("`([a-z]+(?: [a-z]+)+)`").expect("a pattern");
    let lines: Vec<&str> = quoted
        .captures_iter(&page)
        .filter_map(|c| c.get(1).map(|m| m.as_str()))
        .filter(|text| {
            !["vernier", "aws", "filter"]
                .iter()
                .any(|c| text.starts_with(c))
        })
        .collect();
    assert!(lines.len() > 15, "the rule found few quotations: {lines:?}");
    let said = said();
    let unsaid: Vec<&&str> = lines.iter().filter(|line| !said.contains(**line)).collect();
    assert!(
        unsaid.is_empty(),
        "{PAGE} quotes what no function writes: {unsaid:?}"
    );
}

/// What watching costs is said where it is decided.
#[test]
fn the_monthly_price_is_that_of_what_is_there() {
    let (metrics, alarms) = (Metric::ALL.len(), alarms().len());
    #[allow(clippy::cast_precision_loss)]
    let (of_metrics, of_alarms) = (metrics as f64 * 0.3, alarms as f64 * 0.1);
    let sum = format!("${:.2}", of_metrics + of_alarms + 3.0);
    for path in ["template.yaml", PAGE] {
        let text = tree::text(path).replace("\n  # ", " ").replace('\n', " ");
        for words in [
            format!("{alarms} alarms"),
            format!("{metrics} metrics"),
            format!("${of_metrics:.2}"),
            format!("${of_alarms:.2}"),
            sum.clone(),
        ] {
            assert!(text.contains(&words), "{path} does not say {words}");
        }
    }
}

#[test]
fn what_is_made_up_is_found() {
    let asked = |space: &str, name: &str, keys: &[&str]| -> Asked {
        let keys = keys.iter().map(ToString::to_string).collect();
        (space.to_owned(), name.to_owned(), keys)
    };
    assert!(!is_made_up(&asked("Vernier/x", "WindowsHeld", &[])));
    assert!(is_made_up(&asked("Vernier/x", "WindowsHeld", &["Tenant"])));
    assert!(is_made_up(&asked("Vernier/x", "WindowsHelt", &[])));
    assert!(!is_made_up(&asked(
        "AWS/Lambda",
        "Errors",
        &["FunctionName"]
    )));
    assert!(is_made_up(&asked("AWS/Lambda", "Errors", &[])));
    let page = "# x\n## AAlarm\n**Means.** a\n**Look at.** b\n**Do.** c\n**Over when.** d\n## BAlarm\n**Do.** a\n**Means.** b\n";
    let found = entries(page);
    assert_eq!((found[0].0.as_str(), found[1].1), ("AAlarm", 7));
    assert!(has_its_parts(&found[0].2) && !has_its_parts(&found[1].2));
}
