//! Every route of the API with the methods that it takes, and which of them a request is for.
//!
//! template.yaml has the same routes (the repository tier holds the two together), and one more for each
//! function, `ANY`: what a browser, a monitor or a mistaken client asks for beside them is answered by a
//! function too, because the gateway's own answer to it is a refusal that says something else.

use crate::request::Request;
use http::Method;

/// The methods that a route takes, HEAD and OPTIONS aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Methods {
    /// The path is read with GET.
    Get,
    /// It is sent something.
    Post,
    /// It is read, and sent something.
    GetAndPost,
    /// It is read, and put in place.
    GetAndPut,
}

impl Methods {
    /// As the header `Allow` lists them.
    #[must_use]
    pub const fn allow(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD, OPTIONS",
            Self::Post => "POST, OPTIONS",
            Self::GetAndPost => "GET, HEAD, POST, OPTIONS",
            Self::GetAndPut => "GET, HEAD, PUT, OPTIONS",
        }
    }

    /// Whether a request with this method is answered; OPTIONS always is.
    #[must_use]
    pub fn takes(self, method: &Method) -> bool {
        self.allow().split(", ").any(|name| name == method.as_str())
    }
}

/// A path of the API and what it takes.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// As the gateway names the resource, such as `/events/{id}`.
    pub path: &'static str,
    /// The methods that it takes.
    pub methods: Methods,
    /// Whether what is in the braces may hold slashes, because it is an IRI.
    pub(crate) holds_iri: bool,
}

const fn route(path: &'static str, methods: Methods) -> Route {
    Route {
        path,
        methods,
        holds_iri: false,
    }
}

const fn of_iri(path: &'static str, methods: Methods) -> Route {
    Route {
        path,
        methods,
        holds_iri: true,
    }
}

/// Where one event is found by its id.
pub const EVENT: &Route = &of_iri("/events/{id}", Methods::Get);

/// All routes; of two that a path could be, the first is meant.
pub const ROUTES: [Route; 23] = [
    route("/caliper", Methods::GetAndPost),
    route("/schemas", Methods::Get),
    of_iri("/schemas/{type+}", Methods::GetAndPut),
    route("/me", Methods::Get),
    route("/receipts/{id}", Methods::Get),
    route("/events", Methods::Get),
    of_iri("/events/{id}/proof", Methods::Get),
    of_iri("/events/{id}", Methods::Get),
    route("/quarantine", Methods::Get),
    route("/deviations", Methods::Get),
    route("/seals", Methods::Get),
    route("/seals/{sequence}", Methods::Get),
    route("/reports/{report}", Methods::Get),
    route("/healthz", Methods::Get),
    route("/insights", Methods::Get),
    route("/insights/{file}", Methods::Get),
    route("/openapi.json", Methods::Get),
    route("/windows", Methods::Get),
    route("/playbacks", Methods::GetAndPost),
    route("/playbacks/{id}", Methods::Get),
    route("/playbacks/{id}/pause", Methods::Post),
    route("/playbacks/{id}/resume", Methods::Post),
    route("/playbacks/{id}/cancel", Methods::Post),
];

impl Route {
    /// What stands before and after the braces; none of a path without any.
    pub(crate) fn around(&self) -> Option<(&'static str, &'static str)> {
        let (before, rest) = self.path.split_once('{')?;
        let (_, after) = rest.split_once('}')?;
        Some((before, after))
    }

    /// The parameter's name, empty of a path without one.
    pub(crate) fn parameter(&self) -> &'static str {
        let inside = self.path.split_once('{').map_or("", |(_, rest)| rest);
        inside.split(['+', '}']).next().unwrap_or_default()
    }

    /// Whether a path without its stage is one of this route's. A slash at the end is passed over.
    fn is_of(&self, path: &str) -> bool {
        let trimmed = path.trim_end_matches('/');
        let Some((before, after)) = self.around() else {
            return trimmed == self.path.trim_end_matches('/');
        };
        let inside = trimmed
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after));
        inside.is_some_and(|id| !id.is_empty() && (self.holds_iri || !id.contains('/')))
    }
}

/// The route that a request is for: by the resource that the gateway found, else by its path.
pub(crate) fn of(request: Request<'_>) -> Option<&'static Route> {
    let resource = request.0.resource.as_deref().unwrap_or_default();
    let named = ROUTES.iter().find(|route| route.path == resource);
    named.or_else(|| {
        let path = request.0.path.as_deref().unwrap_or_default();
        // A domain of one's own may put a step before the path; what the gateway caught is after it.
        let caught = request.0.path_parameters.get("proxy");
        let first = caught.and_then(|caught| caught.split('/').find(|step| !step.is_empty()));
        let own = first.and_then(|first| path.find(&format!("/{first}")));
        let path = &path[own.unwrap_or_default()..];
        ROUTES.iter().find(|route| route.is_of(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lambda_events::apigw::ApiGatewayProxyRequest;

    fn found(resource: &str, path: &str, caught: Option<&str>) -> Option<&'static str> {
        let mut request = ApiGatewayProxyRequest::default();
        request.resource = Some(resource.to_owned());
        request.path = Some(path.to_owned());
        let caught = caught.map(|caught| ("proxy".to_owned(), caught.to_owned()));
        request.path_parameters = caught.into_iter().collect();
        of(Request(&request)).map(|route| route.path)
    }

    #[test]
    fn what_the_gateway_does_not_know_is_found_by_its_path() {
        let any = "/{proxy+}";
        for (path, route) in [
            ("/events", Some("/events")),
            ("/insights/", Some("/insights")),
            ("/events/https://school.example/1", Some("/events/{id}")),
            (
                "/events/https://school.example/1/proof/",
                Some("/events/{id}/proof"),
            ),
            ("/events/urn:x/", Some("/events/{id}")),
            ("/receipts/1", Some("/receipts/{id}")),
            ("/receipts/1/2", None),
            ("/playbacks/1/pause", Some("/playbacks/{id}/pause")),
            ("/playbacks/1/stop", None),
            (
                "/schemas/https://school.example/Badge",
                Some("/schemas/{type+}"),
            ),
            ("/nothing", None),
            ("/eventss", None),
            ("/", None),
        ] {
            let caught = path.trim_start_matches('/');
            assert_eq!(found(any, path, Some(caught)), route, "{path}");
            let based = format!("/base{path}");
            assert_eq!(found(any, &based, Some(caught)), route, "{based}");
        }
        assert_eq!(found("/me", "/v1/me", None), Some("/me"));
    }

    #[test]
    fn methods_are_those_that_allow_lists() {
        for route in &ROUTES {
            assert!(route.methods.takes(&Method::OPTIONS), "{}", route.path);
            assert!(!route.methods.takes(&Method::TRACE), "{}", route.path);
            let reads = route.methods.takes(&Method::GET);
            assert_eq!(route.methods.takes(&Method::HEAD), reads, "{}", route.path);
        }
    }
}
