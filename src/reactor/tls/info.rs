//! What is known of a TLS connection.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::{CommonState, HandshakeKind, ProtocolVersion};

/// A version of TLS. There are none below: RFC 8996.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}

/// What both sides of a connection have agreed on, and who the peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The version.
    pub version: Version,
    /// The name of the cipher suite, as IANA lists it: `TLS13_AES_128_GCM_SHA256`.
    pub cipher_suite: String,
    /// The keys came of a ticket from an earlier connection: RFC 8446, section 2.2.
    pub resumed: bool,
    /// The application protocol that was agreed on: ALPN, RFC 7301.
    pub alpn: Option<Vec<u8>>,
    /// The name of the server: what a client has asked for (SNI, RFC 6066), or what we have.
    pub server_name: Option<String>,
    /// The peer's certificates in DER, its own first. Those of a server always; of a client if it
    /// was asked for them.
    pub peer_certificates: Vec<Vec<u8>>,
}

impl Info {
    pub(super) fn of(common: &CommonState, server_name: Option<&str>) -> Self {
        let certificates = common.peer_certificates().unwrap_or_default();
        Self {
            version: match common.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => Version::Tls12,
                _ => Version::Tls13,
            },
            cipher_suite: common
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or_default()
                .to_owned(),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            alpn: common.alpn_protocol().map(<[u8]>::to_vec),
            server_name: server_name.map(str::to_owned),
            peer_certificates: certificates
                .iter()
                .map(|certificate: &CertificateDer<'_>| certificate.to_vec())
                .collect(),
        }
    }
}
