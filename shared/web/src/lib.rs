//! What the three HTTP functions share: reading API Gateway's requests, answering them, and
//! RFC 9457 problem documents. Their handlers add the routes.

mod problem;
mod request;
mod response;

pub use problem::{ProblemDocument, ProblemType};
pub use request::Request;
pub use response::{asset, csv, empty, json, json_text, problem, refused};
