//! What the three HTTP functions share: reading API Gateway's requests, answering them, and
//! RFC 9457 problem documents; the routes that there are, and what is answered beside them. Their handlers
//! answer the routes.

mod answer;
mod asset;
mod encoding;
mod header;
mod method;
mod negotiation;
mod origins;
mod path_id;
mod problem;
mod request;
mod response;
mod route;

pub use answer::answered;
pub use asset::{A_MINUTE, Asset, FOR_GOOD};
pub use encoding::COMPRESSED_BYTES_MIN;
pub use header::HeaderElement;
pub use negotiation::{accepts_json_alone, prefers, weight_thousandths};
pub use origins::AllowedOrigins;
pub use problem::{ProblemDocument, ProblemType};
pub use request::Request;
pub use response::{csv, empty, json, json_text, problem, refused};
pub use route::{EVENT, Methods, ROUTES, Route};
