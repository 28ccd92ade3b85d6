//! A proxy request of API Gateway, read without surprises.

use crate::problem::{ProblemDocument, ProblemType};
use aws_lambda_events::apigw::ApiGatewayProxyRequest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use vernier_ledger::access::Caller;
use vernier_ledger::limits::{LIVE_SECONDS_MAX, RANGE_SECONDS_MAX};
use vernier_ledger::time::Millis;

/// A borrowed view of the request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r>(pub &'r ApiGatewayProxyRequest);

impl<'r> Request<'r> {
    /// A header's value, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'r str> {
        let value = self
            .0
            .headers
            .get(name)
            .or_else(|| self.0.multi_value_headers.get(name));
        value.and_then(|v| v.to_str().ok())
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

    /// A path parameter, percent-decoded where the gateway left it encoded.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<Cow<'r, str>> {
        let value = self.0.path_parameters.get(name)?;
        percent_encoding::percent_decode_str(value)
            .decode_utf8()
            .ok()
    }

    /// What follows `prefix` in the path, percent-decoded: for a value that may hold slashes. A
    /// gateway that decodes before it routes would collapse `//` in the path parameter.
    #[must_use]
    pub fn path_after(&self, prefix: &str) -> Option<Cow<'r, str>> {
        let (_, rest) = self.0.path.as_deref()?.split_once(prefix)?;
        percent_encoding::percent_decode_str(rest)
            .decode_utf8()
            .ok()
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
                ProblemType::EnvelopeMalformed,
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
    pub fn live_range(&self, now: Millis) -> Result<(Millis, Millis), ProblemDocument> {
        let (from, to) = self.range(now, DEFAULT_RANGE_SECONDS, RANGE_SECONDS_MAX)?;
        if from < now.plus_seconds(-LIVE_SECONDS_MAX) {
            let why = format!(
                "is over {} hours ago; the live store ends there",
                LIVE_SECONDS_MAX / 3_600
            );
            return Err(ProblemDocument::parameter("from", &why));
        }
        Ok((from, to))
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
    ) -> Result<(Millis, Millis), ProblemDocument> {
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
        Ok((from, to))
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

    /// Some gateways decode the path before they route it, some hand it on as it came.
    #[test]
    fn an_iri_after_a_prefix_is_found_encoded_or_not() {
        for path in [
            "/schemas/https%3A%2F%2Fschool.example%2FBadge%231",
            "/base/schemas/https://school.example/Badge#1",
        ] {
            let mut request = ApiGatewayProxyRequest::default();
            request.path = Some(path.to_owned());
            let found = Request(&request).path_after("/schemas/");
            assert_eq!(found.as_deref(), Some("https://school.example/Badge#1"));
        }
    }
}
