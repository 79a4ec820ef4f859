//! How a listener speaks TLS.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use super::info::Version;
use super::session::Session;
use super::{bad_config, key_log, pem, provider, versions};

/// TLS for a listener: a certificate, its key, and what clients have to show.
///
/// # Examples
///
/// ```no_run
/// use switchboard::{Listen, tls};
///
/// let server = tls::Server::files("cert.pem", "key.pem")?.alpn(&["http/1.1"]);
/// let listen = Listen::tcp("0.0.0.0:443").tls(server);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Server {
    default: Arc<CertifiedKey>,
    names: HashMap<String, Arc<CertifiedKey>>,
    clients: Option<(Arc<RootCertStore>, ClientAuth)>,
    alpn: Vec<Vec<u8>>,
    min_version: Version,
    cipher_suites: Vec<String>,
    key_log: bool,
    handshake_timeout: Duration,
    tolerant: bool,
}

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// One that does not is taken, too. One with a certificate that nobody vouches for is not.
    Optional,
    /// One that does not is refused.
    Required,
}

impl Server {
    /// With a chain of certificates, the server's own first, and the key to that one: two PEM files.
    /// They are for every name that no [other pair](Self::name) is for.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is not what it should be, the key is encrypted, or does not go
    /// with the certificate. The error says which.
    pub fn files(certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self {
            default: pem::certified(certificates.as_ref(), key.as_ref())?,
            names: HashMap::new(),
            clients: None,
            alpn: Vec::new(),
            min_version: Version::Tls12,
            cipher_suites: Vec::new(),
            key_log: false,
            handshake_timeout: Duration::from_secs(10),
            tolerant: false,
        })
    }

    /// Another pair of files, for clients that ask for this name (SNI). `*.example.org` stands for
    /// all names one label longer.
    ///
    /// # Errors
    ///
    /// As [`files`](Self::files).
    pub fn name(
        mut self,
        name: &str,
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> io::Result<Self> {
        let certified = pem::certified(certificates.as_ref(), key.as_ref())?;
        self.names.insert(name.to_ascii_lowercase(), certified);
        Ok(self)
    }

    /// Asks clients for a certificate that one of these authorities, a PEM file, has signed. Default:
    /// they are not asked.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or has no certificates.
    pub fn client_auth(
        mut self,
        authorities: impl AsRef<Path>,
        auth: ClientAuth,
    ) -> io::Result<Self> {
        let store = pem::authorities(authorities.as_ref())?;
        self.clients = Some((Arc::new(store), auth));
        Ok(self)
    }

    /// Application protocols that are spoken here, the one that we like best first. A client that
    /// names some and none of these is refused; one that names none is taken. Default: none.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        self
    }

    /// The lowest version that is spoken. Default 1.2.
    #[must_use]
    pub const fn min_version(mut self, version: Version) -> Self {
        self.min_version = version;
        self
    }

    /// Cipher suites that are taken, by their names: `TLS13_AES_256_GCM_SHA384`. Default: all that
    /// rustls has, none of which is weak. A name that is none is an error when listening begins.
    #[must_use]
    pub fn cipher_suites(mut self, names: &[&str]) -> Self {
        self.cipher_suites = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Writes the keys of each connection to the file that `SSLKEYLOGFILE` names, so that it can be
    /// read along with Wireshark. Default: not.
    #[must_use]
    pub const fn key_log(mut self, on: bool) -> Self {
        self.key_log = on;
        self
    }

    /// How long a client may take from being accepted to the end of the handshake. Default 10 s.
    #[must_use]
    pub const fn handshake_timeout(mut self, patience: Duration) -> Self {
        self.handshake_timeout = patience;
        self
    }

    /// Takes the end of a stream for what it is even if the peer has not said before that nothing
    /// follows (close_notify). By default such a connection ends with
    /// [`CloseReason::Truncated`](crate::CloseReason::Truncated): somebody may have cut it off.
    #[must_use]
    pub const fn tolerate_truncation(mut self, on: bool) -> Self {
        self.tolerant = on;
        self
    }

    /// Puts it together.
    pub(crate) fn build(&self) -> io::Result<Acceptance> {
        let provider = Arc::new(provider(&self.cipher_suites)?);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(self.min_version))
            .map_err(bad_config)?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some((authorities, auth)) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::clone(authorities), provider);
                let verifier = match auth {
                    ClientAuth::Optional => verifier.allow_unauthenticated(),
                    ClientAuth::Required => verifier,
                };
                builder.with_client_cert_verifier(verifier.build().map_err(bad_config)?)
            }
        };
        let names = Arc::new(Names {
            default: Arc::clone(&self.default),
            names: self.names.clone(),
            asked: Mutex::new(None),
        });
        let mut config =
            builder.with_cert_resolver(Arc::clone(&names) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols.clone_from(&self.alpn);
        config.ticketer = ring::Ticketer::new().map_err(bad_config)?;
        if self.key_log {
            config.key_log = key_log()?;
        }
        Ok(Acceptance {
            config: Arc::new(config),
            names,
            timeout: self.handshake_timeout,
            tolerant: self.tolerant,
        })
    }
}

/// What a listener begins sessions with.
#[derive(Clone)]
pub(crate) struct Acceptance {
    config: Arc<ServerConfig>,
    names: Arc<Names>,
    timeout: Duration,
    tolerant: bool,
}

impl Acceptance {
    pub(crate) fn session(&self) -> io::Result<Session> {
        let (config, names) = (Arc::clone(&self.config), Arc::clone(&self.names));
        Session::server(config, names, self.tolerant).map_err(bad_config)
    }

    /// How long a handshake may take.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// Certificates by name.
#[derive(Debug)]
pub(super) struct Names {
    default: Arc<CertifiedKey>,
    names: HashMap<String, Arc<CertifiedKey>>,
    /// What was asked for last.
    asked: Mutex<Option<String>>,
}

impl Names {
    /// The name that was asked for in the handshake that was worked on last.
    pub(super) fn take_asked(&self) -> Option<String> {
        self.asked.lock().ok()?.take()
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let found = name.as_deref().and_then(|name| {
            let wild = || self.names.get(&format!("*.{}", name.split_once('.')?.1));
            self.names.get(name).or_else(wild)
        });
        let found = Arc::clone(found.unwrap_or(&self.default));
        if let Ok(mut asked) = self.asked.lock() {
            *asked = name;
        }
        Some(found)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("names", &self.names.keys())
            .field("alpn", &self.alpn)
            .field("min_version", &self.min_version)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptance")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
