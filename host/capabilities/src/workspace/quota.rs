//! What a run may write.

use std::sync::{Mutex, PoisonError};

use outrigger_door::{Failure, Reason};

/// Bytes and files that a run may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes.
    pub bytes: u64,
    /// Files.
    pub files: u64,
}

impl Quota {
    /// No bound.
    pub const UNLIMITED: Self = Self { bytes: u64::MAX, files: u64::MAX };
}

/// What is used of a quota.
#[derive(Debug)]
pub(super) struct Usage {
    quota: Quota,
    used: Mutex<Quota>,
}

impl Usage {
    pub(super) fn new(quota: Quota) -> Self {
        Self { quota, used: Mutex::new(Quota { bytes: 0, files: 0 }) }
    }

    pub(super) fn used(&self) -> Quota {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes bytes and files, both or none.
    pub(super) fn reserve(&self, bytes: u64, files: u64) -> Result<(), Failure> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let refuse = |what: &str, used: u64, more: u64, limit: u64| {
            Err(Failure::new(
                Reason::Conflict,
                format!(
                    "the run may write {limit} {what}: {used} are written and {more} more are asked for; raise the limit in \
                     [workspace] or transfer less"
                ),
            )
            .with_code("QuotaExceeded"))
        };
        match used.bytes.checked_add(bytes) {
            Some(sum) if sum <= self.quota.bytes => {}
            _ => return refuse("bytes", used.bytes, bytes, self.quota.bytes),
        }
        match used.files.checked_add(files) {
            Some(sum) if sum <= self.quota.files => {}
            _ => return refuse("files", used.files, files, self.quota.files),
        }
        used.bytes += bytes;
        used.files += files;
        Ok(())
    }

    /// Gives back. Files that were there before the run count for nothing, so more may be given back than was taken.
    pub(super) fn release(&self, bytes: u64, files: u64) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.bytes = used.bytes.saturating_sub(bytes);
        used.files = used.files.saturating_sub(files);
    }
}
