//! What time it is where the stores are: the date on each of their answers.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use vernier_ledger::clock::{self, StoreClock};
use vernier_ledger::time::Millis;

/// The header with the date of an answer (RFC 9110, 6.6.1).
const DATE: &str = "date";

/// Tells a clock the date of every answer that comes through a client.
pub(super) fn observed(client: SharedHttpClient, clock: &StoreClock) -> SharedHttpClient {
    SharedHttpClient::new(Observed {
        inner: client,
        clock: clock.clone(),
    })
}

/// A client or a connector of it, with the clock that is told.
#[derive(Debug)]
struct Observed<T> {
    inner: T,
    clock: StoreClock,
}

impl HttpClient for Observed<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Observed {
            inner: self.inner.http_connector(settings, components),
            clock: self.clock.clone(),
        })
    }

    fn validate_base_client_config(
        &self,
        runtime_components: &RuntimeComponentsBuilder,
        cfg: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner
            .validate_base_client_config(runtime_components, cfg)
    }

    fn validate_final_config(
        &self,
        runtime_components: &RuntimeComponents,
        cfg: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_final_config(runtime_components, cfg)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

impl HttpConnector for Observed<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = self.inner.call(request);
        let clock = self.clock.clone();
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            if let Some(store) = date_of(&answer) {
                clock.observe(store, clock::now());
            }
            Ok(answer)
        })
    }
}

/// The date on an answer, in whole seconds; none where there is none that can be read.
fn date_of(answer: &HttpResponse) -> Option<Millis> {
    let date = answer.headers().get(DATE)?;
    let date = DateTime::from_str(date, Format::HttpDate).ok()?;
    date.to_millis().ok().map(Millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    #[test]
    fn dates_are_read_where_they_are_dates() {
        let mut answer = HttpResponse::new(
            StatusCode::try_from(200).expect("a status"),
            SdkBody::empty(),
        );
        assert_eq!(date_of(&answer), None);
        let headers = answer.headers_mut();
        headers.insert(DATE, "Fri, 27 Nov 2026 16:20:00 GMT");
        assert_eq!(date_of(&answer), Some(Millis(1_795_796_400_000)));
        answer.headers_mut().insert(DATE, "yesterday");
        assert_eq!(date_of(&answer), None);
    }
}
