//! What objects are written with.

use outrigger_door::{Failure, Reason};

pub use aws_sdk_s3::types::ChecksumAlgorithm;

/// What objects are written with. What is `None` is S3's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Storage class, such as `STANDARD_IA`.
    pub storage_class: Option<String>,
    /// Canned ACL, such as `bucket-owner-full-control`.
    pub acl: Option<String>,
    /// `AES256`, `aws:kms` or `aws:kms:dsse`.
    pub server_side_encryption: Option<String>,
    /// KMS key id, ARN or alias.
    pub ssekms_key_id: Option<String>,
    /// Media type; guessed from the file's name where it is none.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// User metadata, without `x-amz-meta-`.
    pub metadata: Vec<(String, String)>,
    /// `CRC32`, `CRC32C`, `CRC64NVME`, `SHA1` or `SHA256`.
    pub checksum_algorithm: Option<String>,
}

impl WriteOptions {
    /// The checksum that was chosen.
    pub(super) fn checksum(&self) -> Result<Option<ChecksumAlgorithm>, Failure> {
        let Some(name) = &self.checksum_algorithm else {
            return Ok(None);
        };
        Ok(Some(match name.as_str() {
            "CRC32" => ChecksumAlgorithm::Crc32,
            "CRC32C" => ChecksumAlgorithm::Crc32C,
            "CRC64NVME" => ChecksumAlgorithm::Crc64Nvme,
            "SHA1" => ChecksumAlgorithm::Sha1,
            "SHA256" => ChecksumAlgorithm::Sha256,
            other => {
                return Err(Failure::new(
                    Reason::InvalidInput,
                    format!("{other:?} is no checksum algorithm: use CRC32, CRC32C, CRC64NVME, SHA1 or SHA256"),
                ));
            }
        }))
    }

    /// Whether a copy gets other metadata than its source.
    pub(super) fn replaces_metadata(&self) -> bool {
        self.content_type.is_some()
            || self.cache_control.is_some()
            || self.content_disposition.is_some()
            || self.content_encoding.is_some()
            || !self.metadata.is_empty()
    }

    /// User metadata as the SDK takes it.
    pub(super) fn metadata_map(&self) -> Option<std::collections::HashMap<String, String>> {
        (!self.metadata.is_empty()).then(|| self.metadata.iter().cloned().collect())
    }
}

/// Puts what concerns storage and access into a request that writes an object.
macro_rules! storage_options {
    ($request:expr, $options:expr) => {{
        use aws_sdk_s3::types::{ObjectCannedAcl, ServerSideEncryption, StorageClass};
        let options: &$crate::aws::s3::options::WriteOptions = $options;
        $request
            .set_storage_class(options.storage_class.as_deref().map(StorageClass::from))
            .set_acl(options.acl.as_deref().map(ObjectCannedAcl::from))
            .set_server_side_encryption(options.server_side_encryption.as_deref().map(ServerSideEncryption::from))
            .set_ssekms_key_id(options.ssekms_key_id.clone())
    }};
}
pub(super) use storage_options;

/// Puts headers and user metadata into a request that writes an object.
macro_rules! header_options {
    ($request:expr, $options:expr, $content_type:expr) => {{
        let options: &$crate::aws::s3::options::WriteOptions = $options;
        $request
            .set_content_type($content_type)
            .set_cache_control(options.cache_control.clone())
            .set_content_disposition(options.content_disposition.clone())
            .set_content_encoding(options.content_encoding.clone())
            .set_metadata(options.metadata_map())
    }};
}
pub(super) use header_options;

/// The media type of a file by the ending of its name.
/// Source: the IANA media type registry.
pub(super) fn media_type(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (stem, ending) = name.rsplit_once('.')?;
    if stem.is_empty() || ending.len() > 8 {
        return None;
    }
    Some(match ending.to_ascii_lowercase().as_str() {
        "avif" => "image/avif",
        "bin" => "application/octet-stream",
        "bmp" => "image/bmp",
        "bz2" => "application/x-bzip2",
        "css" => "text/css",
        "csv" => "text/csv",
        "doc" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "epub" => "application/epub+zip",
        "gif" => "image/gif",
        "gz" | "tgz" => "application/gzip",
        "htm" | "html" => "text/html",
        "ico" => "image/vnd.microsoft.icon",
        "ics" => "text/calendar",
        "jar" => "application/java-archive",
        "jpeg" | "jpg" => "image/jpeg",
        "js" | "mjs" => "text/javascript",
        "json" | "map" => "application/json",
        "log" | "txt" => "text/plain",
        "md" => "text/markdown",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "mpeg" | "mpg" => "video/mpeg",
        "oga" | "ogg" | "opus" => "audio/ogg",
        "ogv" => "video/ogg",
        "otf" => "font/otf",
        "parquet" => "application/vnd.apache.parquet",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "ppt" => "application/vnd.ms-powerpoint",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "rtf" => "application/rtf",
        "sh" => "application/x-sh",
        "svg" => "image/svg+xml",
        "tar" => "application/x-tar",
        "tif" | "tiff" => "image/tiff",
        "toml" => "application/toml",
        "ttf" => "font/ttf",
        "wasm" => "application/wasm",
        "wav" => "audio/wav",
        "weba" => "audio/webm",
        "webm" => "video/webm",
        "webmanifest" => "application/manifest+json",
        "webp" => "image/webp",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "xhtml" => "application/xhtml+xml",
        "xls" => "application/vnd.ms-excel",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xml" => "application/xml",
        "yaml" | "yml" => "application/yaml",
        "zip" => "application/zip",
        "zst" => "application/zstd",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_come_from_the_ending() {
        for (path, expected) in [
            ("a/b/index.HTML", Some("text/html")),
            ("a.b/readme", None),
            (".json", None),
            ("x.tar.gz", Some("application/gzip")),
            ("x.unknown", None),
        ] {
            assert_eq!(media_type(path), expected, "{path}");
        }
    }

    #[test]
    fn only_known_checksums_are_taken() {
        let options = |name: &str| WriteOptions { checksum_algorithm: Some(name.into()), ..WriteOptions::default() };
        assert_eq!(options("CRC32C").checksum().unwrap(), Some(ChecksumAlgorithm::Crc32C));
        assert_eq!(options("MD5").checksum().unwrap_err().reason, Reason::InvalidInput);
        assert_eq!(WriteOptions::default().checksum().unwrap(), None);
    }
}
