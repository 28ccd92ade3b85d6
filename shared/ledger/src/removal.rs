//! Removing objects that are not needed any more, one or many by one request.

use crate::ports::PortError;

/// Objects that one request removes at most: as many as S3's DeleteObjects takes, and a page of a list has.
pub const REMOVALS_MAX: usize = 1_000;

/// An object that a request did not remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRemoved {
    /// The object's key in the bucket.
    pub key: String,
    /// Why it may still be there.
    pub error: PortError,
}

/// Objects that are not needed any more.
#[allow(async_fn_in_trait)] // callers are generic and single-threaded; no Send bound is wanted
pub trait Removal {
    /// Removes an object. That there is none is as good.
    async fn remove(&self, key: &str) -> Result<(), PortError>;

    /// Removes objects by one request, at most [`REMOVALS_MAX`] (fatal with more); answers which of them may still be
    /// there, each with its own error, since the request removes others all the same.
    async fn remove_all(&self, keys: &[String]) -> Result<Vec<NotRemoved>, PortError>;
}

/// Removes any number of objects, as many by one request as it takes.
///
/// # Errors
/// The store's. With the first request that did not remove all of its objects, the first such object's error: those of
/// this request and of those before it that are gone stay gone.
pub async fn remove_each<O: Removal>(objects: &O, keys: &[String]) -> Result<(), PortError> {
    for some in keys.chunks(REMOVALS_MAX) {
        if let Some(not_removed) = objects.remove_all(some).await?.into_iter().next() {
            return Err(not_removed.error);
        }
    }
    Ok(())
}
