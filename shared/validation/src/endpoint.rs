//! What an endpoint answers to GET: its configuration.
use crate::{
    check::Checker,
    document::endpoint_problem,
    problem::Problem,
    rules::Version,
    scan::{NodeKind, Tape, key_of},
};

/// The contexts that an envelope may name as its `dataVersion`, oldest first, as the specification
/// spells them. Version 1.0 has its context under `v1/Context`; there is no `v1p0`.
pub const SUPPORTED_VERSIONS: [&str; 3] = [
    "http://purl.imsglobal.org/ctx/caliper/v1/Context",
    "http://purl.imsglobal.org/ctx/caliper/v1p1",
    "http://purl.imsglobal.org/ctx/caliper/v1p2",
];

/// The properties, in the specification's spelling and in the one of its example.
const PROPERTIES: [(&str, &str, &str, &[NodeKind]); 3] = [
    (
        "caliperMaximumPayloadSize",
        "caliper_maximum_payload_size",
        "a number of kilobytes",
        &[NodeKind::Number],
    ),
    (
        "caliperSupportedExtensions",
        "caliper_supported_extensions",
        "an object",
        &[NodeKind::Object],
    ),
    (
        "caliperSupportedVersions",
        "caliper_supported_versions",
        "a list of contexts",
        &[NodeKind::Array],
    ),
];

/// Whether an object is a configuration: one of its properties is there.
pub(crate) fn is_configuration(text: &str, tape: &Tape) -> bool {
    let checker = Checker::new(text, tape, Version::V1p2);
    PROPERTIES.iter().any(|(name, old, ..)| {
        checker.free_member(0, name).is_some() || checker.free_member(0, old).is_some()
    })
}

/// The problems of a configuration.
pub(crate) fn check(text: &str, tape: &Tape) -> Vec<Problem> {
    let checker = Checker::new(text, tape, Version::V1p2);
    let mut problems = Vec::new();
    for (name, old, expected, kinds) in PROPERTIES {
        let at = checker
            .free_member(0, name)
            .or_else(|| checker.free_member(0, old));
        let required = name == "caliperSupportedVersions";
        let right = at.map_or(!required, |at| kinds.contains(&tape.nodes[at].kind));
        if !right {
            problems.push(endpoint_problem(text, tape, at, name, expected));
        } else if let (true, Some(list)) = (required, at) {
            let end = tape.nodes[list].next as usize;
            if let Some(wrong) = (list + 1..end).find(|at| tape.nodes[*at].kind != NodeKind::String)
            {
                problems.push(endpoint_problem(
                    text,
                    tape,
                    Some(wrong),
                    name,
                    "a list of contexts",
                ));
            }
        }
    }
    let end = tape.nodes[0].next as usize;
    let mut at = 1;
    while at < end {
        let key = key_of(text, &tape.nodes[at]);
        if !PROPERTIES
            .iter()
            .any(|(name, old, ..)| key == *name || key == *old)
        {
            problems.push(endpoint_problem(
                text,
                tape,
                Some(at),
                &key,
                "left out (no custom properties)",
            ));
        }
        at = tape.nodes[at].next as usize;
    }
    if let Some(at) = tape.duplicate {
        problems.push(endpoint_problem(
            text,
            tape,
            Some(at),
            &key_of(text, &tape.nodes[at]),
            "there once",
        ));
    }
    problems
}
