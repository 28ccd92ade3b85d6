//! The API's description (OpenAPI 3.1), as it is served and as tests hold every answer against it.

use std::sync::LazyLock;
use vernier_web::{A_MINUTE, Asset};

/// The document, JSON.
pub const DOCUMENT: &str = include_str!("../openapi.json");

/// The document as the API hands it out.
pub(crate) static SERVED: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("application/json", A_MINUTE, DOCUMENT));
