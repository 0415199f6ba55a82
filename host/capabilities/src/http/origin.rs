//! URLs as guests write them, and origins as operators list them.

use std::net::IpAddr;
use std::str::FromStr;

use outrigger_door::{Failure, Reason};
use url::{Host, Url};

/// Bytes of a URL.
const LONGEST_URL: usize = 8 * 1024;

/// A scheme, a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let default = if self.scheme == "https" { 443 } else { 80 };
        write!(formatter, "{}://{}", self.scheme, self.host)?;
        if self.port != default { write!(formatter, ":{}", self.port) } else { Ok(()) }
    }
}

/// A text that is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no origin: {why}; write scheme, host and port alone, such as https://hooks.example.com")]
pub struct OriginError {
    text: String,
    why: String,
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let refuse = |why: &str| OriginError { text: text.to_owned(), why: why.to_owned() };
        let target = Target::parse(text).map_err(|failure| refuse(&failure.message))?;
        if target.url.path() != "/" || target.url.query().is_some() || target.url.fragment().is_some() {
            return Err(refuse("it has a path, a query or a fragment"));
        }
        Ok(target.origin)
    }
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) origin: Origin,
    /// The host, where it is an address.
    pub(super) address: Option<IpAddr>,
}

impl Target {
    /// Parses a URL once. What two parsers may read differently is refused rather than normalised.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let refuse = |why: &str| Failure::new(Reason::InvalidInput, format!("the URL {why}"));
        if text.len() > LONGEST_URL {
            return Err(refuse(&format!("has {} bytes; at most {LONGEST_URL} are sent", text.len())));
        }
        if text.chars().any(|character| character.is_control() || character == ' ' || character == '\\') {
            return Err(refuse("holds a control character, a space or a backslash"));
        }
        let mut url = Url::parse(text).map_err(|error| refuse(&format!("cannot be read: {error}")))?;
        let scheme = url.scheme().to_owned();
        if scheme != "https" && scheme != "http" {
            return Err(refuse(&format!("has the scheme {scheme}; only https, and http where it is listed, are sent")));
        }
        let written = authority(text).ok_or_else(|| refuse("has no host after `://`"))?;
        if written.contains('@') || !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("holds a user name or password: send a header"));
        }
        let host = host_of(written);
        let canonical = url.host_str().ok_or_else(|| refuse("has no host"))?;
        if !host.is_ascii() {
            return Err(refuse(&format!("has a host outside of ASCII: write it as {canonical}")));
        }
        if !host.eq_ignore_ascii_case(canonical) {
            return Err(refuse(&format!("has a host in a form that is read in several ways: write it as {canonical}")));
        }
        if canonical.ends_with('.') {
            return Err(refuse("has a host that ends with a dot: write it without"));
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(name)) if is_host_name(name) => None,
            _ => return Err(refuse("has a host that is no host name")),
        };
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or_else(|| refuse("has the port 0"))?;
        let origin = Origin { scheme, host: canonical.to_owned(), port };
        url.set_fragment(None);
        Ok(Self { url, origin, address })
    }
}

/// What stands between `://` and the next slash, question mark or number sign.
fn authority(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest.get(..end).filter(|authority| !authority.is_empty())
}

/// The host as it was written, without the port.
fn host_of(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.find(']').and_then(|end| authority.get(..=end)).unwrap_or(authority);
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

/// Letters, digits, hyphens and underscores in parts of 1 to 63 (RFC 1123, and the underscore that services use).
fn is_host_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|part| {
            (1..=63).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}
