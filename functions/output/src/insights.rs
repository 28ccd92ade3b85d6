//! The page "Insights": files that the build puts beside the function, handed out as they are.
//!
//! It needs no token: it holds no data, and asks this API for it with the reader's token.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use vernier_web::{A_MINUTE, Asset, FOR_GOOD};

/// The gateway's resource of the page.
const PAGE: &str = "/insights";
/// The gateway's resource of its files.
const FILE: &str = "/insights/{file}";

/// Nothing but the page's own files and this API.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What of the page is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The file's name; empty of the page itself.
    pub file: &'a str,
    /// Whether the address ends in a slash, as that of a folder: the page's files lie beside it then.
    pub is_inside: bool,
}

/// The page and its files, by name.
#[derive(Debug, Default)]
pub struct Insights {
    page: Option<Asset>,
    /// The page as it is at an address that ends in a slash.
    page_inside: Option<Asset>,
    files: BTreeMap<String, Asset>,
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
            let asset = file_asset(&name, fs::read_to_string(entry.path())?);
            files.insert(name, asset);
        }
        Ok(Self::of(fs::read_to_string(page)?, files))
    }

    fn of(page: String, files: BTreeMap<String, Asset>) -> Self {
        let inside = page.replace("\"./insights/", "\"./");
        Self {
            page: Some(page_asset(page)),
            page_inside: Some(page_asset(inside)),
            files,
        }
    }

    /// A page and its files, by name.
    #[must_use]
    pub fn new<const N: usize>(page: &str, files: [(&str, &str); N]) -> Self {
        let named = |(name, text): (&str, &str)| {
            let asset = file_asset(name, text.to_owned());
            (name.to_owned(), asset)
        };
        Self::of(page.to_owned(), files.into_iter().map(named).collect())
    }

    /// The page or one of its files, or why it is not there; none for any other resource.
    #[must_use]
    pub fn find(&self, resource: &str, asked: Asked<'_>) -> Option<Result<&Asset, String>> {
        let file = asked.file;
        let asset = match resource {
            PAGE if asked.is_inside => self.page_inside.as_ref(),
            PAGE => self.page.as_ref(),
            FILE => self.files.get(file),
            _ => return None,
        };
        Some(match (asset, &self.page) {
            (Some(asset), _) => Ok(asset),
            (None, Some(_)) => Err(format!("the page has no file {file:?}")),
            (None, None) => Err("this build has no page; 'make build' makes it".to_owned()),
        })
    }
}

/// The page itself, whose name stays when a deployment changes it.
fn page_asset(text: String) -> Asset {
    Asset::new(media_type("index.html"), A_MINUTE, text)
}

/// A file of the page: the build puts its content's hash into its name.
fn file_asset(name: &str, text: String) -> Asset {
    Asset::new(media_type(name), FOR_GOOD, text)
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

    fn ask(insights: &Insights, resource: &str, file: &str) -> Option<Result<String, String>> {
        let is_inside = false;
        let found = insights.find(resource, Asked { file, is_inside })?;
        let name = if resource == PAGE { "index.html" } else { file };
        Some(found.map(|asset| format!("{}: {}", media_type(name), asset.text())))
    }

    #[test]
    fn only_the_pages_own_files_are_handed_out() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let none = Insights::read(folder.path()).expect("reads");
        let why = ask(&none, PAGE, "").expect("its resource");
        assert!(why.is_err_and(|why| why.contains("make build")));
        assert_eq!(ask(&none, "/events", ""), None);

        fs::create_dir(folder.path().join("insights")).expect("made");
        fs::write(folder.path().join("index.html"), "<!doctype html>").expect("written");
        fs::write(folder.path().join("insights/a-1.js"), "1").expect("written");
        fs::write(folder.path().join("secret"), "2").expect("written");
        let some = Insights::read(folder.path()).expect("reads");
        let html = "text/html; charset=utf-8: <!doctype html>".to_owned();
        assert_eq!(ask(&some, PAGE, ""), Some(Ok(html)));
        let js = "text/javascript; charset=utf-8: 1".to_owned();
        assert_eq!(ask(&some, FILE, "a-1.js"), Some(Ok(js)));
        for other in [
            "",
            "..",
            "../secret",
            "index.html",
            "a-1.js/",
            "insights/a-1.js",
        ] {
            assert!(
                ask(&some, FILE, other).is_some_and(|a| a.is_err()),
                "{other}"
            );
        }
    }

    #[test]
    fn the_page_finds_its_files_with_a_slash_at_its_end_too() {
        let page = "<script src=\"./insights/a-1.js\"></script>";
        let insights = Insights::new(page, [("a-1.js", "1")]);
        for (is_inside, source) in [(false, "./insights/a-1.js"), (true, "./a-1.js")] {
            let asked = Asked {
                file: "",
                is_inside,
            };
            let found = insights.find(PAGE, asked).expect("its resource");
            let text = found.expect("the page").text();
            assert_eq!(text, format!("<script src=\"{source}\"></script>"));
        }
    }
}
