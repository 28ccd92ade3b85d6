//! SDK errors in the ledger's two kinds.

use aws_sdk_dynamodb::error::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use vernier_ledger::ports::PortError;

/// Codes after which the same call may succeed.
const RETRYABLE_CODES: &[&str] = &[
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "Throttling",
    "RequestLimitExceeded",
    "LimitExceededException",
    "TransactionConflictException",
    "TransactionInProgressException",
    "InternalServerError",
    "InternalFailure",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "SlowDown",
    "RequestTimeout",
    "RequestTimeoutException",
    "KMSThrottlingException",
    "KmsThrottled",
    "RequestThrottled",
    "OperationAborted",
    "ConditionalRequestConflict",
];

/// Whether an error code means "later".
pub(super) fn is_retryable_code(code: &str) -> bool {
    RETRYABLE_CODES.contains(&code)
}

/// Says what was tried and sorts the failure.
pub(super) fn port_error<E, R>(what: &str, error: SdkError<E, R>) -> PortError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let retryable = match &error {
        SdkError::ServiceError(context) => context.err().code().is_some_and(is_retryable_code),
        SdkError::ConstructionFailure(_) => false,
        _ => true,
    };
    // Service messages may quote keys; the code is enough to act on.
    let text = match error.code() {
        Some(code) => format!("{what}: {code}"),
        None => format!("{what}: {}", DisplayErrorContext(&error)),
    };
    if retryable {
        PortError::Retryable(text)
    } else {
        PortError::Fatal(text)
    }
}

/// An item does not have the shape that docs/tables.md gives it.
pub(super) fn misshapen(what: &str, attribute: &str) -> PortError {
    PortError::Fatal(format!(
        "{what}: attribute {attribute} is missing or misshapen"
    ))
}
