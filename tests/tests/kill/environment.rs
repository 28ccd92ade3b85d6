//! Where the binary runs and what it is told: the deployed table and bucket behind a proxy that
//! throttles, a stream and a tenant of the test's own.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;
use vernier_aws::{Bucket, Table};
use vernier_ledger::access::{Identity, Scope, Tenant, TokenInfo};
use vernier_ledger::clock;
use vernier_tests::deployed::{config_at, variable};
use vernier_tests::proxy::{Proxy, Throttle};
use vernier_tests::trigger::SimStream;
use vernier_tests::trigger::runtime::Program;

/// Of the calls to the stores, so many are throttled; half of these after they took effect.
const THROTTLED: f64 = 0.05;

pub(crate) struct Environment {
    /// Its name is this run's alone, and so are its shards, cursors and segments.
    pub(crate) stream: SimStream,
    pub(crate) identity: Identity,
    pub(crate) proxy: Proxy,
    /// The stores as they are, for the judge.
    pub(crate) table: Table,
    pub(crate) bucket: Bucket,
    /// The stores behind the proxy.
    pub(crate) throttled_table: Table,
    pub(crate) throttled_bucket: Bucket,
}

/// A number from the environment, if it is set.
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")),
    )
}

fn binary() -> PathBuf {
    let path = PathBuf::from(variable("VERNIER_STREAM_BINARY"));
    assert!(
        path.is_file(),
        "VERNIER_STREAM_BINARY is {}, which is no file: `make build` makes it",
        path.display()
    );
    path
}

fn identity(name: &str) -> Identity {
    let tenant = Tenant {
        lanes: 16,
        ..Tenant::new(name.parse().expect("a tenant's name"), clock::now())
    };
    let token = TokenInfo {
        token_id: "kill".to_owned(),
        tenant: tenant.id.clone(),
        sensor: "https://school.example/sensors/1".to_owned(),
        scopes: vec![Scope::EventsWrite],
        learner: None,
        label: None,
        created_at: tenant.created_at,
        revoked_at: None,
    };
    Identity {
        tenant,
        token,
        signing_key: [0; 32],
    }
}

impl Environment {
    pub(crate) async fn new(seed: u64) -> Self {
        let name = format!("kill-{}", uuid::Uuid::new_v4().simple());
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        let proxy = Proxy::start(&variable("AWS_ENDPOINT_URL"), move |_| {
            let mut random = random.lock().ok()?;
            let strikes = random.random_bool(THROTTLED);
            let kinds = [Throttle::Before, Throttle::After];
            strikes.then(|| kinds[random.random_range(0..2)])
        });
        let direct = vernier_aws::config().await.expect("AWS_CA_BUNDLE is read");
        let throttled = config_at(&proxy.url()).await;
        let (table, bucket) = (variable("VERNIER_TABLE"), variable("VERNIER_BUCKET"));
        Self {
            stream: SimStream::new(&name, 4, clock::now()),
            identity: identity(&name),
            table: Table::new(&direct, &table),
            bucket: Bucket::new(&direct, &bucket),
            throttled_table: Table::new(&throttled, table),
            throttled_bucket: Bucket::new(&throttled, bucket),
            proxy,
        }
    }

    /// The stream function as it is built, with the permissions of its role.
    pub(crate) fn program(&self) -> Program {
        let credentials = variable("VERNIER_STREAM_CREDENTIALS");
        let [key, secret, token] = credentials.split(' ').collect::<Vec<_>>()[..] else {
            panic!("VERNIER_STREAM_CREDENTIALS is not a key, a secret and a token");
        };
        let region = variable("AWS_REGION");
        let url = self.proxy.url();
        let environment = [
            ("VERNIER_TABLE", variable("VERNIER_TABLE")),
            ("VERNIER_BUCKET", variable("VERNIER_BUCKET")),
            ("VERNIER_RECEIPT_DAYS", "30".to_owned()),
            ("VERNIER_WINDOW_SECONDS", "900".to_owned()),
            ("VERNIER_GRACE_SECONDS", "300".to_owned()),
            ("VERNIER_STREAM_TIMEOUT_SECONDS", "60".to_owned()),
            ("VERNIER_CLOCK_SKEW_SECONDS", "60".to_owned()),
            ("VERNIER_LATE_SECONDS", "60".to_owned()),
            ("AWS_ENDPOINT_URL", url),
            ("AWS_REGION", region),
            ("AWS_ACCESS_KEY_ID", key.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
            ("AWS_SESSION_TOKEN", token.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ];
        Program {
            path: binary(),
            name: "vernier-stream".to_owned(),
            environment: environment.map(|(n, v)| (n.to_owned(), v)).into(),
            timeout: Duration::from_secs(60),
        }
    }
}
