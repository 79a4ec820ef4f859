//! The far end: rustls over a socket of the standard library, by hand, so that a test decides which
//! bytes leave when.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, Connection, Error, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};

use crate::certs::{CERTS, Pair};
use crate::support::client;

/// Both versions of TLS, alone.
pub(crate) const VERSIONS: [&[&SupportedProtocolVersion]; 2] = [&[&TLS12], &[&TLS13]];

/// How a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Reset,
}

/// One far end.
#[derive(Debug)]
pub(crate) struct Far {
    pub(crate) stream: TcpStream,
    pub(crate) tls: Connection,
    /// Plaintext that has come.
    pub(crate) received: Vec<u8>,
    /// The near end has said by TLS that nothing follows.
    pub(crate) notified: bool,
    pub(crate) end: Option<End>,
    pub(crate) error: Option<Error>,
    /// Records that the kernel has not taken yet.
    unsent: Vec<u8>,
}

impl Far {
    fn new(stream: TcpStream, tls: Connection) -> Self {
        Self {
            stream,
            tls,
            received: Vec::new(),
            notified: false,
            end: None,
            error: None,
            unsent: Vec::new(),
        }
    }

    /// A client that has connected and said nothing.
    pub(crate) fn client(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self::new(client(address), tls.into())
    }

    /// A server of somebody who has connected.
    pub(crate) fn server(stream: TcpStream, config: &Arc<ServerConfig>) -> Self {
        let tls = ServerConnection::new(Arc::clone(config)).unwrap();
        Self::new(stream, tls.into())
    }

    /// The records that are to leave next, which the test takes it upon itself to send.
    pub(crate) fn take_unsent(&mut self) -> Vec<u8> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.unsent).unwrap();
        }
        std::mem::take(&mut self.unsent)
    }

    /// Sends what there is to be sent, as far as the kernel takes it.
    pub(crate) fn push(&mut self) {
        self.unsent = self.take_unsent();
        let sent = self.write(self.unsent.len());
        self.unsent.drain(..sent);
    }

    /// The same, at most so many bytes.
    pub(crate) fn push_some(&mut self, most: usize) -> usize {
        self.unsent = self.take_unsent();
        let sent = self.write(most.min(self.unsent.len()));
        self.unsent.drain(..sent);
        sent
    }

    fn write(&mut self, most: usize) -> usize {
        let mut sent = 0;
        while sent < most {
            match self.stream.write(&self.unsent[sent..most]) {
                Ok(more) => sent += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The near end has closed; what it said before is still to be read.
                Err(_) => return most,
            }
        }
        sent
    }

    /// Bytes that the kernel has not taken yet.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Reads and decrypts what is there.
    pub(crate) fn pull(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        while self.pull_into(&mut buffer) {}
    }

    /// Reads once; false if there was nothing.
    pub(crate) fn pull_into(&mut self, buffer: &mut [u8]) -> bool {
        if self.end.is_some() {
            return false;
        }
        match self.stream.read(buffer) {
            Ok(0) => self.end = Some(End::Fin),
            Ok(read) => {
                self.hear(&buffer[..read]);
                return true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.end = Some(End::Reset),
        }
        false
    }

    /// Decrypts what was received.
    pub(crate) fn hear(&mut self, mut records: &[u8]) {
        while !records.is_empty() && self.error.is_none() && !self.notified {
            let read = self.tls.read_tls(&mut records).unwrap();
            assert_ne!(read, 0, "a peer that goes on after its end");
            match self.tls.process_new_packets() {
                Ok(state) => {
                    let (from, more) = (self.received.len(), state.plaintext_bytes_to_read());
                    self.received.resize(from + more, 0);
                    let plain = &mut self.received[from..];
                    self.tls.reader().read_exact(plain).unwrap();
                    self.notified |= state.peer_has_closed();
                }
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// Reads and sends what there is.
    pub(crate) fn step(&mut self) {
        self.pull();
        self.push();
    }

    /// Encrypts `data`, which leaves with the next step.
    pub(crate) fn say(&mut self, data: &[u8]) {
        self.tls.set_buffer_limit(None);
        self.tls.writer().write_all(data).unwrap();
    }

    /// Encrypts data and returns the records, which the test takes it upon itself to send.
    pub(crate) fn records(&mut self, data: &[u8]) -> Vec<u8> {
        self.say(data);
        self.take_unsent()
    }
}

/// Writes bytes that surely fit.
pub(crate) fn post(mut stream: &TcpStream, data: &[u8]) {
    stream.write_all(data).unwrap();
}

/// A client's configuration that trusts the authority of these tests.
pub(crate) fn client_config() -> ClientConfig {
    client_of(&[&TLS13, &TLS12], None)
}

/// The same with these versions, and with a certificate of the client's own.
pub(crate) fn client_of(
    versions: &[&'static SupportedProtocolVersion],
    own: Option<&Pair>,
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(CERTS.authority.pair.roots());
    match own {
        None => builder.with_no_client_auth(),
        Some(pair) => builder
            .with_client_auth_cert(pair.chain(), pair.private_key())
            .unwrap(),
    }
}

/// A server's configuration with these versions and certificate.
pub(crate) fn server_of(
    versions: &[&'static SupportedProtocolVersion],
    pair: &Pair,
) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(pair.chain(), pair.private_key())
        .unwrap();
    config.ticketer = ring::Ticketer::new().unwrap();
    config
}

/// A server of the test's own.
pub(crate) fn server_config() -> ServerConfig {
    server_of(&[&TLS13, &TLS12], &CERTS.server)
}
