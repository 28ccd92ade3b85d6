//! docs/limits.md against what the code computes; prices and counts that are written down twice.

use crate::functions::template;
use crate::tree;
use vernier_cost::limits::{self, Quotas};
use vernier_cost::{Load, Measured, Price, Rates};
use vernier_ledger::{limits as ledger, prices};

const PAGE: &str = "docs/limits.md";

fn rates() -> Rates {
    Rates::built_in().expect("the built-in files are sound")
}

#[test]
fn the_limits_page_is_what_the_code_computes() {
    let measured = Measured::built_in().expect("sound");
    let page = limits::page(&measured, &rates(), &Quotas::built_in().expect("sound"));
    let kept = tree::text(PAGE);
    let differs = kept.lines().zip(page.lines()).find(|(a, b)| a != b);
    assert!(
        kept == page,
        "{PAGE} is not what `vernier cost --limits` prints; first at {differs:?}"
    );
}

#[test]
fn estimates_in_the_ledger_have_the_listed_prices() {
    let rates = rates();
    let list = &rates.prices.prices;
    let same = |price: &Price, constant: f64| {
        assert!(
            (price.first() - constant).abs() < 1e-15,
            "{}: {constant}",
            price.unit
        );
    };
    same(&list.dynamodb_write_unit, prices::WRITE_UNIT_USD);
    same(&list.s3_get, prices::S3_GET_USD);
    same(&list.s3_put, prices::S3_PUT_USD);
    same(&list.kms_signature, prices::SIGNATURE_USD);
    same(&list.lambda_gb_second, prices::LAMBDA_GB_SECOND_USD);
    same(&list.kinesis_shard_hour, prices::SHARD_HOUR_USD);
    assert_eq!(rates.prices.as_of, prices::PRICES_AS_OF);
}

#[test]
fn limits_that_are_counted_with_are_the_codes() {
    assert_eq!(limits::LANES_MAX, f64::from(ledger::LANES_MAX));
    assert_eq!(limits::IN_FLIGHT, ledger::CLAIMS_IN_FLIGHT_MAX as f64);
    assert_eq!(limits::IN_FLIGHT, ledger::RESULTS_IN_FLIGHT_MAX as f64);
    let text = rates().assumed.frame_text_bytes.value;
    assert_eq!(text, ledger::FRAME_LINES_BYTES_MAX as f64);
}

/// The cost page's load has the template's own days, so that its dollars are those of a stack as it is deployed.
#[test]
fn days_that_are_priced_are_the_templates() {
    let (template, load) = (template(), Load::default());
    for (parameter, days) in [
        ("SegmentDays", load.segment_days),
        ("NoncurrentDays", load.noncurrent_days),
        ("SweptDays", load.swept_days),
    ] {
        let default = template["Parameters"][parameter]["Default"].as_f64();
        assert_eq!(default, Some(days), "{parameter}");
    }
}

/// Deleted versions go early only where another sealed copy is: never of days, seals, lists or keys.
#[test]
fn only_what_has_another_copy_goes_early() {
    let template = template();
    let rules = &template["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"];
    let rules = rules.as_array().expect("the bucket has lifecycle rules");
    let days = |rule: &serde_json::Value| {
        let days = &rule["NoncurrentVersionExpiration"]["NoncurrentDays"];
        days.as_str().map(str::to_owned)
    };
    let of_parameter = |parameter: &str| -> Vec<Option<String>> {
        let hit = rules
            .iter()
            .filter(|r| days(r).as_deref() == Some(parameter));
        hit.map(|r| r["Prefix"].as_str().map(str::to_owned))
            .collect()
    };
    let early = [
        "segments/",
        "oversize/",
        "archive/",
        "exceptions/",
        "evidence/",
    ];
    let early: Vec<_> = early.map(|prefix| Some(prefix.to_owned())).into();
    assert_eq!(of_parameter("SweptDays"), early);
    assert_eq!(of_parameter("NoncurrentDays"), [None]);
}

/// The fixed part of a month is no less than what the template makes.
#[test]
fn what_is_watched_is_paid_for() {
    let template = template();
    let resources = template["Resources"].as_object().expect("resources");
    let count = |kind: &str| {
        let of_kind = resources.values().filter(|r| r["Type"] == kind);
        of_kind.count() as f64
    };
    let assumed = rates().assumed;
    for (kind, paid) in [
        ("AWS::CloudWatch::Alarm", assumed.alarms.value),
        ("AWS::Logs::MetricFilter", assumed.metrics.value),
        ("AWS::CloudWatch::Dashboard", assumed.dashboards.value),
        ("AWS::KMS::Key", assumed.keys.value),
    ] {
        assert!(count(kind) <= paid, "{kind}: {} of {paid}", count(kind));
    }
    assert!(count("AWS::KMS::Key") > 0.0, "the rule finds nothing");
}
