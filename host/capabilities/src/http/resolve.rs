//! Host names, resolved and checked in one go: what is checked is what is connected to.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use outrigger_door::BoxFuture;

use super::address::{Network, Refusal, check};

/// Looks up names, and says where an address is dialled; tests put their own here.
pub(super) trait Lookup: Send + Sync + 'static {
    /// All addresses of a name.
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;

    /// Where a connection to a checked address goes.
    fn dial(&self, address: IpAddr) -> IpAddr {
        address
    }
}

/// The operating system's resolver.
pub(super) struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }
}

/// Every address of a name is out of reach.
#[derive(Debug)]
pub(super) struct Refused(pub(super) Refusal);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} is not allowed", self.0.address)
    }
}

impl std::error::Error for Refused {}

/// The resolver of the connector: it knows no address that was not checked.
#[derive(Clone)]
pub(super) struct CheckedResolver {
    lookup: Arc<dyn Lookup>,
    networks: Arc<[Network]>,
}

impl fmt::Debug for CheckedResolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CheckedResolver").field("networks", &self.networks).finish_non_exhaustive()
    }
}

impl CheckedResolver {
    pub(super) fn new(lookup: Arc<dyn Lookup>, networks: Vec<Network>) -> Self {
        Self { lookup, networks: networks.into() }
    }
}

impl ResolveDns for CheckedResolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = self.lookup.lookup(name).await.map_err(ResolveDnsError::new)?;
            let mut refusal = None;
            let mut reachable = Vec::new();
            for address in found {
                match check(address, &self.networks) {
                    Ok(()) => reachable.push(self.lookup.dial(address)),
                    Err(refused) => refusal = Some(refused),
                }
            }
            match (reachable.is_empty(), refusal) {
                (false, _) => Ok(reachable),
                (true, Some(refusal)) => Err(ResolveDnsError::new(Refused(refusal))),
                (true, None) => Err(ResolveDnsError::new(io::Error::other(format!("{name} has no address")))),
            }
        })
    }
}
