//! Whose request it is, behind proxies.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::proto::http1::{Headers, Request};

use super::exchange::Conn;

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: u128,
    mask: u128,
}

/// A text that is no network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadNetwork(String);

impl fmt::Display for BadNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.escape_debug();
        write!(
            f,
            "`{text}` is no network: write 10.0.0.0/8, or an address alone"
        )
    }
}

impl std::error::Error for BadNetwork {}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.to_owned());
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = length.unwrap_or(most);
        if length > most {
            return Err(bad());
        }
        // An address of version 4 is the last quarter of a mapped one.
        let mask = u128::MAX.checked_shl(most - length).unwrap_or(0);
        Ok(Self {
            address: bits(address) & mask,
            mask,
        })
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.address
    }
}

/// All addresses in one space, those of version 4 mapped into it.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Who has sent a request that came from `peer`: if that is a proxy that is trusted, the last
/// address it was forwarded for that is not.
fn client(peer: IpAddr, headers: Headers<'_>, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if trusted.is_empty() || !is_trusted(peer) {
        return peer;
    }
    let mut client = peer;
    let lines: Vec<_> = headers.all("X-Forwarded-For").collect();
    for item in lines
        .iter()
        .rev()
        .flat_map(|line| line.rsplit(|byte| *byte == b','))
    {
        let text = std::str::from_utf8(item).unwrap_or_default().trim();
        match text.parse() {
            Ok(address) => client = address,
            // Whatever stands before it, nobody vouches for.
            Err(_) => break,
        }
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// Whose request it is.
pub(super) fn client_of(conn: &Conn, head: &Request<'_>, trusted: &[Network]) -> Option<IpAddr> {
    match (conn.peer, trusted) {
        (peer, []) => peer,
        (peer, trusted) => Some(client(peer?, head.headers, trusted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http1::{Request, Space};

    #[test]
    fn networks_are_read() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "10.0.0.0", "9.255.255.255"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", "1.2.3.4", "::1"),
            ("fd00::/8", "fdff::1", "fe00::"),
            ("::/0", "1.2.3.4", ""),
            ("::1", "::1", "::2"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(
                network.contains(inside.parse().unwrap()),
                "{network:?} {inside}"
            );
            if !outside.is_empty() {
                assert!(
                    !network.contains(outside.parse().unwrap()),
                    "{network:?} {outside}"
                );
            }
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "a",
            "10.0.0.0/-1",
            "10.0.0.0/",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_last_address_that_is_not_trusted_is_the_client() {
        let trusted = ["127.0.0.1", "10.0.0.0/8"].map(|text| text.parse().unwrap());
        for (peer, forwarded, expected) in [
            ("1.1.1.1", "2.2.2.2", "1.1.1.1"),
            ("127.0.0.1", "2.2.2.2", "2.2.2.2"),
            ("127.0.0.1", "3.3.3.3, 2.2.2.2, 10.0.0.1", "2.2.2.2"),
            ("127.0.0.1", "evil, 10.0.0.1", "10.0.0.1"),
            ("127.0.0.1", "", "127.0.0.1"),
            ("127.0.0.1", "10.0.0.2,10.0.0.1", "10.0.0.2"),
            ("127.0.0.1", "::1", "::1"),
            (
                "127.0.0.1",
                "3.3.3.3\r\nX-Forwarded-For: 2.2.2.2",
                "2.2.2.2",
            ),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {forwarded}\r\n\r\n");
            let mut space = Space::new();
            let headers = Request::parse(head.as_bytes(), &mut space).unwrap().headers;
            let found = client(peer.parse().unwrap(), headers, &trusted);
            assert_eq!(
                found,
                expected.parse::<IpAddr>().unwrap(),
                "{peer} {forwarded}"
            );
        }
    }
}
