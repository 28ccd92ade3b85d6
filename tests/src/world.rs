//! What a test body needs of the system under test.

use crate::openapi;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use vernier_ledger::access::{NewToken, Scope, Tenant, TokenInfo};
use vernier_ledger::clock;
use vernier_ledger::offboarding;
use vernier_ledger::ports::{Administration, Directory, Results, TenantSettings};
use vernier_ledger::rates::{RateCounters, Rates};
use vernier_validation::{Mode, Profile};

/// One HTTP request.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// The method of the call, such as `GET`.
    pub method: &'static str,
    /// The route as the API names it, such as `/events/{id}`.
    pub route: &'static str,
    /// The value of the route's `{id}` or `{type}`, not encoded.
    pub id: Option<String>,
    /// Query parameters, not encoded.
    pub query: Vec<(String, String)>,
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// Further lines of headers, by lower-case name, in their order.
    pub lines: Vec<(String, String)>,
    /// The path as it is sent, where that is not the route with its id encoded once.
    pub spelled: Option<String>,
    /// Body.
    pub body: Vec<u8>,
}

/// The origin that samconfig.toml allows on the local stack, and the fakes allow.
pub const ALLOWED_ORIGIN: &str = "https://lms.example";

/// As one segment of a path, or as a value of a query.
#[must_use]
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl Call {
    /// A GET of a route.
    #[must_use]
    pub fn get(route: &'static str) -> Self {
        Self {
            method: "GET",
            route,
            ..Self::default()
        }
    }

    /// A POST of an envelope.
    #[must_use]
    pub fn post(body: impl Into<Vec<u8>>) -> Self {
        let call = Self {
            method: "POST",
            route: "/caliper",
            body: body.into(),
            ..Self::default()
        };
        call.header("content-type", "application/json")
    }

    /// A POST of a JSON document to a route.
    #[must_use]
    pub fn post_to(route: &'static str, body: &Value) -> Self {
        Self {
            method: "POST",
            ..Self::put(route, body)
        }
    }

    /// A PUT of a JSON document.
    #[must_use]
    pub fn put(route: &'static str, body: &Value) -> Self {
        let call = Self {
            method: "PUT",
            route,
            body: body.to_string().into_bytes(),
            ..Self::default()
        };
        call.header("content-type", "application/json")
    }

    /// What the route's path parameter is called; empty when it has none.
    #[must_use]
    pub fn parameter(&self) -> &'static str {
        let inside = |(_, rest): (_, &'static str)| rest.split(['+', '}']).next();
        self.route.split_once('{').and_then(inside).unwrap_or("")
    }

    /// The path, with the parameter's value encoded.
    #[must_use]
    pub fn path(&self) -> String {
        if let Some(spelled) = &self.spelled {
            return spelled.clone();
        }
        match (&self.id, self.route.split_once('{')) {
            (Some(id), Some((before, rest))) => {
                let after = rest.split_once('}').map_or("", |(_, after)| after);
                format!("{before}{}{after}", encoded(id))
            }
            _ => self.route.to_owned(),
        }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With one more line of a header.
    #[must_use]
    pub fn line(mut self, name: &str, value: &str) -> Self {
        self.lines.push((name.to_owned(), value.to_owned()));
        self
    }

    /// All lines of all headers, by name.
    pub fn header_lines(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.headers.iter();
        let lines = self.lines.iter().map(|(name, value)| (name, value));
        headers
            .chain(lines)
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The same call with another method.
    #[must_use]
    pub const fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// With the path as it is sent.
    #[must_use]
    pub fn spelled(mut self, path: &str) -> Self {
        self.spelled = Some(path.to_owned());
        self
    }

    /// Without a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// With a bearer token.
    #[must_use]
    pub fn token(self, secret: &str) -> Self {
        self.header("authorization", &format!("Bearer {secret}"))
    }

    /// With the path's id.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// With a query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// One HTTP answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A header's text; empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// A tenant's token.
#[derive(Debug, Clone)]
pub struct Member {
    /// The tenant.
    pub tenant: String,
    /// The token's public name.
    pub token_id: String,
    /// The token.
    pub secret: String,
}

/// The system under test, for one test alone: other tests use other tenants of it.
#[allow(async_fn_in_trait)] // tests call it generically on one thread
pub trait World {
    /// How long it may take until something committed is seen, or a token stops.
    const PATIENCE: Duration;

    /// How long it may take until the window of something committed is sealed.
    const SEAL_PATIENCE: Duration;

    /// Of a table of like requests every how many-th is made: those that are not, are on the fakes.
    const STRIDE: usize;

    /// A new tenant with a token of all scopes.
    async fn tenant(&self, mode: Mode, profile: Profile) -> Member;

    /// Another token of a tenant.
    async fn token(&self, tenant: &str, scopes: &[Scope]) -> Member;

    /// A token that reads one learner's data.
    async fn learner_token(&self, tenant: &str, learner: &str, scopes: &[Scope]) -> Member;

    /// Sets a tenant's rates; what it spent of others is forgotten.
    async fn set_rates(&self, member: &Member, rates: Rates);

    /// Closes a tenant and revokes its tokens.
    async fn close(&self, member: &Member);

    /// Revokes a token.
    async fn revoke(&self, member: &Member);

    /// One request, whatever comes back.
    async fn answer(&self, call: Call) -> Answer;

    /// One request; its answer is as the API's description says.
    async fn call(&self, call: Call) -> Answer {
        let answer = self.answer(call.clone()).await;
        openapi::check(&call, &answer);
        answer
    }

    /// Puts a record on the stream past the input function.
    async fn put_record(&self, partition_key: &str, data: &[u8]);

    /// Keys of the bucket that begin so.
    async fn keys(&self, prefix: &str) -> Vec<String>;

    /// An object of the bucket.
    async fn object(&self, key: &str) -> Vec<u8>;

    /// Lets the reconcile function seal what was received until now; on a deployed stack, waits a
    /// moment.
    async fn seal(&self);

    /// Where results lie.
    fn results(&self) -> &impl Results;

    /// Lets the stream function take what is there; on a deployed stack, waits a moment.
    async fn turn(&self);
}

/// Creates a tenant in a table.
///
/// # Panics
/// When the table refuses.
pub async fn create_tenant(table: &impl Administration, mode: Mode, profile: Profile) -> String {
    let id = format!("t-{}", uuid::Uuid::new_v4().simple());
    let tenant = Tenant {
        mode,
        profile,
        lanes: 2,
        ..Tenant::new(id.parse().expect("a tenant's name"), clock::now())
    };
    assert_eq!(table.create_tenant(&tenant).await, Ok(true));
    id
}

/// Issues a token of a tenant, or of one of its learners, in a table.
///
/// # Panics
/// When the table refuses.
pub async fn issue_token(
    table: &impl Administration,
    tenant: &str,
    learner: Option<&str>,
    scopes: &[Scope],
) -> Member {
    let token = NewToken::generate();
    let info = TokenInfo {
        token_id: token.token_id.clone(),
        tenant: tenant.parse().expect("a tenant's name"),
        sensor: "https://school.example/sensors/1".to_owned(),
        scopes: scopes.to_vec(),
        learner: learner.map(str::to_owned),
        label: None,
        created_at: clock::now(),
        revoked_at: None,
    };
    table
        .put_token(&token.sha256, &info)
        .await
        .expect("a new token");
    Member {
        tenant: tenant.to_owned(),
        token_id: token.token_id,
        secret: token.secret,
    }
}

/// Sets a tenant's rates in a table.
///
/// # Panics
/// When the table refuses or has no such tenant.
pub async fn set_rates<T>(table: &T, member: &Member, rates: Rates)
where
    T: Directory + TenantSettings + RateCounters,
{
    let id = member.tenant.parse().expect("a tenant's name");
    let before = table.tenant(&id).await.expect("the table answers");
    let before = before.expect("the tenant is there");
    let after = Tenant {
        rates,
        ..before.clone()
    };
    assert_eq!(table.change_tenant(&before, &after).await, Ok(true));
    assert_eq!(table.forget_spent(&id).await, Ok(()));
}

/// Closes a tenant in a table.
///
/// # Panics
/// When the table refuses or has no such tenant.
pub async fn close<T>(table: &T, member: &Member)
where
    T: Directory + Administration + TenantSettings,
{
    let id = member.tenant.parse().expect("a tenant's name");
    let closed = offboarding::close(table, &id, clock::now()).await;
    assert!(!closed.expect("closed").revoked.is_empty());
}

/// Revokes a token in a table.
///
/// # Panics
/// When the table refuses or has no such token.
pub async fn revoke_token(table: &impl Administration, member: &Member) {
    let tenant = member.tenant.parse().expect("a tenant's name");
    let revoked = table
        .revoke_token(&tenant, &member.token_id, clock::now())
        .await;
    assert!(revoked.is_ok_and(|at| at.is_some()));
}

/// Asks until the answer satisfies, as long as the world's patience.
///
/// # Panics
/// With the last answer when it never does.
pub async fn eventually<W: World>(
    world: &W,
    call: Call,
    satisfied: impl Fn(&Answer) -> bool,
) -> Answer {
    let deadline = std::time::Instant::now() + W::PATIENCE;
    loop {
        world.turn().await;
        let answer = world.call(call.clone()).await;
        if satisfied(&answer) {
            return answer;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "still {} {} after {:?}: {}",
            call.method,
            call.route,
            W::PATIENCE,
            String::from_utf8_lossy(&answer.body)
        );
    }
}
