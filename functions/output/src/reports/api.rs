//! What is asked of a report, and how it is answered: as JSON, or as CSV by the path or by `Accept`.

use super::{Asked, AssignmentsReport, GradesReport, NoAnswer, Reach, Report};
use crate::filter_memory::FilterMemory;
use crate::metered::READS;
use crate::query::{FILTER_BYTES_MAX, foreign};
use crate::scan::scan;
use futures::future::try_join;
use serde::Serialize;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::PAGE_BYTES_MAX;
use vernier_ledger::ports::{Chains, PortError, Results};
use vernier_ledger::stores::Stores;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{WorkLists, completeness};
use vernier_web::{ProblemDocument, Request};

/// The ending of a path that asks for CSV.
const CSV_ENDING: &str = ".csv";

/// An answer's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A JSON document.
    Json(String),
    /// A table, for a file of this name.
    Csv(&'static str, String),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// What a table has no place for: how far it reaches.
    pub headers: Vec<(&'static str, String)>,
    /// Its text.
    pub body: Body,
}

/// A report's request.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'r> {
    /// The request, whose parameters it is.
    pub request: Request<'r>,
    /// The learner whose data alone the token reads.
    pub own_learner: Option<&'r str>,
    /// The time of the request.
    pub now: Millis,
    /// What is read of live blocks event by event before counts take their place, bytes.
    pub live_bytes_max: u64,
    /// Filters that earlier requests read.
    pub filters: &'r FilterMemory,
}

/// The report that a path names, without its ending.
pub(crate) fn name_in(request: Request<'_>) -> String {
    let name = request.id_in_path();
    name.strip_suffix(CSV_ENDING).unwrap_or(&name).to_owned()
}

fn prefers_csv(request: Request<'_>) -> bool {
    let weight = |media_type| vernier_web::weight_thousandths(request, media_type).unwrap_or(0);
    let csv = weight("text/csv");
    csv > 0 && csv >= weight("application/json")
}

impl<'r> Asking<'r> {
    fn wants_csv(&self) -> bool {
        self.request.id_in_path().ends_with(CSV_ENDING) || prefers_csv(self.request)
    }

    /// An id in the parameters, none where it is not given.
    pub(crate) fn id(&self, name: &str) -> Result<Option<&'r str>, ProblemDocument> {
        let value = self.request.query(name)?;
        if value.is_some_and(|v| v.is_empty() || v.len() > FILTER_BYTES_MAX) {
            return Err(ProblemDocument::parameter(name, "expected 1 to 2048 bytes"));
        }
        Ok(value)
    }

    /// The section, if one is given; empty is the one of events that name none.
    pub(crate) fn section_if_any(&self) -> Result<Option<Option<&'r str>>, ProblemDocument> {
        match self.request.query("section")? {
            Some("") => Ok(Some(None)),
            _ => Ok(self.id("section")?.map(Some)),
        }
    }

    pub(crate) fn section(&self) -> Result<Option<&'r str>, ProblemDocument> {
        self.section_if_any()?.ok_or_else(|| {
            let why = "missing: an id, or empty for what events without a section say";
            ProblemDocument::parameter("section", why)
        })
    }

    /// The learner, if one is given; always the own one of a token that reads no other's data.
    pub(crate) fn learner_if_any(&self) -> Result<Option<&'r str>, ProblemDocument> {
        match (self.id("learner")?, self.own_learner) {
            (Some(asked), Some(own)) if asked != own => Err(foreign("learner")),
            (asked, own) => Ok(own.or(asked)),
        }
    }

    pub(crate) fn learner(&self) -> Result<&'r str, ProblemDocument> {
        let missing = || ProblemDocument::parameter("learner", "missing: an id");
        self.learner_if_any()?.ok_or_else(missing)
    }

    /// The answer, as it was asked for.
    pub(crate) fn render(
        &self,
        file: &'static str,
        report: &impl Report,
        reach: Reach,
    ) -> Result<Rendered, ProblemDocument> {
        if self.wants_csv() {
            let text = report.sheet().finish();
            let headers = headers(reach, report.more());
            return within(Body::Csv(file, text)).map(|body| Rendered { headers, body });
        }
        #[derive(Serialize)]
        struct Whole<'a, R> {
            #[serde(flatten)]
            report: &'a R,
            complete_through: Option<String>,
            live_through: Option<String>,
            provisional: bool,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            resends_counted: bool,
        }
        let whole = Whole {
            report,
            complete_through: reach.complete_through.map(Millis::rfc3339),
            live_through: reach.live_through.map(Millis::rfc3339),
            provisional: reach.provisional,
            resends_counted: reach.is_as_received,
        };
        let text = serde_json::to_string(&whole)
            .map_err(|error| PortError::Fatal(format!("a report did not serialise: {error}")))?;
        let headers = Vec::new();
        within(Body::Json(text)).map(|body| Rendered { headers, body })
    }
}

/// Refuses what is larger than an answer may be (invariant 8).
fn within(body: Body) -> Result<Body, ProblemDocument> {
    let bytes = match &body {
        Body::Json(text) | Body::Csv(_, text) => text.len(),
    };
    if bytes > PAGE_BYTES_MAX {
        let why = format!(
            "the report has {bytes} bytes, an answer {PAGE_BYTES_MAX} at most; ask for less"
        );
        return Err(ProblemDocument::parameter("report", &why));
    }
    Ok(body)
}

fn headers(reach: Reach, more: bool) -> Vec<(&'static str, String)> {
    let time = |name, at: Option<Millis>| at.map(|at| (name, at.rfc3339()));
    let times = [
        time("vernier-complete-through", reach.complete_through),
        time("vernier-live-through", reach.live_through),
    ];
    let said = [
        ("vernier-provisional", reach.provisional.to_string()),
        ("vernier-more", more.to_string()),
    ];
    let resends = reach
        .is_as_received
        .then(|| ("vernier-resends-counted", true.to_string()));
    times
        .into_iter()
        .flatten()
        .chain(said)
        .chain(resends)
        .collect()
}

impl From<NoAnswer> for ProblemDocument {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::TooMuch { .. } => Self::parameter("from", &none.to_string()),
        }
    }
}

/// Answers what is asked of a tenant's results or events; none when there is no such report.
///
/// # Errors
/// What is wrong with the parameters, that there is too much to read, and the stores'.
pub async fn answer<S: Stores>(
    name: &str,
    stores: &S,
    tenant: &TenantId,
    asking: Asking<'_>,
) -> Result<Option<Rendered>, ProblemDocument> {
    let Some(mut asked) = Asked::read(name, asking)? else {
        return of_results(name, stores.table(), tenant, asking).await;
    };
    let (query, columns) = (asked.query(), asked.columns());
    let scanned = scan(stores, tenant, &query, columns, asking, &mut asked);
    let (reach, reads) = scanned.await?;
    let mut rendered = asked.finish(reach)?;
    rendered.headers.push((READS, reads.to_string()));
    Ok(Some(rendered))
}

/// Answers what is asked of a tenant's results; none when the report is not one over results.
async fn of_results<T: Results + Chains + WorkLists>(
    name: &str,
    table: &T,
    tenant: &TenantId,
    asking: Asking<'_>,
) -> Result<Option<Rendered>, ProblemDocument> {
    let rendered = match name {
        "assignments" => {
            let known = ["section", "learner", "assignment"];
            asking.request.only_query(&known)?;
            let (section, learner) = (asking.section()?, asking.learner()?);
            let only = asking.id("assignment")?;
            let results = table.of_learner(tenant, section, learner);
            let (mut list, reach) = try_join(results, reach(table, tenant, asking.now)).await?;
            if section.is_some() {
                // Canvas names the course where it grades, and not where it tells of a submission.
                let unplaced = table.of_learner(tenant, None, learner).await;
                list.join_unplaced(&unplaced?);
            }
            let mut report = AssignmentsReport::of(section, learner, &list);
            let wanted = |assignment: Option<&str>| only.is_none() || assignment == only;
            report
                .assignments
                .retain(|view| wanted(view.assignment.as_deref()));
            asking.render("assignments.csv", &report, reach)?
        }
        "grades" => {
            asking.request.only_query(&["section", "after"])?;
            let (section, after) = (asking.section()?, asking.id("after")?);
            let results = table.of_section(tenant, section);
            let (list, reach) = try_join(results, reach(table, tenant, asking.now)).await?;
            let report = GradesReport::of(section, after, &list);
            asking.render("grades.csv", &report, reach)?
        }
        _ => return Ok(None),
    };
    Ok(Some(rendered))
}

/// Results are live: merged before a batch is committed, and put right by playbacks.
async fn reach<T: Chains + WorkLists>(
    table: &T,
    tenant: &TenantId,
    now: Millis,
) -> Result<Reach, PortError> {
    Ok(Reach {
        complete_through: completeness(table, tenant, now).await?.through,
        live_through: None,
        provisional: true,
        is_as_received: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lambda_events::apigw::ApiGatewayProxyRequest;

    fn asked(accept: &[&str]) -> ApiGatewayProxyRequest {
        let mut request = ApiGatewayProxyRequest::default();
        for line in accept {
            let value = line.parse().expect("a header's value");
            request.multi_value_headers.append("accept", value);
        }
        request
    }

    #[test]
    fn csv_is_for_those_who_ask_for_it() {
        for accept in [
            &["text/csv"][..],
            &["Text/CSV; charset=utf-8"],
            &["application/json;q=0.5, text/csv"],
            &["application/json ; Q=0.5", "text/csv;q=\"0.9\""],
            &["text/csv, */*;q=0.1"],
        ] {
            assert!(prefers_csv(Request(&asked(accept))), "{accept:?}");
        }
        for accept in [
            &[""][..],
            &["*/*"],
            &["text/*"],
            &["application/json, text/csv;q=0.9"],
            &["application/json", "text/csv;q=0.9"],
            &["text/csv;q=0"],
            &["text/csv;q=x"],
            &["text/csvx"],
            &["application/json;profile=\", text/csv,\""],
        ] {
            assert!(!prefers_csv(Request(&asked(accept))), "{accept:?}");
        }
    }
}
