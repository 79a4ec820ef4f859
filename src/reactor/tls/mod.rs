//! TLS, under every protocol: RFC 8446, by [rustls](https://docs.rs/rustls).
//!
//! A [`Server`] goes to a [`Listen`](crate::Listen), a [`Client`] to a [`Dial`](crate::Dial).
//! Drivers notice nothing: a connection is opened when its handshake is done, what they read is
//! plaintext, and what they send is encrypted when it leaves. [`Hub::tls`](crate::Hub::tls) says
//! what was agreed on, as an [`Info`].
//!
//! Whoever knows Python's `ssl.wrap_socket` finds its arguments here:
//!
//! | there | here |
//! |---|---|
//! | `keyfile`, `certfile` | [`Server::files`], [`Client::identity`] |
//! | `ca_certs` | [`Client::authorities`], [`Server::client_auth`] |
//! | `cert_reqs` | [`ClientAuth`]; a server's certificate is always looked at, but by [`Client::dangerously_trusting_anybody`] |
//! | `ssl_version` | [`Server::min_version`]; there is nothing below 1.2 |
//! | `ciphers` | [`Server::cipher_suites`] |
//! | `server_side` | a [`Server`] or a [`Client`] |
//! | `do_handshake_on_connect` | always, a few per turn: [`Config::handshake_budget`](crate::Config::handshake_budget) |
//! | `suppress_ragged_eofs` | [`Server::tolerate_truncation`] |

mod client;
mod info;
mod pem;
mod server;
mod session;

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, Error, InvalidMessage, KeyLogFile, SupportedProtocolVersion};

pub use client::Client;
pub use info::{Info, Version};
pub use server::{ClientAuth, Server};

pub(crate) use server::Acceptance;
pub(crate) use session::Session;

/// The cipher suites of these names, or all.
fn provider(names: &[String]) -> io::Result<CryptoProvider> {
    let mut provider = ring::default_provider();
    if names.is_empty() {
        return Ok(provider);
    }
    let all = std::mem::take(&mut provider.cipher_suites);
    for name in names {
        let found = all
            .iter()
            .find(|suite| suite.suite().as_str() == Some(name));
        provider.cipher_suites.push(*found.ok_or_else(|| {
            let known: Vec<_> = all
                .iter()
                .filter_map(|suite| suite.suite().as_str())
                .collect();
            let (name, known) = (name.escape_debug(), known.join(", "));
            let text = format!("`{name}` is no cipher suite; there are {known}");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?);
    }
    Ok(provider)
}

static ALL: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// This version and those above.
fn versions(lowest: Version) -> &'static [&'static SupportedProtocolVersion] {
    match lowest {
        Version::Tls12 => &ALL,
        Version::Tls13 => &ALL[..1],
    }
}

/// What writes keys to the file that `SSLKEYLOGFILE` names. Rustls says nothing if it cannot.
fn key_log() -> io::Result<Arc<KeyLogFile>> {
    // It makes the file, which nobody else may read.
    let log = KeyLogFile::new();
    if let Some(path) = std::env::var_os("SSLKEYLOGFILE").filter(|path| !path.is_empty()) {
        let opened = OpenOptions::new().append(true).open(&path);
        opened.map_err(|error| {
            let path = Path::new(&path).display();
            let text = format!("cannot write keys to `{path}`, as SSLKEYLOGFILE asks: {error}");
            io::Error::new(error.kind(), text)
        })?;
    }
    Ok(Arc::new(log))
}

/// Why a handshake has failed, with what rustls leaves to be guessed.
fn explained(error: Error) -> io::Error {
    let hint = match &error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "it may not speak TLS at all",
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "no authority that is trusted here has signed it"
        }
        _ => return io::Error::new(io::ErrorKind::InvalidData, error),
    };
    io::Error::new(io::ErrorKind::InvalidData, format!("{error}: {hint}"))
}

fn bad_config(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("TLS: {error}"))
}
