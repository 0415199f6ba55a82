//! How transfers are paced, and how an S3 client is set up for them.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::config::{Builder, IdentityCache, StalledStreamProtectionConfig};
use aws_sdk_s3::types::ChecksumAlgorithm;
use tokio_util::sync::CancellationToken;

const MIB: u64 = 1024 * 1024;

/// Parts of one multipart upload, by S3's limits ("Amazon S3 multipart upload limits").
pub(super) const MOST_PARTS: u64 = 10_000;

/// How transfers are paced. The defaults are for S3 itself.
#[derive(Clone, Debug)]
pub struct TransferSettings {
    /// Items at work when a transfer begins.
    pub first_in_flight: usize,
    /// Items at work at most: the number grows while S3 does not throttle, and is halved when it does.
    pub most_in_flight: usize,
    /// Parts or ranges of one object at work at once.
    pub parts_in_flight: usize,
    /// Bytes of file contents that are held in memory at once.
    pub buffer_bytes: u64,
    /// Objects from this size are transferred in parts.
    pub multipart_threshold: u64,
    /// Bytes of a part; grows where an object would have more than 10,000.
    pub part_size: u64,
    /// Parts above this size are streamed from disk instead of read into memory.
    pub most_buffered_part: u64,
    /// Objects above this size are copied in parts; S3's own limit is 5 GiB.
    pub copy_threshold: u64,
    /// Bytes of a part of a copy; grows where an object would have more than 10,000.
    pub copy_part_size: u64,
    /// The checksum of objects whose writer does not choose one. `None`: what the SDK sends, CRC32, which older servers
    /// that speak S3 know.
    pub checksum: Option<ChecksumAlgorithm>,
    /// How often a download that broke off in the middle, or a request that was throttled, is tried.
    pub tries: u32,
    /// How long a download may be silent.
    pub silence: Duration,
}

impl Default for TransferSettings {
    fn default() -> Self {
        Self {
            first_in_flight: 32,
            most_in_flight: 64,
            parts_in_flight: 8,
            buffer_bytes: 64 * MIB,
            multipart_threshold: 8 * MIB,
            part_size: 8 * MIB,
            most_buffered_part: 16 * MIB,
            copy_threshold: 5 * 1024 * MIB,
            copy_part_size: 64 * MIB,
            checksum: Some(ChecksumAlgorithm::Crc64Nvme),
            tries: 4,
            silence: Duration::from_secs(60),
        }
    }
}

/// The size of parts of an object, so that there are at most 10,000 of them.
pub(super) fn part_size(wanted: u64, size: u64) -> u64 {
    let least = size.div_ceil(MOST_PARTS);
    // Whole mebibytes, so that a growing part stays aligned.
    if least <= wanted { wanted.max(1) } else { least.next_multiple_of(MIB) }
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Items that ended, well or badly.
    pub items: u64,
    /// Items altogether.
    pub all_items: u64,
    /// Bytes that were transferred.
    pub bytes: u64,
}

/// What a transfer reports to, and what stops it.
#[derive(Clone)]
pub struct Control {
    /// Stops the transfer: items that are not done end as `cancelled`, and begun uploads are aborted.
    pub cancel: CancellationToken,
    /// Called a few times a second, and once at the end.
    pub progress: Arc<dyn Fn(Progress) + Send + Sync>,
}

impl Default for Control {
    fn default() -> Self {
        Self { cancel: CancellationToken::new(), progress: Arc::new(|_| {}) }
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Control").field("cancel", &self.cancel).finish_non_exhaustive()
    }
}

/// Sets up an S3 client for many requests. Identity, region, endpoint, HTTP client and retries stay as they are.
pub fn tune(builder: Builder) -> Builder {
    builder
        // Credentials have one cache already, in front of their provider.
        .identity_cache(IdentityCache::no_cache())
        .use_arn_region(true)
        // Uploads that stall end after 20 seconds. Downloads are watched where they are read.
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled()
                .upload_enabled(true)
                .download_enabled(false)
                .grace_period(Duration::from_secs(20))
                .build(),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_so_that_they_are_at_most_ten_thousand() {
        assert_eq!(part_size(8 * MIB, 100 * MIB), 8 * MIB);
        assert_eq!(part_size(8 * MIB, 80_000 * MIB), 8 * MIB);
        assert_eq!(part_size(8 * MIB, 80_000 * MIB + 1), 9 * MIB);
        for size in [1, 8 * MIB, 5 * 1024 * 1024 * MIB, 50 * 1024 * 1024 * MIB] {
            assert!(size.div_ceil(part_size(8 * MIB, size)) <= MOST_PARTS, "{size}");
        }
    }
}
