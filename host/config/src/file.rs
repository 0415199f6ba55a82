//! The tables of a configuration file besides `[aws]` and `[permissions]`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;

/// `[native-steps]` as written: steps that run outside the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NativeSettings {
    /// Whether `exec` and `script` steps may run.
    pub enabled: Option<bool>,
    /// User whose rights they run with.
    pub user: Option<String>,
    /// Whether they may get AWS credentials.
    pub aws: Option<bool>,
    /// Interpreters that scripts may name; `None` where the file says nothing.
    pub interpreters: Option<Vec<String>>,
}

/// `[limits]` as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitSettings {
    /// Linear memory of a step in MiB.
    pub memory_mib: Option<u32>,
    /// Processor time of a step in seconds.
    pub cpu_seconds: Option<u32>,
    /// Wall-clock time of a step in seconds.
    pub deadline_seconds: Option<u64>,
    /// Time after deadline or cancellation in which a step may clean up, in seconds.
    pub grace_seconds: Option<u32>,
    /// Log lines of a step.
    pub log_lines: Option<u64>,
    /// Size of a step's outputs in KiB.
    pub outputs_kib: Option<u32>,
    /// Size of a run's workspace in MiB.
    pub workspace_mib: Option<u64>,
}

/// `[http]` as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpSettings {
    /// Origins (`https://host[:port]`, with `*` for any text in the host) that guests may reach.
    pub allow_origins: Option<Vec<String>>,
    /// Private networks that guests may reach.
    pub allow_networks: Option<Vec<Network>>,
}

/// What another vendor's provider id stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PluginAlias {
    /// Our provider id.
    pub plugin: String,
    /// Their property names, and ours.
    pub properties: BTreeMap<String, String>,
}

/// `[keys]` as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysSettings {
    /// Where the master key comes from.
    pub master_key: Option<MasterKeySource>,
    /// Patterns of key paths that every project may read.
    pub share: Vec<String>,
}

/// Where the master key of key storage comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MasterKeySource {
    /// A file; made at the first `put` if there is none.
    File(PathBuf),
    /// An environment variable that holds 64 hexadecimal digits.
    Environment(String),
    /// A program and its arguments; it prints 64 hexadecimal digits. No shell is involved.
    Command(Vec<String>),
}

/// A network in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Network {
    /// Its first address.
    pub address: IpAddr,
    /// Bits that all its addresses share.
    pub prefix: u8,
}

impl Network {
    /// Whether the address lies in the network. An IPv4 address that is written as IPv6 (`::ffff:a.b.c.d`) counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
                u32::from(network) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix.min(128))).unwrap_or(0);
                u128::from(network) & mask == u128::from(address) & mask
            }
            _ => false,
        }
    }

    /// Whether all of `other` lies in this network.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }
}

impl std::str::FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| "the part before `/` is no IP address")?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) if prefix.bytes().all(|b| b.is_ascii_digit()) => {
                prefix.parse().ok().filter(|bits| *bits <= longest).ok_or("the part after `/` is too large")?
            }
            Some(_) => return Err("the part after `/` is no number"),
            None => longest,
        };
        if let IpAddr::V6(v6) = address
            && v6.to_ipv4_mapped().is_some()
        {
            return Err("write an IPv4 network as IPv4");
        }
        Ok(Self { address, prefix })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let network: Network = "10.1.0.0/16".parse().expect("a network");
        assert!(network.contains("10.1.255.3".parse().expect("an address")));
        assert!(network.contains("::ffff:10.1.2.3".parse().expect("an address")));
        assert!(!network.contains("10.2.0.0".parse().expect("an address")));
        let all: Network = "0.0.0.0/0".parse().expect("a network");
        assert!(all.contains("203.0.113.9".parse().expect("an address")));
        assert!(all.covers(&network) && !network.covers(&all));
        let one: Network = "fd00::1".parse().expect("a network");
        assert_eq!(one.to_string(), "fd00::1/128");
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "host/8", "10.0.0.0/-1", "10.0.0.0/+8", "::ffff:10.0.0.0/104"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
