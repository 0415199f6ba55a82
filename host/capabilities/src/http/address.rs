//! Which addresses guests may reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network of addresses, such as `10.20.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no network: write an address, a slash and the bits that count, such as 10.20.0.0/16")]
pub struct NetworkError {
    text: String,
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            let address: IpAddr = address.parse().ok()?;
            let prefix: u8 = prefix.parse().ok()?;
            let bits = if address.is_ipv4() { 32 } else { 128 };
            (prefix <= bits).then_some(Self { address, prefix })
        };
        parse().ok_or_else(|| NetworkError { text: text.to_owned() })
    }
}

impl Network {
    const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    const fn v6(a: u16, b: u16, prefix: u8) -> Self {
        Self { address: IpAddr::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0)), prefix }
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32_u32.saturating_sub(self.prefix.into());
                (network.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128_u32.saturating_sub(self.prefix.into());
                (network.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Never reachable, whatever is configured.
/// Sources: RFC 6890 and the IANA special-purpose address registries; the metadata services of AWS (169.254.169.254,
/// fd00:ec2::254, and the neighbours for DNS and time), Alibaba Cloud (100.100.100.200) and Azure (168.63.129.16).
const NEVER: &[(Network, &str)] = &[
    (Network::v4(0, 0, 0, 0, 8), "this host"),
    (Network::v4(127, 0, 0, 0, 8), "loopback"),
    (Network::v4(169, 254, 0, 0, 16), "link-local, where metadata services are"),
    (Network::v4(100, 100, 100, 200, 32), "a metadata service"),
    (Network::v4(168, 63, 129, 16, 32), "a metadata service"),
    (Network::v4(192, 0, 0, 192, 32), "a metadata service"),
    (Network::v4(224, 0, 0, 0, 4), "multicast"),
    (Network::v4(240, 0, 0, 0, 4), "reserved or broadcast"),
    (Network::v6(0, 0, 128), "unspecified"),
    (Network::v6(0xfd00, 0x0ec2, 32), "a metadata service"),
    (Network::v6(0xfe80, 0, 10), "link-local"),
    (Network::v6(0xff00, 0, 8), "multicast"),
];

/// Reachable only where the operator allows their network.
/// Source: RFC 6890 and the IANA special-purpose address registries.
const PRIVATE: &[(Network, &str)] = &[
    (Network::v4(10, 0, 0, 0, 8), "private"),
    (Network::v4(100, 64, 0, 0, 10), "shared by a carrier's customers"),
    (Network::v4(172, 16, 0, 0, 12), "private"),
    (Network::v4(192, 0, 0, 0, 24), "reserved for protocols"),
    (Network::v4(192, 0, 2, 0, 24), "for documentation"),
    (Network::v4(192, 88, 99, 0, 24), "a relay of 6to4"),
    (Network::v4(192, 168, 0, 0, 16), "private"),
    (Network::v4(198, 18, 0, 0, 15), "for benchmarks"),
    (Network::v4(198, 51, 100, 0, 24), "for documentation"),
    (Network::v4(203, 0, 113, 0, 24), "for documentation"),
    (Network::v6(0x0100, 0, 64), "discarded"),
    (Network::v6(0x2001, 0, 23), "reserved for protocols"),
    (Network::v6(0x2001, 0x0db8, 32), "for documentation"),
    (Network::v6(0x3fff, 0, 20), "for documentation"),
    (Network::v6(0x5f00, 0, 16), "for segment routing"),
    (Network::v6(0xfc00, 0, 7), "private"),
    (Network::v6(0xfec0, 0, 10), "site-local"),
];

/// Where IPv6 is handed out to the world.
const GLOBAL: Network = Network::v6(0x2000, 0, 3);

/// Why an address is not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) address: IpAddr,
    pub(super) class: &'static str,
    /// Whether the operator may allow it.
    pub(super) can_be_allowed: bool,
}

/// The IPv4 address that an IPv6 address stands for, where it does.
fn folded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (a, b, c, d, e, f) {
        // Mapped, translated (RFC 2765), and compatible; `::` and `::1` are IPv6's own.
        (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0xffff, 0) => Some(v4(g, h)),
        (0, 0, 0, 0, 0, 0) if (g, h) != (0, 0) && (g, h) != (0, 1) => Some(v4(g, h)),
        // NAT64 (RFC 6052, and the local prefix of RFC 8215 with 96 bits).
        (0x64, 0xff9b, 0, 0, 0, 0) | (0x64, 0xff9b, 1, _, _, _) => Some(v4(g, h)),
        // 6to4 (RFC 3056).
        (0x2002, high, low, _, _, _) => Some(v4(high, low)),
        // Teredo (RFC 4380): the client's address, inverted.
        (0x2001, 0, _, _, _, _) => Some(v4(!g, !h)),
        // ISATAP (RFC 5214).
        (_, _, _, _, 0 | 0x200, 0x5efe) => Some(v4(g, h)),
        _ => None,
    }
}

/// Checks an address against what is never reachable, and against the operator's networks.
pub(super) fn check(address: IpAddr, allowed: &[Network]) -> Result<(), Refusal> {
    let refuse = |class, can_be_allowed| Err(Refusal { address, class, can_be_allowed });
    if address == IpAddr::V6(Ipv6Addr::LOCALHOST) {
        return refuse("loopback", false);
    }
    if let Some((_, class)) = NEVER.iter().find(|(network, _)| network.contains(address)) {
        return refuse(class, false);
    }
    if let IpAddr::V6(v6) = address
        && let Some(v4) = folded(v6)
    {
        return check(v4.into(), allowed).map_err(|refusal| Refusal { address, ..refusal });
    }
    if allowed.iter().any(|network| network.contains(address)) {
        return Ok(());
    }
    if let Some((_, class)) = PRIVATE.iter().find(|(network, _)| network.contains(address)) {
        return refuse(class, true);
    }
    if address.is_ipv6() && !GLOBAL.contains(address) {
        return refuse("not handed out to anybody", true);
    }
    Ok(())
}
