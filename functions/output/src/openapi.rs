//! The API's description (OpenAPI 3.1), as it is served and as tests hold every answer against it.

/// The document, JSON.
pub const DOCUMENT: &str = include_str!("../openapi.json");
