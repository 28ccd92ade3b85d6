//! [`Objects`] on S3: written once with `If-None-Match: *`.

use crate::error::port_error;
use aws_config::SdkConfig;
use aws_sdk_s3::error::BuildError;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use vernier_ledger::ports::{
    Inventory, ListedObject, NotRemoved, Objects, PortError, PutOutcome, REMOVALS_MAX, Removal,
};
use vernier_ledger::time::Millis;

/// What S3 answers when a range begins at the end of its object or behind it.
const NO_SUCH_RANGE: u16 = 416;

/// The ledger's bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: aws_sdk_s3::Client,
    name: String,
}

impl Bucket {
    /// The bucket of this name. Path-style addresses, which AWS, LocalStack and other emulators
    /// all answer, are used when the endpoint is not AWS's own.
    #[must_use]
    pub fn new(config: &SdkConfig, name: impl Into<String>) -> Self {
        let own_endpoint = config.endpoint_url().is_some();
        let config = aws_sdk_s3::config::Builder::from(config)
            .force_path_style(own_endpoint)
            .build();
        Self {
            client: aws_sdk_s3::Client::from_conf(config),
            name: name.into(),
        }
    }
}

/// Metadata travels as a header: what a header cannot carry becomes `?`.
fn header_value(note: &str) -> String {
    let is_carried = |c: char| c == ' ' || c.is_ascii_graphic();
    note.chars()
        .map(|c| if is_carried(c) { c } else { '?' })
        .collect()
}

impl Objects for Bucket {
    async fn put_new(
        &self,
        key: &str,
        bytes: Vec<u8>,
        note: Option<&str>,
    ) -> Result<PutOutcome, PortError> {
        let mut request = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .if_none_match("*")
            .body(ByteStream::from(bytes));
        if let Some(note) = note {
            request = request.metadata("vernier-note", header_value(note));
        }
        match request.send().await {
            Ok(_) => Ok(PutOutcome::Created),
            Err(e) if e.code() == Some("PreconditionFailed") => Ok(PutOutcome::Exists),
            Err(e) => Err(port_error("put object", e)),
        }
    }

    async fn get(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<Option<Vec<u8>>, PortError> {
        // A range header has at least one byte, so that one too many may come back.
        let length_max = range.and_then(|(_, length)| usize::try_from(length).ok());
        let range = range.map(|(offset, length)| {
            let last = offset.saturating_add(length.saturating_sub(1));
            format!("bytes={offset}-{last}")
        });
        let answer = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(key)
            .set_range(range)
            .send()
            .await;
        match answer {
            Ok(object) => {
                let body = object.body.collect().await;
                let bytes = body.map_err(|e| PortError::Retryable(format!("get object: {e}")))?;
                let mut bytes = bytes.into_bytes().to_vec();
                bytes.truncate(length_max.unwrap_or(usize::MAX));
                Ok(Some(bytes))
            }
            Err(SdkError::ServiceError(e)) if e.err().is_no_such_key() => Ok(None),
            Err(SdkError::ServiceError(e)) if e.raw().status().as_u16() == NO_SUCH_RANGE => {
                Ok(Some(Vec::new()))
            }
            Err(e) => Err(port_error("get object", e)),
        }
    }
}

impl Removal for Bucket {
    async fn remove(&self, key: &str) -> Result<(), PortError> {
        let request = self.client.delete_object().bucket(&self.name).key(key);
        let removed = request.send().await;
        removed.map_err(|e| port_error("delete object", e))?;
        Ok(())
    }

    async fn remove_all(&self, keys: &[String]) -> Result<Vec<NotRemoved>, PortError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let what = "delete objects";
        if keys.len() > REMOVALS_MAX {
            let many = format!("{what}: {} keys in one request", keys.len());
            return Err(PortError::Fatal(many));
        }
        let bad = |e: BuildError| PortError::Fatal(format!("{what}: {e}"));
        let identifiers = keys
            .iter()
            .map(|key| ObjectIdentifier::builder().key(key).build());
        let identifiers: Vec<_> = identifiers.collect::<Result<_, _>>().map_err(bad)?;
        let delete = Delete::builder()
            .set_objects(Some(identifiers))
            .quiet(true)
            .build()
            .map_err(bad)?;
        let request = self.client.delete_objects().bucket(&self.name);
        let answer = request.delete(delete).send().await;
        let answer = answer.map_err(|e| port_error(what, e))?;
        let errors = answer.errors.unwrap_or_default().into_iter();
        Ok(errors.map(not_removed).collect())
    }
}

/// What DeleteObjects says of one key: denied for good, else to be tried again.
fn not_removed(error: aws_sdk_s3::types::Error) -> NotRemoved {
    let code = error.code.unwrap_or_default();
    let text = format!(
        "delete objects: {code} {}",
        error.message.unwrap_or_default()
    );
    let error_of = match code.as_str() {
        "AccessDenied" | "MethodNotAllowed" | "KeyTooLongError" => PortError::Fatal,
        "SlowDown" | "ServiceUnavailable" => PortError::Throttled,
        _ => PortError::Retryable,
    };
    NotRemoved {
        key: error.key.unwrap_or_default(),
        error: error_of(text),
    }
}

impl Inventory for Bucket {
    async fn listed(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, PortError> {
        let answer = self
            .client
            .list_objects_v2()
            .bucket(&self.name)
            .prefix(prefix)
            .set_start_after(after.map(str::to_owned))
            .send()
            .await
            .map_err(|e| port_error("list objects", e))?;
        let objects = answer.contents.unwrap_or_default().into_iter();
        let listed = objects.map(|object| {
            Some(ListedObject {
                key: object.key?,
                bytes: u64::try_from(object.size?).ok()?,
                written_at: Millis(object.last_modified?.to_millis().ok()?),
            })
        });
        let all: Option<Vec<ListedObject>> = listed.collect();
        all.ok_or_else(|| {
            PortError::Fatal("list objects: one without key, size or time".to_owned())
        })
    }
}
