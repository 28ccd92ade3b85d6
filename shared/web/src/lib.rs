//! What the three HTTP functions share: reading API Gateway's requests, answering them, and
//! RFC 9457 problem documents. Their handlers add the routes.

mod asset;
mod encoding;
mod problem;
mod request;
mod response;

pub use asset::{A_MINUTE, Asset, FOR_GOOD};
pub use encoding::{COMPRESSED_BYTES_MIN, finished};
pub use problem::{ProblemDocument, ProblemType};
pub use request::Request;
pub use response::{csv, empty, json, json_text, problem, refused};
