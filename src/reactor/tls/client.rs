//! How a dial speaks TLS.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::info::Version;
use super::session::Session;
use super::{bad_config, key_log, pem, provider, versions};

/// TLS for dials: whom we trust, and what we show.
///
/// The certificate of a server has to be valid now, for the name that was dialled, and signed by
/// somebody whom we trust.
///
/// # Examples
///
/// ```no_run
/// use switchboard::{Dial, tls};
///
/// let client = tls::Client::platform()?.alpn(&["http/1.1"]);
/// let dial = Dial::tcp("example.org:443").tls(&client, "example.org")?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Client {
    trust: Trust,
    identity: Option<Arc<CertifiedKey>>,
    alpn: Vec<Vec<u8>>,
    min_version: Version,
    cipher_suites: Vec<String>,
    key_log: bool,
    tolerant: bool,
    /// What was made of all this, so that dials share it, and the tickets of their sessions.
    built: Arc<OnceLock<Arc<ClientConfig>>>,
}

#[derive(Clone)]
enum Trust {
    Roots(Arc<RootCertStore>),
    Anybody,
}

impl Client {
    /// Trusts whom the system trusts. The first call reads files, and may take some milliseconds.
    ///
    /// # Errors
    ///
    /// When the system has no certificates that could be read.
    pub fn platform() -> io::Result<Self> {
        // One for all, so that dials without a client of their own share its tickets, too.
        static PLATFORM: OnceLock<Client> = OnceLock::new();
        if let Some(client) = PLATFORM.get() {
            return Ok(client.clone());
        }
        let loaded = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(loaded.certs);
        if added == 0 {
            let why = loaded
                .errors
                .first()
                .map_or_else(String::new, |error| format!(": {error}"));
            let text = format!("the system has no certificates of authorities{why}");
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let client = PLATFORM.get_or_init(|| Self::new(Trust::Roots(Arc::new(store))));
        Ok(client.clone())
    }

    /// Trusts whom Mozilla trusts, by a list that is built in.
    pub fn webpki() -> Self {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        Self::new(Trust::Roots(Arc::new(roots)))
    }

    /// Trusts the authorities in a PEM file, and nobody else.
    ///
    /// # Errors
    ///
    /// When it cannot be read or has no certificates.
    pub fn authorities(path: impl AsRef<Path>) -> io::Result<Self> {
        let store = pem::authorities(path.as_ref())?;
        Ok(Self::new(Trust::Roots(Arc::new(store))))
    }

    /// Trusts anybody, whoever it may be. Whoever sits on the way can read and change everything:
    /// for trying things out, and never beyond this machine.
    pub fn dangerously_trusting_anybody() -> Self {
        Self::new(Trust::Anybody)
    }

    fn new(trust: Trust) -> Self {
        Self {
            trust,
            identity: None,
            alpn: Vec::new(),
            min_version: Version::Tls12,
            cipher_suites: Vec::new(),
            key_log: false,
            tolerant: false,
            built: Arc::default(),
        }
    }

    /// Shows this chain of certificates to servers that ask for one: two PEM files.
    ///
    /// # Errors
    ///
    /// As [`Server::files`](super::Server::files).
    pub fn identity(
        mut self,
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> io::Result<Self> {
        self.identity = Some(pem::certified(certificates.as_ref(), key.as_ref())?);
        Ok(self.changed())
    }

    /// Application protocols that we speak, the one that we like best first. Default: none.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        self.changed()
    }

    /// The lowest version that is spoken. Default 1.2.
    #[must_use]
    pub fn min_version(mut self, version: Version) -> Self {
        self.min_version = version;
        self.changed()
    }

    /// Cipher suites that are offered, as [`Server::cipher_suites`](super::Server::cipher_suites).
    #[must_use]
    pub fn cipher_suites(mut self, names: &[&str]) -> Self {
        self.cipher_suites = names.iter().map(|name| (*name).to_owned()).collect();
        self.changed()
    }

    /// Writes keys to the file that `SSLKEYLOGFILE` names. Default: not.
    #[must_use]
    pub fn key_log(mut self, on: bool) -> Self {
        self.key_log = on;
        self.changed()
    }

    /// As [`Server::tolerate_truncation`](super::Server::tolerate_truncation).
    #[must_use]
    pub fn tolerate_truncation(mut self, on: bool) -> Self {
        self.tolerant = on;
        self
    }

    fn changed(mut self) -> Self {
        self.built = Arc::default();
        self
    }

    /// Begins a session with a server of this name, or address.
    pub(crate) fn session(&self, name: &str) -> io::Result<Session> {
        let config = match self.built.get() {
            Some(config) => Arc::clone(config),
            None => {
                let config = Arc::new(self.build()?);
                Arc::clone(self.built.get_or_init(|| config))
            }
        };
        let name = server_name(name)?;
        Session::client(config, name, self.tolerant).map_err(bad_config)
    }

    fn build(&self) -> io::Result<ClientConfig> {
        let provider = Arc::new(provider(&self.cipher_suites)?);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(self.min_version))
            .map_err(bad_config)?;
        let builder = match &self.trust {
            Trust::Roots(roots) => builder.with_root_certificates(Arc::clone(roots)),
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(
                CertifiedKey::clone(identity),
            ))),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        if self.key_log {
            config.key_log = key_log()?;
        }
        Ok(config)
    }
}

/// A name or an address, in brackets or not.
pub(super) fn server_name(name: &str) -> io::Result<ServerName<'static>> {
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    ServerName::try_from(bare.unwrap_or(name).to_owned()).map_err(|_| {
        let text = format!(
            "`{}` is no name that a certificate could be for",
            name.escape_debug()
        );
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

/// Takes whatever certificate it is shown. Signatures are still looked at: that costs nothing, and
/// a server that cannot make one is broken.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("verifies", &matches!(self.trust, Trust::Roots(_)))
            .field("alpn", &self.alpn)
            .field("min_version", &self.min_version)
            .finish_non_exhaustive()
    }
}
