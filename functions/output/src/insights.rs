//! The page "Insights": files that the build puts beside the function, handed out as they are.
//!
//! It needs no token: it holds no data, and asks this API for it with the reader's token.

use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use aws_lambda_events::encodings::Body;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use vernier_web::{ProblemDocument, ProblemType, Request};

/// The gateway's resource of the page.
const PAGE: &str = "/insights";
/// The gateway's resource of its files.
const FILE: &str = "/insights/{file}";

/// Nothing but the page's own files and this API.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and its files, by name.
#[derive(Debug, Default)]
pub struct Insights {
    page: Option<String>,
    files: BTreeMap<String, String>,
}

impl Insights {
    /// Reads `index.html` and the files in `insights/` of a folder; nothing where there is none.
    ///
    /// # Errors
    /// When something there cannot be read as text.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let page = folder.join("index.html");
        if !page.exists() {
            return Ok(Self::default());
        }
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder.join("insights"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(entry.path())?);
        }
        let page = Some(fs::read_to_string(page)?);
        Ok(Self { page, files })
    }

    /// Answers a request for the page or one of its files; none for any other resource.
    pub(crate) fn answer(
        &self,
        resource: &str,
        request: Request<'_>,
    ) -> Option<Result<ApiGatewayProxyResponse, ProblemDocument>> {
        let (name, text, cached) = match resource {
            PAGE => ("index.html".into(), self.page.as_ref(), "no-cache"),
            FILE => {
                let name = request.path("file").unwrap_or_default();
                let text = self.files.get(&*name);
                // Their names hold their content's hash.
                (name, text, "public, max-age=31536000, immutable")
            }
            _ => return None,
        };
        let Some(text) = text else {
            let why = match &self.page {
                Some(_) => format!("the page has no file {name:?}"),
                None => "this build has no page; 'make build' makes it".to_owned(),
            };
            return Some(Err(ProblemDocument::new(ProblemType::NotFound, why)));
        };
        let headers = [
            ("content-type", media_type(&name)),
            ("cache-control", cached),
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ];
        let headers = headers.map(|(name, value)| (name, value.to_owned()));
        let mut answer = vernier_web::empty(200, &headers);
        answer.body = Some(Body::Text(text.clone()));
        Some(Ok(answer))
    }
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lambda_events::apigw::ApiGatewayProxyRequest;

    fn ask(insights: &Insights, resource: &str, file: &str) -> Option<(u16, String)> {
        let mut request = ApiGatewayProxyRequest::default();
        request.path_parameters.insert("file".into(), file.into());
        Some(match insights.answer(resource, Request(&request))? {
            Ok(answer) => {
                assert_eq!(answer.headers["content-security-policy"], POLICY);
                let kind = answer.headers["content-type"].to_str().expect("ASCII");
                (200, kind.to_owned())
            }
            Err(problem) => (problem.kind.status(), problem.to_json()),
        })
    }

    #[test]
    fn only_the_pages_own_files_are_handed_out() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let none = Insights::read(folder.path()).expect("reads");
        let (status, why) = ask(&none, PAGE, "").expect("its resource");
        assert!(status == 404 && why.contains("make build"), "{why}");
        assert_eq!(ask(&none, "/events", ""), None);

        fs::create_dir(folder.path().join("insights")).expect("made");
        fs::write(folder.path().join("index.html"), "<!doctype html>").expect("written");
        fs::write(folder.path().join("insights/a-1.js"), "1").expect("written");
        fs::write(folder.path().join("secret"), "2").expect("written");
        let some = Insights::read(folder.path()).expect("reads");
        let kind = |name: &str| (200, name.to_owned());
        let (html, js) = ("text/html; charset=utf-8", "text/javascript; charset=utf-8");
        assert_eq!(ask(&some, PAGE, ""), Some(kind(html)));
        assert_eq!(ask(&some, FILE, "a-1.js"), Some(kind(js)));
        for other in [
            "",
            "..",
            "../secret",
            "%2e%2e/secret",
            "index.html",
            "a-1.js/",
        ] {
            assert_eq!(ask(&some, FILE, other).map(|a| a.0), Some(404), "{other}");
        }
    }
}
