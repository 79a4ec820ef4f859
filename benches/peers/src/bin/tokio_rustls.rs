//! An echo server by tokio-rustls on tokio's current-thread runtime: one task per
//! connection, which reads into its own buffer, writes all of it back and flushes.
//!
//! Run: `cargo run --release --bin tokio_rustls -- 127.0.0.1:0`
//! (prints `listening tls 127.0.0.1:PORT` once connections are accepted).
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::sync::Arc;

use anyhow::Context;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Of each connection: that of `tokio::io::copy`, by which the crate's own example
/// echoes. A loop has the same effect, without the lock of `tokio::io::split`.
const BUFFER: usize = 8 * 1024;

/// As rustls has it by default, but for tickets that the server need not remember:
/// switchboard's are like that.
fn acceptor() -> anyhow::Result<TlsAcceptor> {
    let identity = peers::tls::identity()?;
    let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![identity.cert.der().clone()], PrivateKeyDer::Pkcs8(key))?;
    config.ticketer = ring::Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn echo(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..read]).await?;
        stream.flush().await?;
    }
}

async fn serve(address: &str) -> anyhow::Result<()> {
    let acceptor = acceptor()?;
    let listener = TcpListener::bind(address).await.context("cannot listen")?;
    println!("listening tls {}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            // A connection's failure is its own: the peer has gone.
            Ok((stream, _)) => drop(tokio::spawn(echo(stream, acceptor.clone()))),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error).context("cannot accept"),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let address = std::env::args()
        .nth(1)
        .context("usage: tokio_rustls ADDRESS:PORT")?;
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(serve(&address))
}
