//! Sources and destinations: local paths and S3 URIs.

use outrigger_plugin_sdk::Failure;

/// A source or a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Files of the host.
    Local(LocalPath),
    /// Objects of a bucket.
    S3(S3Place),
}

/// A path in the workspace, or an absolute one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPath {
    /// Without `./` in front and `/` at the end; empty for the workspace itself.
    path: String,
    /// Whether it was written with a `/` at the end, or is `.`: then it can only be a folder.
    is_folder: bool,
}

/// A bucket with a key or the beginning of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Place {
    /// Bucket name, or ARN of an access point.
    pub bucket: String,
    /// Key, or prefix of keys; empty for the whole bucket.
    pub key: String,
}

/// Reads source and destination.
///
/// # Errors
/// `invalid-input` where both are local, or one is no place.
pub fn places(source: &str, destination: &str) -> Result<(Place, Place), Failure> {
    let places = (Place::parse("source", source)?, Place::parse("destination", destination)?);
    if let (Place::Local(_), Place::Local(_)) = places {
        return Err(Failure::invalid_input(format!(
            "`source` ({source}) and `destination` ({destination}) are both local: one of them must be like `s3://bucket/prefix`"
        )));
    }
    Ok(places)
}

impl Place {
    fn parse(field: &str, text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        match text.strip_prefix("s3://") {
            Some(rest) => S3Place::parse(rest)
                .map(Self::S3)
                .ok_or_else(|| Failure::invalid_input(format!("`{field}` is `{text}`, which names no bucket"))),
            None if text == "-" => {
                Err(Failure::invalid_input(format!("`{field}` is `-`: steps have no standard input")))
            }
            None if text.is_empty() => Err(Failure::invalid_input(format!("`{field}` is blank"))),
            None => Ok(Self::Local(LocalPath::parse(text))),
        }
    }
}

impl Place {
    /// The path or key of something below, this place being a folder.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        match self {
            Self::Local(folder) => folder.join(path),
            Self::S3(folder) => folder.as_folder().join(path),
        }
    }
}

impl S3Place {
    fn parse(rest: &str) -> Option<Self> {
        // The ARN of an access point has slashes of its own: `arn:aws:s3:region:account:accesspoint/name/key`.
        let parts = if rest.starts_with("arn:") { arn_parts(rest)? } else { 1 };
        let end = rest.match_indices('/').nth(parts - 1).map_or(rest.len(), |(at, _)| at);
        let (bucket, key) = rest.split_at(end);
        let key = key.strip_prefix('/').unwrap_or(key);
        (!bucket.is_empty()).then(|| Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// The same place as a folder: with a `/` at the end of a key that is not empty.
    #[must_use]
    pub fn as_folder(&self) -> Self {
        let slash = if self.key.is_empty() || self.key.ends_with('/') { "" } else { "/" };
        Self { bucket: self.bucket.clone(), key: format!("{}{slash}", self.key) }
    }

    /// Whether it can only be a folder.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }

    /// The last part of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        last_part(&self.key)
    }

    /// The key of something below.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.key)
    }

    /// The URI of a key in the bucket.
    #[must_use]
    pub fn uri(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }
}

/// How many parts between slashes the ARN of a bucket takes up.
fn arn_parts(rest: &str) -> Option<usize> {
    let resource = rest.splitn(6, ':').nth(5)?;
    match resource.split(['/', ':']).next()? {
        "accesspoint" if resource.starts_with("accesspoint:") => Some(1),
        "accesspoint" => Some(2),
        "outpost" if resource.starts_with("outpost:") => Some(1),
        "outpost" => Some(4),
        _ => None,
    }
}

impl LocalPath {
    fn parse(text: &str) -> Self {
        let absolute = text.starts_with('/');
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let path = format!("{}{}", if absolute { "/" } else { "" }, parts.join("/"));
        let is_folder = text.ends_with('/') || text == "." || text.ends_with("/.") || path.is_empty();
        Self { path, is_folder }
    }

    /// The path as the host takes it.
    #[must_use]
    pub fn path(&self) -> &str {
        if self.path.is_empty() { "." } else { &self.path }
    }

    /// Whether it can only be a folder.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// The last part of the path.
    #[must_use]
    pub fn name(&self) -> &str {
        last_part(&self.path)
    }

    /// The path of something below.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        match self.path.as_str() {
            "" => path.to_owned(),
            "/" => format!("/{path}"),
            own => format!("{own}/{path}"),
        }
    }
}

/// A path as the AWS CLI prints it: relative ones in the workspace itself begin with `./`.
pub(crate) fn shown(path: &str) -> String {
    if path.contains('/') { path.to_owned() } else { format!("./{path}") }
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(text: &str) -> (String, String) {
        match Place::parse("source", text) {
            Ok(Place::S3(place)) => (place.bucket, place.key),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn pair(bucket: &str, key: &str) -> (String, String) {
        (bucket.to_owned(), key.to_owned())
    }

    #[test]
    fn uris_are_split_into_bucket_and_key() {
        assert_eq!(s3("s3://b"), pair("b", ""));
        assert_eq!(s3("s3://b/"), pair("b", ""));
        assert_eq!(s3("s3://b/a//c"), pair("b", "a//c"));
        let point = "arn:aws:s3:eu-west-1:111122223333:accesspoint";
        assert_eq!(s3(&format!("s3://{point}/p/a/b")), pair(&format!("{point}/p"), "a/b"));
        assert_eq!(s3(&format!("s3://{point}:p/a/b")), pair(&format!("{point}:p"), "a/b"));
        let outpost = "arn:aws:s3-outposts:eu-west-1:111122223333:outpost/op-1/accesspoint/p";
        assert_eq!(s3(&format!("s3://{outpost}/k")), pair(outpost, "k"));
        assert!(Place::parse("source", "s3://").is_err());
        assert!(Place::parse("source", "s3:///k").is_err());
        assert!(Place::parse("source", "s3://arn:aws:s3:::bucket/k").is_err());
        assert!(Place::parse("source", "-").is_err());
    }

    #[test]
    fn paths_are_tidied() {
        for (text, path, is_folder) in [
            ("./a/", "a", true),
            (".", ".", true),
            ("a//b/./c", "a/b/c", false),
            ("/srv/x", "/srv/x", false),
            ("../x", "../x", false),
        ] {
            let local = LocalPath::parse(text);
            assert_eq!((local.path(), local.is_folder()), (path, is_folder), "{text}");
        }
        assert_eq!(LocalPath::parse(".").join("a"), "a");
        assert_eq!(LocalPath::parse("d/").join("a"), "d/a");
        assert_eq!(LocalPath::parse("d/e").name(), "e");
        assert_eq!(shown("a"), "./a");
        assert_eq!(shown("d/a"), "d/a");
    }

    #[test]
    fn one_side_must_be_s3() {
        assert!(places("a", "b").unwrap_err().message.contains("both local"));
        assert!(places("a", "s3://b").is_ok());
    }

    #[test]
    fn folders_of_keys_end_with_a_slash() {
        let place = S3Place { bucket: "b".to_owned(), key: "p".to_owned() };
        assert_eq!(place.as_folder().join("x"), "p/x");
        assert_eq!(place.as_folder().as_folder().key, "p/");
        let whole = S3Place { bucket: "b".to_owned(), key: String::new() };
        assert_eq!(whole.as_folder().join("x"), "x");
        assert_eq!(whole.uri("x"), "s3://b/x");
    }
}
