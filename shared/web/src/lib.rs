//! What the three HTTP functions share: reading API Gateway's requests, answering them, and
//! RFC 9457 problem documents; the routes that there are, and what is answered beside them. Their handlers
//! answer the routes.

mod header;
mod method;
mod negotiation;
mod origins;
mod path_id;
mod problem;
mod request;
mod response;
mod route;

pub use header::HeaderElement;
pub use method::{answered_at_the_door, without_body_for_head};
pub use negotiation::{accepts_json_alone, prefers, weight_thousandths};
pub use origins::AllowedOrigins;
pub use problem::{ProblemDocument, ProblemType};
pub use request::Request;
pub use response::{asset, csv, empty, json, json_text, problem, refused};
pub use route::{EVENT, Methods, ROUTES, Route};
