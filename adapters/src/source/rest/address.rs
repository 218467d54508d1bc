//! Which addresses may be asked: checked on literals and on what a name resolves to, at every connection, so that a
//! name that changes its mind (DNS rebinding) reaches nothing else.

use std::{fmt, io, net::IpAddr, str::FromStr, sync::Arc};

use reqwest::dns::{Name, Resolve, Resolving};
use serde::{Deserialize, Serialize};

/// A network in CIDR form (RFC 4632, RFC 4291 section 2.3), or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is not an address or a network such as 10.9.0.0/16");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let network = Self { address, bits: bits.unwrap_or(all) };
        if network.bits > all || bits_of(address).0 & !mask(network.bits, all) != 0 {
            return Err(wrong());
        }
        Ok(network)
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// The bits of an address, right-aligned, and how many there are.
fn bits_of(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u32::from(address).into(), 32),
        IpAddr::V6(address) => (address.into(), 128),
    }
}

/// The leading `bits` of `all`.
fn mask(bits: u8, all: u8) -> u128 {
    let whole = if all == 128 { u128::MAX } else { (1 << all) - 1 };
    let host = if bits == all { 0 } else { whole >> bits };
    whole & !host
}

impl Network {
    /// Whether the address lies in it. An IPv4 address written as IPv6 (`::ffff:a.b.c.d`) is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let ((network, all), (address, length)) = (bits_of(self.address), bits_of(address.to_canonical()));
        all == length && address & mask(self.bits, all) == network
    }
}

/// The addresses that may be asked.
#[derive(Clone, Debug)]
pub(super) struct Allowed(Arc<[Network]>);

impl Allowed {
    pub(super) fn new(networks: Vec<Network>) -> Self {
        Self(networks.into())
    }

    pub(super) fn admits(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// A name resolved to an address outside the allowed networks.
#[derive(Debug, thiserror::Error)]
#[error("the name resolves to an address outside rest.allow")]
pub(super) struct NotAllowed;

impl Resolve for Allowed {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.clone();
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            // One address outside is enough: whoever answers for the name is not to be trusted with the others.
            if found.iter().any(|address| !allowed.admits(address.ip())) {
                return Err(NotAllowed.into());
            }
            Ok(Box::new(found.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_lies_within_or_outside() {
        for (network, address, within) in [
            ("10.9.0.0/16", "10.9.255.1", true),
            ("10.9.0.0/16", "10.10.0.1", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("0.0.0.0/0", "169.254.169.254", true),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("10.0.0.0/8", "::ffff:127.0.0.1", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::/0", "127.0.0.1", false),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), within, "{address} in {network}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "example.com", "10.9.1.0/16", "10.0.0.0/33", "fd00::/129", "10.0.0.0/-1", "10.0.0"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
