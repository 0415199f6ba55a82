//! Whether what arrived is what S3 has.

use aws_sdk_s3::types::ChecksumType;
use aws_smithy_checksums::http::HttpChecksum;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest};
use outrigger_door::{Failure, Reason};

/// The checksum that S3 has of a whole object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expected {
    /// Checksums of ranges combine to that of the whole.
    Crc {
        /// Which.
        algorithm: CrcAlgorithm,
        /// Its bytes in base64, as in the header.
        value: String,
    },
    /// Has to be computed from the beginning.
    Sha {
        /// Which.
        algorithm: aws_smithy_checksums::ChecksumAlgorithm,
        /// Its bytes in base64, as in the header.
        value: String,
    },
    /// S3 has none, or one of its parts' checksums.
    Nothing,
}

impl Expected {
    /// From the headers of an answer, strongest first.
    pub(super) fn from_headers(
        kind: Option<&ChecksumType>,
        sha256: Option<&str>,
        sha1: Option<&str>,
        crc64_nvme: Option<&str>,
        crc32_c: Option<&str>,
        crc32: Option<&str>,
    ) -> Self {
        // A checksum of checksums ends with a hyphen and the number of parts.
        let whole = |value: Option<&str>| value.filter(|value| !value.contains('-')).map(str::to_owned);
        if kind == Some(&ChecksumType::Composite) {
            return Self::Nothing;
        }
        let sha = |algorithm, value| Self::Sha { algorithm, value };
        let crc = |algorithm, value| Self::Crc { algorithm, value };
        whole(sha256)
            .map(|value| sha(aws_smithy_checksums::ChecksumAlgorithm::Sha256, value))
            .or_else(|| whole(sha1).map(|value| sha(aws_smithy_checksums::ChecksumAlgorithm::Sha1, value)))
            .or_else(|| whole(crc64_nvme).map(|value| crc(CrcAlgorithm::Crc64Nvme, value)))
            .or_else(|| whole(crc32_c).map(|value| crc(CrcAlgorithm::Crc32Iscsi, value)))
            .or_else(|| whole(crc32).map(|value| crc(CrcAlgorithm::Crc32IsoHdlc, value)))
            .unwrap_or(Self::Nothing)
    }

    /// Something to compute a range's part of it with.
    pub(super) fn digest(&self) -> Option<Digest> {
        match self {
            Self::Crc { algorithm, .. } => Some(Digest::new(*algorithm)),
            Self::Sha { .. } | Self::Nothing => None,
        }
    }

    /// Something to compute it with from the beginning to the end.
    pub(super) fn sequential(&self) -> Option<Box<dyn HttpChecksum>> {
        match self {
            Self::Sha { algorithm, .. } => Some(algorithm.into_impl()),
            Self::Crc { .. } | Self::Nothing => None,
        }
    }

    /// Compares a checksum that was computed of all bytes.
    pub(super) fn check_sequential(&self, key: &str, computed: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Sha { value, .. } => compare(key, value, computed),
            Self::Crc { .. } | Self::Nothing => Ok(()),
        }
    }

    /// Combines the checksums of consecutive ranges and compares the result.
    pub(super) fn check_ranges(&self, key: &str, ranges: &[Digest]) -> Result<(), Failure> {
        let Self::Crc { algorithm, value } = self else {
            return Ok(());
        };
        let mut whole = Digest::new(*algorithm);
        for range in ranges {
            whole.combine(range);
        }
        let computed = whole.finalize().to_be_bytes();
        let bytes = if *algorithm == CrcAlgorithm::Crc64Nvme { computed.as_slice() } else { computed.split_at(4).1 };
        compare(key, value, bytes)
    }
}

fn compare(key: &str, expected: &str, computed: &[u8]) -> Result<(), Failure> {
    let computed = STANDARD.encode(computed);
    if computed == expected {
        Ok(())
    } else {
        Err(mismatch(key, &format!("S3 has {expected}, what arrived {computed}")))
    }
}

/// What arrived is not what S3 has.
pub(super) fn mismatch(key: &str, detail: &str) -> Failure {
    Failure::new(Reason::Remote, format!("the checksum of {key} is wrong: {detail}; nothing was written"))
        .with_code("ChecksumMismatch")
        .retryable()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_ranges_combine() {
        // The check value of the CRC catalogue for "123456789".
        for (algorithm, value) in [
            (CrcAlgorithm::Crc32IsoHdlc, "y/Q5Jg=="),
            (CrcAlgorithm::Crc32Iscsi, "4waSgw=="),
            (CrcAlgorithm::Crc64Nvme, "rosUhgp5mIg="),
        ] {
            let expected = Expected::Crc { algorithm, value: value.into() };
            let ranges: Vec<Digest> = ["1234", "", "56789"]
                .iter()
                .map(|text| {
                    let mut digest = Digest::new(algorithm);
                    digest.update(text.as_bytes());
                    digest
                })
                .collect();
            expected.check_ranges("key", &ranges).unwrap();
            let failure = expected.check_ranges("key", &ranges[..2]).unwrap_err();
            assert_eq!(failure.code.as_deref(), Some("ChecksumMismatch"));
        }
    }

    #[test]
    fn checksums_of_checksums_say_nothing_about_the_whole() {
        let headers = |kind: Option<ChecksumType>, value| {
            Expected::from_headers(kind.as_ref(), None, None, None, None, Some(value))
        };
        assert_eq!(headers(None, "y/Q5Jg==-3"), Expected::Nothing);
        assert_eq!(headers(Some(ChecksumType::Composite), "y/Q5Jg=="), Expected::Nothing);
        assert!(matches!(headers(Some(ChecksumType::FullObject), "y/Q5Jg=="), Expected::Crc { .. }));
    }
}
