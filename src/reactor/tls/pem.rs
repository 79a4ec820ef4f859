//! Certificates and keys out of PEM files, with errors that say what is wrong with which file.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// A chain of certificates, that of the server itself first.
pub(super) fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let text = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if all.is_empty() => Err(bad(
            path,
            "has no certificate: a PEM file with `BEGIN CERTIFICATE` is wanted",
        )),
        Ok(all) => Ok(all),
        Err(error) => Err(bad(path, &format!("is no PEM file: {error}"))),
    }
}

/// A private key, which must not be encrypted: nobody is there to type a passphrase.
fn private_key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    let text = read(path)?;
    if is_encrypted(&text) {
        let what = format!(
            "is encrypted: decrypt it first, `openssl pkey -in {} -out key.pem`",
            path.display()
        );
        return Err(bad(path, &what));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        bad(
            path,
            "has no private key: a PEM file with `BEGIN PRIVATE KEY` is wanted",
        )
    })
}

/// A chain of certificates and the key to its first one, which go together.
pub(super) fn certified(chain: &Path, key: &Path) -> io::Result<Arc<CertifiedKey>> {
    let (certificates, private) = (certificates(chain)?, private_key(key)?);
    let provider = ring::default_provider();
    CertifiedKey::from_der(certificates, private, &provider)
        .map(Arc::new)
        .map_err(|error| {
            let what = format!("does not go with {}: {error}", chain.display());
            bad(key, &what)
        })
}

/// Certificates of those who are trusted to sign others.
pub(super) fn authorities(path: &Path) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| {
            bad(
                path,
                &format!("has a certificate that is of no use: {error}"),
            )
        })?;
    }
    Ok(store)
}

/// By its label (RFC 7468, section 11), or by the field that OpenSSL once put behind it.
fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.lines().any(|line| {
        line.contains("BEGIN ENCRYPTED PRIVATE KEY") || line.starts_with("Proc-Type: 4,ENCRYPTED")
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        let text = format!("cannot read {}: {error}", path.display());
        io::Error::new(error.kind(), text)
    })
}

fn bad(path: &Path, what: &str) -> io::Error {
    let text = format!("{} {what}", path.display());
    io::Error::new(io::ErrorKind::InvalidData, text)
}
