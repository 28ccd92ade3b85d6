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

/// Codes of those by which a partition or a shard says that it takes no more in this second. An account's own limit is not
/// among them: what goes elsewhere meets it as well.
const THROTTLING_CODES: &[&str] = &[
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "Throttling",
];

/// An error with a code that the service gave.
pub(super) fn error_of_code(code: &str, text: String) -> PortError {
    if THROTTLING_CODES.contains(&code) {
        PortError::Throttled(text)
    } else if is_retryable_code(code) {
        PortError::Retryable(text)
    } else {
        PortError::Fatal(text)
    }
}

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
    // Service messages may quote keys; the code is enough to act on.
    let text = match error.code() {
        Some(code) => format!("{what}: {code}"),
        None => format!("{what}: {}", DisplayErrorContext(&error)),
    };
    match &error {
        SdkError::ServiceError(context) => {
            error_of_code(context.err().code().unwrap_or_default(), text)
        }
        SdkError::ConstructionFailure(_) => PortError::Fatal(text),
        _ => PortError::Retryable(text),
    }
}

/// Whether a conditional write took place: not where its condition did not hold.
///
/// # Errors
/// Any other failure, as [`port_error`] sorts it.
pub(super) fn took_place<T, E, R>(
    answer: Result<T, SdkError<E, R>>,
    what: &str,
) -> Result<bool, PortError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
        Err(error) => Err(port_error(what, error)),
    }
}

/// An item does not have the shape that docs/tables.md gives it.
pub(super) fn misshapen(what: &str, attribute: &str) -> PortError {
    PortError::Fatal(format!(
        "{what}: attribute {attribute} is missing or misshapen"
    ))
}
