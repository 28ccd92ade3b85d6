//! The deployed stack: HTTP to its API, the SDK to its stores.
//!
//! Where it lies comes from the environment that `make test` sets: `VERNIER_API`,
//! `VERNIER_TABLE`, `VERNIER_STREAM`, `VERNIER_BUCKET` and the ordinary AWS variables.

use crate::world::{self, Answer, Call, Member, World, encoded};
use std::collections::BTreeMap;
use std::time::Duration;
use vernier_aws::{KinesisStream, Table};
use vernier_ledger::access::Scope;
use vernier_ledger::ports::{FrameStream, NewRecord, Results};
use vernier_ledger::rates::Rates;
use vernier_validation::{Mode, Profile};

/// A stack that somebody else started.
#[derive(Debug)]
pub struct DeployedWorld {
    api: String,
    table: Table,
    stream: KinesisStream,
    bucket: String,
    s3: aws_sdk_s3::Client,
    agent: ureq::Agent,
}

/// A variable of the environment that `make emulator` sets.
///
/// # Panics
/// When it is not set.
#[must_use]
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: the emulator tier runs on a deployed stack, see `make emulator`")
    })
}

/// The SDK's settings with another endpoint than the environment's: a proxy before it.
///
/// # Panics
/// When `AWS_CA_BUNDLE` names what is no bundle.
pub async fn config_at(endpoint: &str) -> aws_types::SdkConfig {
    let config = vernier_aws::config().await.expect("AWS_CA_BUNDLE is read");
    let mut config = config.into_builder().endpoint_url(endpoint);
    // As if the code had named it from the start; else the environment goes first.
    config.insert_origin("endpoint_url", aws_types::origin::Origin::shared_config());
    config.build()
}

impl DeployedWorld {
    /// The stack that the environment names.
    ///
    /// # Panics
    /// When `AWS_CA_BUNDLE` names what is no bundle.
    pub async fn from_env() -> Self {
        let config = vernier_aws::config().await.expect("AWS_CA_BUNDLE is read");
        let s3 = aws_sdk_s3::config::Builder::from(&config)
            .force_path_style(true)
            .build();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Self {
            api: variable("VERNIER_API").trim_end_matches('/').to_owned(),
            table: Table::new(&config, variable("VERNIER_TABLE")),
            stream: KinesisStream::new(&config, variable("VERNIER_STREAM")),
            bucket: variable("VERNIER_BUCKET"),
            s3: aws_sdk_s3::Client::from_conf(s3),
            agent: agent.into(),
        }
    }

    fn url(&self, call: &Call) -> String {
        let path = call.path();
        let pairs: Vec<String> = call
            .query
            .iter()
            .map(|(n, v)| format!("{}={}", encoded(n), encoded(v)))
            .collect();
        let query = if pairs.is_empty() {
            String::new()
        } else {
            format!("?{}", pairs.join("&"))
        };
        format!("{}{path}{query}", self.api)
    }
}

fn send(agent: &ureq::Agent, url: &str, call: &Call) -> Result<Answer, ureq::Error> {
    let mut request = ureq::http::Request::builder().method(call.method).uri(url);
    for (name, value) in call.header_lines() {
        request = request.header(name, value);
    }
    let mut response = match call.method {
        "GET" | "HEAD" | "OPTIONS" | "TRACE" => agent.run(request.body(())?)?,
        _ => agent.run(request.body(&call.body[..])?)?,
    };
    let text = |value: &ureq::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    Ok(Answer {
        status: response.status().as_u16(),
        headers: response
            .headers()
            .iter()
            .map(|(n, v)| (n.as_str().to_owned(), text(v)))
            .collect::<BTreeMap<_, _>>(),
        body: response
            .body_mut()
            .with_config()
            .limit(16 * 1024 * 1024)
            .read_to_vec()?,
    })
}

impl World for DeployedWorld {
    const PATIENCE: Duration = Duration::from_secs(300);

    // A window of a minute, its grace, and a run each minute that has other tenants to seal too.
    const SEAL_PATIENCE: Duration = Duration::from_secs(900);

    // A request takes 20 to 100 ms, other tests beside it.
    const STRIDE: usize = 13;

    async fn tenant(&self, mode: Mode, profile: Profile) -> Member {
        let tenant = world::create_tenant(&self.table, mode, profile).await;
        self.token(&tenant, &Scope::ALL).await
    }

    async fn token(&self, tenant: &str, scopes: &[Scope]) -> Member {
        world::issue_token(&self.table, tenant, None, scopes).await
    }

    async fn learner_token(&self, tenant: &str, learner: &str, scopes: &[Scope]) -> Member {
        world::issue_token(&self.table, tenant, Some(learner), scopes).await
    }

    async fn set_rates(&self, member: &Member, rates: Rates) {
        world::set_rates(&self.table, member, rates).await;
    }

    async fn close(&self, member: &Member) {
        world::close(&self.table, member).await;
    }

    async fn revoke(&self, member: &Member) {
        world::revoke_token(&self.table, member).await;
    }

    async fn answer(&self, call: Call) -> Answer {
        let (agent, url) = (self.agent.clone(), self.url(&call));
        let answer = tokio::task::spawn_blocking(move || send(&agent, &url, &call)).await;
        answer.expect("the thread ends").expect("the API answers")
    }

    async fn put_record(&self, partition_key: &str, data: &[u8]) {
        let record = NewRecord {
            partition_key: partition_key.to_owned(),
            data: data.to_vec(),
        };
        for answer in self.stream.append(&[record]).await {
            answer.expect("the stream takes it");
        }
    }

    async fn keys(&self, prefix: &str) -> Vec<String> {
        let mut pages = self
            .s3
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .into_paginator()
            .send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.expect("the bucket lists");
            keys.extend(
                page.contents()
                    .iter()
                    .filter_map(|o| o.key().map(str::to_owned)),
            );
        }
        keys
    }

    async fn object(&self, key: &str) -> Vec<u8> {
        let object = self.s3.get_object().bucket(&self.bucket).key(key).send();
        let body = object.await.expect("it is there").body.collect().await;
        body.expect("it is read").to_vec()
    }

    async fn seal(&self) {
        tokio::time::sleep(Duration::from_secs(2)).await;
    }

    fn results(&self) -> &impl Results {
        &self.table
    }

    async fn turn(&self) {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
