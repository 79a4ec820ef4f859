//! The PROXY protocol: what a proxy sends ahead of a connection that it relays, to say whose it is.
//!
//! [`decode`] takes versions 1 and 2 of HAProxy's `doc/proxy-protocol.txt`, "the specification"
//! below. There is one header, and then a stream in another framing, so this is not a
//! [`Codec`](super::Codec). The TLVs of version 2 are skipped, and a checksum in them with them.
//!
//! ```text
//! version 1   PROXY TCP4 192.168.0.1 192.168.0.11 56324 443 CR LF
//!
//! version 2   signature  2 | command  family | transport  length  addresses, TLVs
//!             12 bytes   1            1                   2       as many as length says
//! ```
//!
//! A header is believed without proof, so it may be expected only where nobody but trusted proxies
//! can connect; and there it must be expected of every connection. "The receiver MUST be configured
//! to only receive the protocol described in this specification and MUST not try to guess whether
//! the protocol header is present or not" (§2).

// Addresses are plain data; `std::net` has sockets besides.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::fmt;
use std::str::FromStr;

/// The longest header accepted, in bytes: the limit of nginx. The 536 that the specification has
/// in mind are too few for a certificate in the TLVs.
pub const MAX_HEADER: usize = 4096;

/// The longest header of version 1, in bytes and with its CR LF (§2.1).
const V1_MAX: usize = 107;
const V1_TCP4: &[u8] = b"PROXY TCP4 ";
const V1_TCP6: &[u8] = b"PROXY TCP6 ";
/// The rest of the line may be missing.
const V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN";

const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// What a header of version 2 has at least, in bytes: all up to the length.
const V2_FIXED: usize = 16;
/// Version 2 with the command LOCAL, and with PROXY.
const V2_LOCAL: u8 = 0x20;
const V2_PROXY: u8 = 0x21;
/// The bytes that two addresses take, with their ports if they have any.
const V2_INET: u8 = 12;
const V2_INET6: u8 = 36;
const V2_UNIX: u8 = 216;

/// What a proxy says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// It is the proxy's own, as for a health check: LOCAL. Version 1 cannot say so.
    Local,
    /// It is relayed.
    Proxied {
        /// What the client speaks to the proxy.
        transport: Transport,
        /// Who has reached the proxy.
        source: SocketAddr,
        /// Where the proxy was reached.
        destination: SocketAddr,
    },
    /// It is relayed, and the proxy does not know for whom or cannot say so: UNKNOWN in version 1;
    /// in version 2 UNSPEC, and UNIX too, whose paths mean nothing on another host.
    Unknown,
}

/// What runs between the addresses of a header, numbered as in the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A stream: TCP.
    Stream = 1,
    /// Datagrams: UDP.
    Datagram = 2,
}

/// Why there is no header. All of these are the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// An address in text is not one of the family that was named.
    BadAddress,
    /// The command is neither LOCAL nor PROXY.
    BadCommand,
    /// The line has too few fields or too many, or ends with something else than CR LF.
    BadLine,
    /// A port in text is not a number up to 65,535 in plain decimal.
    BadPort,
    /// The address family or the transport is not assigned.
    BadProtocol,
    /// The signature is that of version 2, and the version another.
    BadVersion,
    /// No header begins like this.
    NoHeader,
    /// The header is longer than is accepted.
    TooLong {
        /// What is accepted, in bytes.
        max: u16,
    },
    /// The length leaves no room for the addresses.
    TooShort,
}

impl Header {
    /// Who has reached the proxy. If it does not say, the peer of the socket has to do.
    #[must_use]
    pub const fn source(&self) -> Option<SocketAddr> {
        match self {
            Self::Proxied { source, .. } => Some(*source),
            Self::Local | Self::Unknown => None,
        }
    }

    /// Where the proxy was reached. If it does not say, the address of the socket has to do.
    #[must_use]
    pub const fn destination(&self) -> Option<SocketAddr> {
        match self {
            Self::Proxied { destination, .. } => Some(*destination),
            Self::Local | Self::Unknown => None,
        }
    }
}

/// Finds the header of either version at the start of `data`; returns it with the number of bytes
/// that it took. `None` if it is not complete, which it is at the latest with [`MAX_HEADER`] bytes.
///
/// # Errors
///
/// When no bytes that may follow can make this a header. The connection is to be closed.
pub fn decode(data: &[u8]) -> Result<Option<(usize, Header)>, Error> {
    let may_be = |start: &[u8]| data.starts_with(start) || start.starts_with(data);
    if may_be(V2_SIGNATURE) {
        decode_v2(data)
    } else if [V1_TCP4, V1_TCP6, V1_UNKNOWN].into_iter().any(may_be) {
        decode_v1(data)
    } else {
        Err(Error::NoHeader)
    }
}

/// Appends `header` to `out` in version 1. That knows only TCP; all else becomes UNKNOWN.
///
/// Where one address is IPv4 and the other IPv6, the former is mapped into IPv6, as HAProxy does.
pub fn encode_v1(header: &Header, out: &mut Vec<u8>) {
    let Header::Proxied {
        transport: Transport::Stream,
        source,
        destination,
    } = header
    else {
        out.extend_from_slice(V1_UNKNOWN);
        out.extend_from_slice(b"\r\n");
        return;
    };
    let (start, ips) = match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            (V1_TCP4, format!("{source} {destination}"))
        }
        (source, destination) => {
            let (source, destination) = (to_ipv6(source), to_ipv6(destination));
            (V1_TCP6, format!("{source} {destination}"))
        }
    };
    let ports = format!(" {} {}\r\n", source.port(), destination.port());
    out.extend_from_slice(start);
    out.extend_from_slice(ips.as_bytes());
    out.extend_from_slice(ports.as_bytes());
}

/// Appends `header` to `out` in version 2, without TLVs.
///
/// Where one address is IPv4 and the other IPv6, the former is mapped into IPv6, as HAProxy does.
pub fn encode_v2(header: &Header, out: &mut Vec<u8>) {
    out.extend_from_slice(V2_SIGNATURE);
    let (transport, source, destination) = match *header {
        Header::Local => return out.extend([V2_LOCAL, 0, 0, 0]),
        Header::Unknown => return out.extend([V2_PROXY, 0, 0, 0]),
        Header::Proxied {
            transport,
            source,
            destination,
        } => (transport as u8, source, destination),
    };
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            out.extend([V2_PROXY, 0x10 | transport, 0, V2_INET]);
            out.extend(source.octets());
            out.extend(destination.octets());
        }
        (source, destination) => {
            out.extend([V2_PROXY, 0x20 | transport, 0, V2_INET6]);
            out.extend(to_ipv6(source).octets());
            out.extend(to_ipv6(destination).octets());
        }
    }
    out.extend(source.port().to_be_bytes());
    out.extend(destination.port().to_be_bytes());
}

fn decode_v1(data: &[u8]) -> Result<Option<(usize, Header)>, Error> {
    // With a CR any later, the LF would be too late.
    let mut window = data.iter().take(V1_MAX - 1);
    let Some(end) = window.position(|byte| matches!(byte, b'\r' | b'\n')) else {
        let max = V1_MAX as u16;
        return if data.len() < V1_MAX - 1 {
            Ok(None)
        } else {
            Err(Error::TooLong { max })
        };
    };
    let (line, rest) = data.split_at(end);
    match rest {
        [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => {}
        // "The receiver must not tolerate a single CR or LF character to end the line" (§2.1).
        _ => return Err(Error::BadLine),
    }
    let header = if let Some(fields) = line.strip_prefix(V1_TCP4) {
        parse_fields::<Ipv4Addr>(fields)?
    } else if let Some(fields) = line.strip_prefix(V1_TCP6) {
        parse_fields::<Ipv6Addr>(fields)?
    } else if let Some([] | [b' ', ..]) = line.strip_prefix(V1_UNKNOWN) {
        // "the receiver must ignore anything presented before the CRLF is found" (§2.1).
        Header::Unknown
    } else {
        return Err(Error::BadLine);
    };
    Ok(Some((end + 2, header)))
}

/// Reads what a line of version 1 has behind the protocol, with addresses of the family `A`.
fn parse_fields<A: FromStr + Into<IpAddr>>(fields: &[u8]) -> Result<Header, Error> {
    let fields = std::str::from_utf8(fields).map_err(|_| Error::BadLine)?;
    let mut fields = fields.split(' ');
    let mut next = || fields.next().ok_or(Error::BadLine);
    let [source, destination] = [next()?, next()?];
    let [source_port, destination_port] = [next()?, next()?];
    if fields.next().is_some() {
        return Err(Error::BadLine);
    }
    let address = |ip: &str, port: &str| {
        let ip: A = ip.parse().map_err(|_| Error::BadAddress)?;
        // Parsing would let a plus and leading zeros pass.
        let is_plain = port == "0" || !port.starts_with(['+', '0']);
        let port = port.parse().ok().filter(|_| is_plain);
        Ok(SocketAddr::new(ip.into(), port.ok_or(Error::BadPort)?))
    };
    Ok(Header::Proxied {
        transport: Transport::Stream,
        source: address(source, source_port)?,
        destination: address(destination, destination_port)?,
    })
}

fn decode_v2(data: &[u8]) -> Result<Option<(usize, Header)>, Error> {
    let Some((&fixed, rest)) = data.split_first_chunk::<V2_FIXED>() else {
        return Ok(None);
    };
    let [.., command, protocol, high, low] = fixed;
    if command >> 4 != 2 {
        return Err(Error::BadVersion);
    }
    let size = match (command, protocol >> 4, protocol & 0x0F) {
        // "discard the protocol block including the family which is ignored" (§2.2).
        (V2_LOCAL, ..) | (V2_PROXY, 0, 0..=2) | (V2_PROXY, 1..=3, 0) => 0,
        (V2_PROXY, 1, 1 | 2) => V2_INET,
        (V2_PROXY, 2, 1 | 2) => V2_INET6,
        (V2_PROXY, 3, 1 | 2) => V2_UNIX,
        (V2_PROXY, ..) => return Err(Error::BadProtocol),
        _ => return Err(Error::BadCommand),
    };
    let length = u16::from_be_bytes([high, low]);
    let end = V2_FIXED + usize::from(length);
    if length < u16::from(size) {
        return Err(Error::TooShort);
    }
    if end > MAX_HEADER {
        let max = MAX_HEADER as u16;
        return Err(Error::TooLong { max });
    }
    if data.len() < end {
        return Ok(None);
    }
    let addresses = match size {
        V2_INET => parse_addresses::<4>(rest),
        V2_INET6 => parse_addresses::<16>(rest),
        _ => None,
    };
    let header = match addresses {
        Some((source, destination)) => Header::Proxied {
            transport: match protocol & 0x0F {
                1 => Transport::Stream,
                _ => Transport::Datagram,
            },
            source,
            destination,
        },
        None if command == V2_LOCAL => Header::Local,
        None => Header::Unknown,
    };
    Ok(Some((end, header)))
}

/// Reads source and destination of version 2, with IP addresses of `N` bytes.
fn parse_addresses<const N: usize>(data: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (&source, data) = data.split_first_chunk::<N>()?;
    let (&destination, data) = data.split_first_chunk::<N>()?;
    let (&source_port, data) = data.split_first_chunk()?;
    let &destination_port = data.first_chunk()?;
    Some((
        SocketAddr::new(source.into(), u16::from_be_bytes(source_port)),
        SocketAddr::new(destination.into(), u16::from_be_bytes(destination_port)),
    ))
}

const fn to_ipv6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadAddress => f.write_str("not an address of the family named"),
            Self::BadCommand => f.write_str("neither LOCAL nor PROXY is the command"),
            Self::BadLine => f.write_str("fields or the end of the line are wrong"),
            Self::BadPort => f.write_str("not a port in plain decimal"),
            Self::BadProtocol => f.write_str("address family or transport not assigned"),
            Self::BadVersion => f.write_str("a binary header, but not of version 2"),
            Self::NoHeader => f.write_str("not a PROXY header"),
            Self::TooLong { max } => write!(f, "header longer than {max} bytes"),
            Self::TooShort => f.write_str("header too short for its addresses"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn proxied(transport: Transport, source: &str, destination: &str) -> Header {
        Header::Proxied {
            transport,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    fn tcp(source: &str, destination: &str) -> Header {
        proxied(Transport::Stream, source, destination)
    }

    fn v1(header: &Header) -> Vec<u8> {
        let mut out = Vec::new();
        encode_v1(header, &mut out);
        out
    }

    fn v2(header: &Header) -> Vec<u8> {
        let mut out = Vec::new();
        encode_v2(header, &mut out);
        out
    }

    /// A header of version 2 whose length is that of `block`.
    fn binary(command: u8, protocol: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [V2_SIGNATURE, &[command, protocol], &length, block].concat()
    }

    /// Checks a header: it is found as soon as all of it is there, and what follows is left alone.
    fn check(bytes: &[u8], header: Header) {
        let stream = [bytes, b"\r\n\r\n\0PROXY "].concat();
        for len in 0..=stream.len() {
            let expected = (len >= bytes.len()).then_some((bytes.len(), header));
            assert_eq!(decode(&stream[..len]), Ok(expected), "{len} of {bytes:?}");
        }
    }

    /// Checks that bytes are refused with the last of them and no earlier, whatever follows.
    fn check_refused(bytes: &[u8], error: Error) {
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len]), Ok(None), "{len} of {bytes:?}");
        }
        for behind in [&b""[..], b"\r\n", b"PROXY UNKNOWN\r\n", &[0; MAX_HEADER]] {
            let stream = [bytes, behind].concat();
            assert_eq!(decode(&stream), Err(error), "{bytes:?} and {behind:?}");
        }
    }

    #[test]
    fn sizes() {
        assert!(size_of::<Error>() <= 16);
    }

    #[test]
    fn lines_of_the_specification() {
        check(
            b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
            tcp("192.168.0.1:56324", "192.168.0.11:443"),
        );
        check(
            b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            tcp("255.255.255.255:65535", "255.255.255.255:65535"),
        );
        let most = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let address = format!("[{most}]:65535");
        let line = format!("PROXY TCP6 {most} {most} 65535 65535\r\n");
        assert_eq!(line.len(), 104);
        check(line.as_bytes(), tcp(&address, &address));
        check(b"PROXY UNKNOWN\r\n", Header::Unknown);
        let line = format!("PROXY UNKNOWN {most} {most} 65535 65535\r\n");
        assert_eq!(line.len(), V1_MAX);
        check(line.as_bytes(), Header::Unknown);
    }

    #[test]
    fn other_lines() {
        check(
            b"PROXY TCP4 0.0.0.0 10.0.0.1 0 1\r\n",
            tcp("0.0.0.0:0", "10.0.0.1:1"),
        );
        check(
            b"PROXY TCP6 2001:DB8::1 :: 1 2\r\n",
            tcp("[2001:db8::1]:1", "[::]:2"),
        );
        check(
            b"PROXY TCP6 0001::00 ::ffff:10.0.0.1 1 2\r\n",
            tcp("[1::]:1", "[::ffff:10.0.0.1]:2"),
        );
        check(b"PROXY UNKNOWN \xFF  any\0thing\r\n", Header::Unknown);
    }

    #[test]
    fn malformed_lines() {
        for line in [
            &b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"[..],
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r",
            b"PROXY TCP4 1.2.3.4\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4\r1",
            b"PROXY TCP4 \r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
            b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1  2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 \xFF 2\r\n",
            b"PROXY UNKNOWN\n",
            b"PROXY UNKNOWN any\n",
            b"PROXY UNKNOWN any\rt",
            b"PROXY UNKNOWNS\r\n",
        ] {
            check_refused(line, Error::BadLine);
        }
    }

    #[test]
    fn malformed_addresses() {
        for address in [
            "",
            "1",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "01.2.3.4",
            "1.2.3.04",
            "1.2.3.-4",
            "1.2.3.0x4",
            "1.2.3.4\t",
            "::1",
            "::ffff:1.2.3.4",
            "localhost",
            "1.2.3.4:1",
        ] {
            for pair in [format!("{address} 1.2.3.4"), format!("1.2.3.4 {address}")] {
                let line = format!("PROXY TCP4 {pair} 1 2\r\n");
                check_refused(line.as_bytes(), Error::BadAddress);
            }
        }
        for address in [
            "",
            "1.2.3.4",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9",
            "1::2::3",
            "12345::",
            "::g",
            "[::1]",
            "::1%1",
            ":::",
        ] {
            for pair in [format!("{address} ::1"), format!("::1 {address}")] {
                let line = format!("PROXY TCP6 {pair} 1 2\r\n");
                check_refused(line.as_bytes(), Error::BadAddress);
            }
        }
    }

    #[test]
    fn malformed_ports() {
        for port in [
            "",
            "+1",
            "-1",
            "+0",
            "00",
            "01",
            "0x1",
            "1.0",
            "65536",
            "99999999999",
            "http",
            "1\t",
            "\u{661}",
        ] {
            for pair in [format!("{port} 2"), format!("1 {port}")] {
                let line = format!("PROXY TCP4 1.2.3.4 1.2.3.4 {pair}\r\n");
                check_refused(line.as_bytes(), Error::BadPort);
            }
        }
    }

    #[test]
    fn lines_too_long() {
        let too_long = Error::TooLong { max: 107 };
        for start in [V1_TCP4, V1_TCP6, b"PROXY UNKNOWN "] {
            let mut line = start.to_vec();
            line.resize(V1_MAX - 1, b'f');
            check_refused(&line, too_long);
        }
    }

    #[test]
    fn bytes_that_begin_no_header() {
        for bytes in [
            &b"G"[..],
            b"\n",
            b"PO",
            b"PROXY\r",
            b"PROXY  ",
            b"PROXY t",
            b"PROXY TCP5",
            b"PROXY TCP4\r",
            b"PROXY UNI",
            b"\r\n\r\n\r",
            b"\r\n\r\n\0\r\nQUIT\r",
        ] {
            check_refused(bytes, Error::NoHeader);
        }
    }

    #[test]
    fn blocks_of_the_specification() {
        const V4: &[u8] = &[192, 168, 0, 1, 192, 168, 0, 11, 0xDC, 0x04, 0x01, 0xBB];
        const V6: &[u8] = b"\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x01\
            \x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x02\xDC\x04\x01\xBB";
        let (source, destination) = ("192.168.0.1:56324", "192.168.0.11:443");
        check(&binary(0x21, 0x11, V4), tcp(source, destination));
        let udp = proxied(Transport::Datagram, source, destination);
        check(&binary(0x21, 0x12, V4), udp);
        let (source, destination) = ("[2001:db8::1]:56324", "[2001:db8::2]:443");
        check(&binary(0x21, 0x21, V6), tcp(source, destination));
        let udp = proxied(Transport::Datagram, source, destination);
        check(&binary(0x21, 0x22, V6), udp);
        for protocol in [0x31, 0x32] {
            check(&binary(0x21, protocol, &[b'/'; 216]), Header::Unknown);
        }
    }

    #[test]
    fn blocks_without_addresses() {
        for block in [&b""[..], b"x", &[0xFF; 300]] {
            for protocol in [0x00, 0x01, 0x02, 0x10, 0x20, 0x30] {
                check(&binary(0x21, protocol, block), Header::Unknown);
            }
            for protocol in [0x00, 0x11, 0x21, 0x31, 0xFF] {
                check(&binary(0x20, protocol, block), Header::Local);
            }
        }
    }

    #[test]
    fn malformed_blocks() {
        for version in [0x00, 0x11, 0x30, 0xF1] {
            check_refused(&binary(version, 0, b""), Error::BadVersion);
        }
        for command in [0x22, 0x2F] {
            check_refused(&binary(command, 0, b""), Error::BadCommand);
        }
        for protocol in [0x03, 0x0F, 0x13, 0x23, 0x33, 0x40, 0x41, 0xF1, 0xFF] {
            check_refused(&binary(0x21, protocol, b""), Error::BadProtocol);
        }
    }

    #[test]
    fn lengths() {
        let fixed = |protocol: u8, length: u16| {
            let mut header = binary(0x21, protocol, b"");
            header[14..].copy_from_slice(&length.to_be_bytes());
            header
        };
        for (protocol, least) in [(0x11, 12), (0x12, 12), (0x21, 36), (0x22, 36), (0x31, 216)] {
            for length in [0, least - 1] {
                check_refused(&fixed(protocol, length), Error::TooShort);
            }
            assert_eq!(decode(&fixed(protocol, least)), Ok(None));
        }
        for protocol in [0x00, 0x11, 0x21, 0x31] {
            assert_eq!(decode(&fixed(protocol, 4096 - 16)), Ok(None));
            for length in [4096 - 15, u16::MAX] {
                let too_long = Error::TooLong { max: 4096 };
                check_refused(&fixed(protocol, length), too_long);
            }
        }
        check(&binary(0x21, 0, &[0; 4096 - 16]), Header::Unknown);
    }

    #[test]
    fn encoded() {
        let header = tcp("192.168.0.1:56324", "192.168.0.11:443");
        let line = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n";
        assert_eq!(v1(&header), line);
        assert_eq!(
            v2(&header),
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C\xC0\xA8\0\x01\xC0\xA8\0\x0B\xDC\x04\x01\xBB"
        );
        assert_eq!(v2(&Header::Local), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
        assert_eq!(v2(&Header::Unknown), b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0");
        let udp = proxied(Transport::Datagram, "10.0.0.1:1", "10.0.0.2:2");
        for header in [Header::Local, Header::Unknown, udp] {
            assert_eq!(v1(&header), b"PROXY UNKNOWN\r\n");
        }
        let mut out = b"before".to_vec();
        encode_v1(&header, &mut out);
        encode_v2(&header, &mut out);
        assert_eq!(out, [&b"before"[..], line, &v2(&header)].concat());
    }

    #[test]
    fn addresses_told() {
        let header = tcp("10.0.0.1:1", "10.0.0.2:2");
        assert_eq!(header.source(), "10.0.0.1:1".parse().ok());
        assert_eq!(header.destination(), "10.0.0.2:2".parse().ok());
        for header in [Header::Local, Header::Unknown] {
            assert_eq!((header.source(), header.destination()), (None, None));
        }
    }

    #[test]
    fn errors_say_why() {
        let too_long = Error::TooLong { max: 107 };
        assert_eq!(too_long.to_string(), "header longer than 107 bytes");
        assert_eq!(Error::BadPort.to_string(), "not a port in plain decimal");
    }

    proptest! {
        #[test]
        fn round_trip(
            ips: (IpAddr, IpAddr),
            ports: (u16, u16),
            is_stream: bool,
            tlvs in vec(any::<u8>(), 0..50),
        ) {
            let transport = if is_stream { Transport::Stream } else { Transport::Datagram };
            let of = |ips: (IpAddr, IpAddr)| Header::Proxied {
                transport,
                source: SocketAddr::new(ips.0, ports.0),
                destination: SocketAddr::new(ips.1, ports.1),
            };
            let sent = of(ips);
            let received = if ips.0.is_ipv4() == ips.1.is_ipv4() {
                sent
            } else {
                of((to_ipv6(ips.0).into(), to_ipv6(ips.1).into()))
            };
            check(&v1(&sent), if is_stream { received } else { Header::Unknown });

            let mut bytes = v2(&sent);
            check(&bytes, received);
            bytes.extend_from_slice(&tlvs);
            bytes[15] += tlvs.len() as u8;
            check(&bytes, received);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(
            start in prop::sample::select(vec![b"".as_slice(), V1_TCP4, V1_TCP6, V2_SIGNATURE]),
            cut in 0..20_usize,
            behind in vec(any::<u8>(), 0..300),
        ) {
            let bytes = [&start[..start.len().min(cut)], &behind].concat();
            if let Ok(Some((used, header))) = decode(&bytes) {
                prop_assert!(used <= bytes.len());
                check(&bytes[..used], header);
            }
        }

        #[test]
        fn any_block_is_decoded_or_refused(
            command in 0x1F..0x23_u8,
            protocol in 0..0x40_u8,
            block in vec(any::<u8>(), 0..300),
        ) {
            let bytes = binary(command, protocol, &block);
            match decode(&bytes) {
                Ok(Some((used, header))) => {
                    prop_assert_eq!(used, bytes.len());
                    check(&bytes, header);
                }
                Ok(None) => prop_assert!(false, "it is complete"),
                Err(error) => check_refused(&bytes[..V2_FIXED], error),
            }
        }

        #[test]
        fn any_line_is_decoded_or_refused(
            line in "PROXY (TCP4|TCP6|UNKNOWN)[ 0-9a-f:.\r\n]{0,99}\r\n",
        ) {
            match decode(line.as_bytes()) {
                Ok(Some((used, header))) => check(&line.as_bytes()[..used], header),
                Ok(None) => prop_assert!(false, "it is complete"),
                Err(_) => {}
            }
        }
    }
}
