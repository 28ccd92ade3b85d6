//! A proxy request of API Gateway, read without surprises.

use crate::problem::{ProblemDocument, ProblemType};
use crate::route::{self, Route};
use crate::{header, path_id};
use aws_lambda_events::apigw::ApiGatewayProxyRequest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use std::borrow::Cow;
use vernier_ledger::access::Caller;
use vernier_ledger::limits::{LIVE_SECONDS_MAX, RANGE_SECONDS_MAX};
use vernier_ledger::time::{Millis, TimeRange};

/// A borrowed view of the request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r>(pub &'r ApiGatewayProxyRequest);

impl<'r> Request<'r> {
    /// A header's value; of several lines one.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'r str> {
        let value = self
            .0
            .headers
            .get(name)
            .or_else(|| self.0.multi_value_headers.get(name));
        value.map(header::text_of)
    }

    /// Who sends it, as far as the request says.
    #[must_use]
    pub fn caller(&self, now: Millis) -> Caller<'r> {
        Caller {
            authorization: self.header("authorization"),
            address: self.0.request_context.identity.source_ip.as_deref(),
            now,
        }
    }

    /// All lines of a header, in their order. The gateway hands them on in one place and
    /// the last alone in the other.
    pub fn header_lines(&self, name: &str) -> impl Iterator<Item = &'r str> + use<'r> {
        let all = self.0.multi_value_headers.get_all(name);
        let is_there = all.iter().next().is_some();
        let single = self.0.headers.get_all(name).iter();
        let single = single.filter(move |_| !is_there);
        all.iter().chain(single).map(header::text_of)
    }

    /// The elements of a header that is a list, of all of its lines. Empty ones are none, so that an
    /// empty header is as good as none.
    pub fn header_elements(&self, name: &str) -> impl Iterator<Item = &'r str> + use<'r> {
        self.header_lines(name).flat_map(header::elements)
    }

    /// The method; GET for HEAD, whose answer is the same without its body.
    #[must_use]
    pub fn method(&self) -> &'r str {
        match &self.0.http_method {
            method if *method == Method::HEAD => "GET",
            method => method.as_str(),
        }
    }

    /// The route that the request is for, if there is one.
    #[must_use]
    pub fn route(self) -> Option<&'static Route> {
        route::of(self)
    }

    /// The route's path as the gateway names it; empty where there is no such route.
    #[must_use]
    pub fn resource(self) -> &'static str {
        self.route().map_or("", |route| route.path)
    }

    /// A query parameter that may be given once.
    ///
    /// # Errors
    /// When it is given more than once.
    pub fn query(&self, name: &str) -> Result<Option<&'r str>, ProblemDocument> {
        let several = self
            .0
            .multi_value_query_string_parameters
            .all(name)
            .unwrap_or_default();
        if several.len() > 1 {
            return Err(ProblemDocument::parameter(name, "given more than once"));
        }
        Ok(several
            .first()
            .copied()
            .or_else(|| self.0.query_string_parameters.first(name)))
    }

    /// The names of all query parameters.
    pub fn query_names(&self) -> impl Iterator<Item = &'r str> {
        let single = self.0.query_string_parameters.iter();
        single
            .chain(self.0.multi_value_query_string_parameters.iter())
            .map(|(name, _)| name)
    }

    /// Refuses parameters that the route does not know: a misspelt filter must not widen a query.
    ///
    /// # Errors
    /// Names the first unknown one and those that there are.
    pub fn only_query(&self, known: &[&str]) -> Result<(), ProblemDocument> {
        match self.query_names().find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(name) => {
                let why = format!("no such parameter; there are {}", known.join(", "));
                Err(ProblemDocument::parameter(name, &why))
            }
        }
    }

    /// The ids that the path may name, the likeliest first: what is to be found is what is found first.
    /// Gateways hand ids on encoded, decoded, with `//` collapsed or caught by another resource; both
    /// the path and its parameter are read.
    #[must_use]
    pub fn ids_in_path(self) -> Vec<Cow<'r, str>> {
        self.route()
            .map_or_else(Vec::new, |route| self.ids_of(route))
    }

    /// The same, if the path were this route's: a gateway that decodes makes `/proof` at the end of an
    /// event's id look like the end of the path.
    #[must_use]
    pub fn ids_of(self, route: &Route) -> Vec<Cow<'r, str>> {
        let of_path = route.around().and_then(|around| self.within(around));
        let of_parameter = self.0.path_parameters.get(route.parameter());
        // An IRI may end in a slash, no other id does.
        let pieces = of_path.into_iter().flat_map(|piece| {
            let trimmed = piece.trim_end_matches('/');
            [if route.holds_iri { piece } else { trimmed }, trimmed]
        });
        let pieces = pieces.chain(of_parameter.map(String::as_str));
        let readings: Vec<_> = pieces.map(path_id::readings).collect();
        let rounds = readings.iter().map(Vec::len).max().unwrap_or_default();
        let mut found = Vec::new();
        for id in (0..rounds).flat_map(|round| readings.iter().filter_map(move |r| r.get(round))) {
            if !id.is_empty() && !found.contains(id) {
                found.push(id.clone());
            }
        }
        found
    }

    /// Whether the gateway knew no resource for the path and caught it with all others.
    #[must_use]
    pub fn is_caught(self) -> bool {
        self.0.resource.as_deref() != Some(self.resource())
    }

    /// The id that the path most likely names; empty where it names none.
    #[must_use]
    pub fn id_in_path(self) -> Cow<'r, str> {
        self.ids_in_path().into_iter().next().unwrap_or_default()
    }

    /// What the path has between two texts.
    fn within(self, (before, after): (&str, &str)) -> Option<&'r str> {
        let (_, rest) = self.0.path.as_deref()?.split_once(before)?;
        match after {
            "" => Some(rest),
            after => rest.trim_end_matches('/').strip_suffix(after),
        }
    }

    /// The body's bytes.
    ///
    /// # Errors
    /// When the gateway's base64 is damaged.
    pub fn body(&self) -> Result<Cow<'r, [u8]>, ProblemDocument> {
        let text = self.0.body.as_deref().unwrap_or_default();
        if !self.0.is_base64_encoded {
            return Ok(Cow::Borrowed(text.as_bytes()));
        }
        let bytes = STANDARD.decode(text).map_err(|e| {
            ProblemDocument::new(
                ProblemType::BodyMalformed,
                format!("the body's base64 is damaged: {e}"),
            )
        })?;
        Ok(Cow::Owned(bytes))
    }
}

/// Range when none is given, seconds.
const DEFAULT_RANGE_SECONDS: i64 = 3_600;

impl Request<'_> {
    /// The parameters `from` and `to`, times of received-at: the last hour when not given.
    ///
    /// # Errors
    /// When they are no times, in the wrong order, too far apart or too long ago (invariant 8).
    pub fn live_range(&self, now: Millis) -> Result<TimeRange, ProblemDocument> {
        let range = self.range(now, DEFAULT_RANGE_SECONDS, RANGE_SECONDS_MAX)?;
        if range.from < now.plus_seconds(-LIVE_SECONDS_MAX) {
            let why = format!(
                "is over {} hours ago; the live store ends there",
                LIVE_SECONDS_MAX / 3_600
            );
            return Err(ProblemDocument::parameter("from", &why));
        }
        Ok(range)
    }

    /// A range of its own, by the names of its parameters: none when neither is given. What has no
    /// beginning or no end goes on for ever.
    ///
    /// # Errors
    /// When they are no times or in the wrong order.
    pub fn range_of(
        &self,
        (from_name, to_name): (&str, &str),
    ) -> Result<Option<(Millis, Millis)>, ProblemDocument> {
        let time = |name| {
            let text = self.query(name)?;
            text.map(|text| parse_time(name, text)).transpose()
        };
        match (time(from_name)?, time(to_name)?) {
            (None, None) => Ok(None),
            (Some(from), None) => Ok(Some((from, Millis(i64::MAX)))),
            (Some(from), Some(to)) if from < to => Ok(Some((from, to))),
            (Some(_), Some(_)) => {
                let why = format!("must be before '{to_name}'");
                Err(ProblemDocument::parameter(from_name, &why))
            }
            (None, Some(to)) => Ok(Some((Millis(i64::MIN), to))),
        }
    }

    /// The parameters `from` and `to`: the last `default_seconds` when not given, at most
    /// `seconds_max`.
    ///
    /// # Errors
    /// When they are no times, in the wrong order or too far apart (invariant 8).
    pub fn range(
        &self,
        now: Millis,
        default_seconds: i64,
        seconds_max: i64,
    ) -> Result<TimeRange, ProblemDocument> {
        let time = |name| {
            self.query(name)?
                .map(|text| parse_time(name, text))
                .transpose()
        };
        let to = time("to")?.unwrap_or(Millis(now.0 + 1));
        let from = time("from")?.unwrap_or(to.plus_seconds(-default_seconds));
        if from >= to {
            return Err(ProblemDocument::parameter("from", "must be before 'to'"));
        }
        if to.0.saturating_sub(from.0) > seconds_max * 1_000 {
            let why = format!(
                "the range is over {} hours; ask for less at a time",
                seconds_max / 3_600
            );
            return Err(ProblemDocument::parameter("from", &why));
        }
        Ok(TimeRange { from, to })
    }
}

/// Reads a time parameter: RFC 3339 with an offset.
fn parse_time(name: &str, text: &str) -> Result<Millis, ProblemDocument> {
    // A '+' that was not percent-encoded arrives as a space; one between date and time is none.
    let text = text.trim();
    let text = match text.split_at_checked("2026-11-21 ".len()) {
        Some((date, time)) => format!("{date}{}", time.replace(' ', "+")),
        None => text.to_owned(),
    };
    Millis::parse_rfc3339(&text).map_err(|_| {
        ProblemDocument::parameter(
            name,
            "expected an RFC 3339 time such as 2026-11-21T08:00:00Z",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(resource: &str, path: &str, parameter: Option<(&str, &str)>) -> Vec<String> {
        let mut request = ApiGatewayProxyRequest::default();
        request.resource = Some(resource.to_owned());
        request.path = Some(path.to_owned());
        let given = parameter.map(|(name, value)| (name.to_owned(), value.to_owned()));
        request.path_parameters = given.into_iter().collect();
        let found = Request(&request).ids_in_path();
        found.into_iter().map(Cow::into_owned).collect()
    }

    /// Some gateways decode the path before they route it, some hand it on as it came, and some
    /// collapse its slashes in the parameter.
    #[test]
    fn an_iri_is_found_in_the_path_encoded_or_not() {
        let iri = "https://school.example/a%20b#1";
        let encoded = "https%3A%2F%2Fschool.example%2Fa%2520b%231";
        let collapsed = "https:/school.example/a%20b#1";
        for (resource, path, parameter) in [
            (
                "/schemas/{type+}",
                format!("/schemas/{encoded}"),
                Some(("type", encoded)),
            ),
            (
                "/schemas/{type+}",
                format!("/base/schemas/{iri}"),
                Some(("type", collapsed)),
            ),
            (
                "/events/{id}",
                format!("/events/{encoded}"),
                Some(("id", encoded)),
            ),
            ("/events/{id}", format!("/events/{iri}"), Some(("id", iri))),
            (
                "/{proxy+}",
                format!("/events/{iri}"),
                Some(("proxy", "events/https:")),
            ),
            ("/{proxy+}", format!("/events/{iri}/"), None),
            ("/{proxy+}", format!("/events/{iri}/proof"), None),
            (
                "/events/{id}/proof",
                format!("/events/{encoded}/proof/"),
                Some(("id", encoded)),
            ),
            (
                "/events/{id}",
                "/elsewhere".to_owned(),
                Some(("id", encoded)),
            ),
        ] {
            let found = ids(resource, &path, parameter);
            // An id may end in a slash: as it is sent goes first.
            let is_first = found[0] == iri || (found[0] == format!("{iri}/") && found[1] == iri);
            assert!(is_first, "{path}: {found:?}");
        }
        assert_eq!(ids("/events", "/events", None), [""; 0]);
    }

    #[test]
    fn every_line_of_a_header_is_read() {
        let mut request = ApiGatewayProxyRequest::default();
        for line in ["a, b", "", "c"] {
            let value = http::HeaderValue::from_static(line);
            request.headers.insert("prefer", value.clone());
            request.multi_value_headers.append("prefer", value);
        }
        let found: Vec<&str> = Request(&request).header_elements("prefer").collect();
        assert_eq!(found, ["a", "b", "c"]);
        request.multi_value_headers.clear();
        let found: Vec<&str> = Request(&request).header_elements("prefer").collect();
        assert_eq!(found, ["c"]);
    }
}
