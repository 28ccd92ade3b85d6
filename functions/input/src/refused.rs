//! What becomes of an envelope that is not acknowledged: its answer, and how it is counted.

use crate::body::BadBody;
use crate::context::Context;
use crate::rates;
use std::time::Duration;
use vernier_intake::NotAccepted;
use vernier_ledger::access::Identity;
use vernier_ledger::ports::RefusedEnvelopes;
use vernier_ledger::refused::RefusedEnvelope;
use vernier_ledger::stores::IntakeStores;
use vernier_ledger::time::Millis;
use vernier_validation::{Refusal, RefusalKind};
use vernier_web::{ProblemDocument, ProblemType};

/// Longest wait for a count to be written: it holds up the answer, and the answer does not depend on it.
const COUNT_WAIT: Duration = Duration::from_millis(500);

/// An answer other than 200, and why.
pub(crate) struct Refused {
    pub(crate) document: ProblemDocument,
    /// The rules that the envelope broke, each once; none where the sensor is not to blame.
    pub(crate) rules: Vec<String>,
}

impl From<ProblemDocument> for Refused {
    fn from(document: ProblemDocument) -> Self {
        Self {
            document,
            rules: Vec::new(),
        }
    }
}

impl From<BadBody> for ProblemDocument {
    /// Of any route's body; an envelope's own kind is `Refused`'s.
    fn from(bad: BadBody) -> Self {
        let kind = match bad {
            BadBody::ContentType(_) | BadBody::ContentEncoding(_) => {
                ProblemType::MediaTypeUnsupported
            }
            BadBody::TooLarge { .. } | BadBody::ExpandsTooFar => ProblemType::ContentTooLarge,
            BadBody::Damaged { .. } => ProblemType::BodyMalformed,
        };
        Self::new(kind, bad.to_string())
    }
}

impl From<BadBody> for Refused {
    fn from(bad: BadBody) -> Self {
        let rules = vec![bad.rule().to_owned()];
        let mut document = ProblemDocument::from(bad);
        if document.kind == ProblemType::BodyMalformed {
            document.kind = ProblemType::EnvelopeMalformed;
        }
        Self { document, rules }
    }
}

impl From<NotAccepted> for Refused {
    fn from(reason: NotAccepted) -> Self {
        match reason {
            NotAccepted::Port(error) => ProblemDocument::from(error).into(),
            NotAccepted::Refused(refusal) => refusal.into(),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal.kind {
            RefusalKind::UnsupportedVersion => ProblemType::VersionUnsupported,
            RefusalKind::TooManyEvents => ProblemType::ContentTooLarge,
            RefusalKind::Empty
            | RefusalKind::NotUtf8
            | RefusalKind::NotJson
            | RefusalKind::TooDeep
            | RefusalKind::DuplicateKey
            | RefusalKind::NotAnEnvelope => ProblemType::EnvelopeMalformed,
        };
        let found = &refusal.problems;
        let mut rules: Vec<String> = found.iter().map(|p| p.rule.to_string()).collect();
        rules.sort_unstable();
        rules.dedup();
        let problems = found.iter().filter_map(|p| serde_json::to_value(p).ok());
        let document = ProblemDocument {
            problems: problems.collect(),
            ..ProblemDocument::new(kind, refusal.to_string())
        };
        Self { document, rules }
    }
}

/// Logs and counts a refused envelope. A count that cannot be written is lost, and nothing else.
pub(crate) async fn count<S: IntakeStores>(
    context: &Context<S>,
    identity: &Identity,
    rules: &[String],
    now: Millis,
    budget: Duration,
) {
    let (tenant, sensor) = (&identity.tenant.id, identity.token.sensor.as_str());
    if rules != [rates::RULE] {
        let names = rules.join(" ");
        tracing::info!(%tenant, sensor, rules = names, "envelope refused");
    }
    let envelope = RefusedEnvelope {
        tenant,
        sensor,
        rules,
    };
    let due = context.refused.note(envelope, now);
    let write = async {
        for (tenant, count) in &due {
            if let Err(error) = context.stores.table().add_refused(tenant, count).await {
                tracing::warn!(%tenant, %error, "refused envelopes not counted");
            }
        }
    };
    if tokio::time::timeout(COUNT_WAIT.min(budget), write)
        .await
        .is_err()
    {
        tracing::warn!(%tenant, "refused envelopes not counted in time");
    }
}
