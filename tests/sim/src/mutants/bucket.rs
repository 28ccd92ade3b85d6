//! The bucket with a place for a bug.

use super::live::changed_frame;
use super::{Bucket, Bug};
use std::sync::PoisonError;
use vernier_ledger::ports::{
    Inventory, ListedObject, NotRemoved, Objects, PortError, PutOutcome, Removal,
};
use vernier_ledger::time::Millis;

impl Objects for Bucket {
    async fn put_new(
        &self,
        key: &str,
        bytes: Vec<u8>,
        note: Option<&str>,
    ) -> Result<PutOutcome, PortError> {
        let waits = match self.bug {
            Some(Bug::CursorBeforeSegment) => key.starts_with("segments/"),
            Some(Bug::ChainBeforeSeal) => key.starts_with("seals/"),
            _ => false,
        };
        if waits {
            let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
            late.push((key.to_owned(), bytes));
            return Ok(PutOutcome::Created);
        }
        if self.bug == Some(Bug::OverwriteSeal) && key.starts_with("seals/") {
            self.inner.lose(key);
        }
        let bytes = self.changed_roll_up(key, bytes);
        self.inner.put_new(key, bytes, note).await
    }

    async fn get(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<Option<Vec<u8>>, PortError> {
        // About half of them, by the end of the hash in the key.
        let is_odd = key.bytes().rev().nth(10).is_some_and(|byte| byte % 2 == 1);
        if self.bug == Some(Bug::OverlookSegments) && key.starts_with("segments/") && is_odd {
            return Ok(None);
        }
        let bytes = self.inner.get(key, range).await?;
        Ok(bytes.map(|bytes| changed_frame(self.bug, bytes)))
    }
}

impl Inventory for Bucket {
    async fn listed(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, PortError> {
        if self.bug == Some(Bug::ForgetWrittenDown) && prefix.starts_with("evidence/") {
            return Ok(Vec::new());
        }
        let mut listed = self.inner.listed(prefix, after).await?;
        if self.bug == Some(Bug::SweepNamedLate) && prefix.starts_with("oversize/") {
            for object in &mut listed {
                object.written_at = Millis(0);
            }
        }
        Ok(listed)
    }
}

impl Removal for Bucket {
    async fn remove(&self, key: &str) -> Result<(), PortError> {
        self.inner.remove(key).await
    }

    async fn remove_all(&self, keys: &[String]) -> Result<Vec<NotRemoved>, PortError> {
        self.inner.remove_all(keys).await
    }
}
