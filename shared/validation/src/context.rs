//! The item's `@context`: which version it is in, and whether it maps terms of its own.
use crate::{
    check::{Checker, Scope, string},
    problem::Problem,
    report::{found, pointer},
    rules::{Version, keys},
    scan::NodeKind,
};

/// What the `@context` says.
pub(crate) struct Context {
    pub(crate) version: Option<Version>,
    pub(crate) scope: Scope,
    /// Place of the value, when there is one.
    pub(crate) at: Option<usize>,
    /// The rule it breaks and what that wants.
    pub(crate) broken: Option<(&'static str, &'static str)>,
}

const CALIPER: &str =
    "the Caliper context http://purl.imsglobal.org/ctx/caliper/v1p2 or one before";

/// Reads the context of the item; `checker.version` is not used yet.
pub(crate) fn read(checker: &Checker<'_, '_>) -> Context {
    let at = checker
        .member(0, keys::CONTEXT)
        .filter(|at| checker.nodes[*at].kind != NodeKind::Null);
    let mut context = Context {
        version: None,
        scope: Scope { mapped: false },
        at,
        broken: None,
    };
    let Some(at) = at else {
        context.broken = Some(("context.required", CALIPER));
        return context;
    };
    match checker.nodes[at].kind {
        NodeKind::String => {
            context.version = version(checker, at);
            if context.version.is_none() {
                context.version = spelling(checker, at);
                context.broken = Some(("context.caliper", CALIPER));
            }
        }
        NodeKind::Array => list(checker, at, &mut context),
        NodeKind::Object => {
            // The mapping written out: it has to lead to Caliper's vocabulary.
            context.scope.mapped = true;
            if !mentions_caliper(checker, at) {
                context.broken = Some(("context.caliper", CALIPER));
            }
        }
        _ => context.broken = Some(("context.form", "a string or a list")),
    }
    context
}

fn version(checker: &Checker<'_, '_>, at: usize) -> Option<Version> {
    string(checker.text, &checker.nodes[at]).and_then(|iri| Version::of_context(&iri))
}

/// The version that a misspelt context means; the context's rule is broken all the same.
fn spelling(checker: &Checker<'_, '_>, at: usize) -> Option<Version> {
    string(checker.text, &checker.nodes[at]).and_then(|iri| Version::of_spelling(&iri))
}

fn list(checker: &Checker<'_, '_>, at: usize, context: &mut Context) {
    let end = checker.nodes[at].next as usize;
    let mut element = at + 1;
    let mut last_is_caliper = false;
    let (mut last_meant, mut misspelt) = (None, false);
    while element < end {
        let node = &checker.nodes[element];
        let found = version(checker, element);
        last_is_caliper = found.is_some();
        context.version = found.or(context.version);
        last_meant = match found {
            None => spelling(checker, element),
            exact => exact,
        };
        misspelt |= found.is_none() && last_meant.is_some();
        context.scope.mapped |= last_meant.is_none();
        if !matches!(node.kind, NodeKind::String | NodeKind::Object) {
            context.broken = Some(("context.form", "IRIs and objects as elements"));
        }
        element = node.next as usize;
    }
    // Beside a Caliper context in its right place, a misspelt one is as good as any other context.
    context.scope.mapped |= misspelt && last_is_caliper;
    if context.broken.is_none() && !last_is_caliper {
        context.broken = Some(match context.version {
            Some(_) => ("context.last", "the Caliper context as the last element"),
            None => ("context.caliper", CALIPER),
        });
    }
    if !last_is_caliper {
        context.version = last_meant.or(context.version);
    }
}

fn mentions_caliper(checker: &Checker<'_, '_>, at: usize) -> bool {
    let nodes = &checker.nodes[at + 1..checker.nodes[at].next as usize];
    nodes.iter().any(|node| {
        string(checker.text, node).is_some_and(|s| {
            s.starts_with("http://purl.imsglobal.org/caliper")
                || s.starts_with("https://purl.imsglobal.org/caliper")
        })
    })
}

impl Checker<'_, '_> {
    /// Reports what is wrong with the context, and one of another version than the envelope's.
    pub(crate) fn report_context(&mut self, context: &Context, envelope: Option<Version>) {
        if let Some((rule, expected)) = context.broken {
            self.report_at_context(context.at, rule, expected.to_owned());
        } else if let (Some(own), Some(envelope)) = (context.version, envelope)
            && own != envelope
        {
            let expected = format!(
                "the context of {}, as the envelope's dataVersion says",
                envelope.name()
            );
            self.report_at_context(context.at, "context.data-version", expected);
        }
    }

    fn report_at_context(&mut self, at: Option<usize>, rule: &'static str, expected: String) {
        let (place, found) = match at {
            Some(at) => (
                pointer(self.text, self.nodes, at),
                found(self.text, &self.nodes[at]),
            ),
            None => ("/@context".to_owned(), "nothing".to_owned()),
        };
        self.push(Problem {
            pointer: place,
            rule: rule.into(),
            message: format!("@context should be {expected}, is {found}"),
            expected: expected.into(),
            found,
            clause: format!("{}, Serialization, JSON-LD Context", self.version.name()).into(),
        });
    }
}
