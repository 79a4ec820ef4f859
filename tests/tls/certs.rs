//! Certificates of these tests, made anew for each process, and the files that they are in.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A chain of certificates and the key to its first one, as PEM files.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Pair {
    fn write(name: &str, chain: &str, key: &KeyPair) -> Self {
        Self {
            cert: file(&format!("{name}.pem"), chain),
            key: file(&format!("{name}.key"), &key.serialize_pem()),
        }
    }

    /// The chain in DER.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        let chain = CertificateDer::pem_file_iter(&self.cert).unwrap();
        chain.map(Result::unwrap).collect()
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(&self.key).unwrap()
    }

    /// As those have it who trust whoever these certificates are of.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        for certificate in self.chain() {
            roots.add(certificate).unwrap();
        }
        roots
    }
}

/// Somebody who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pair: Pair,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let params = Self::params(name);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        Self {
            pair: Pair::write(name, &cert.pem(), &key),
            pem: cert.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    /// A certificate for these names.
    pub(crate) fn sign(&self, file: &str, names: &[&str]) -> Pair {
        self.sign_as(file, names, |_| {})
    }

    /// A certificate of which the test says how it is.
    pub(crate) fn sign_as(
        &self,
        file: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Pair::write(file, &cert.pem(), &key)
    }

    /// A certificate signed by one that this authority has signed; both are shown.
    fn sign_through(&self, file: &str) -> Pair {
        let params = Self::params("between");
        let key = KeyPair::generate().unwrap();
        let between = params.signed_by(&key, &self.issuer).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["member".to_owned()]).unwrap();
        let own = own.signed_by(&key, &issuer).unwrap();
        Pair::write(file, &format!("{}{}", own.pem(), between.pem()), &key)
    }

    /// A certificate with this many others behind it, each a good one.
    pub(crate) fn sign_long(&self, file: &str, others: usize) -> Pair {
        let pair = self.sign(file, &["member"]);
        let own = fs::read_to_string(&pair.cert).unwrap();
        fs::write(&pair.cert, own + &self.pem.repeat(others)).unwrap();
        pair
    }
}

/// What most tests need.
pub(crate) struct Certs {
    /// The authority that both sides trust.
    pub(crate) authority: Authority,
    /// One that nobody trusts.
    pub(crate) stranger: Authority,
    /// The server's: for `localhost` and 127.0.0.1.
    pub(crate) server: Pair,
    /// A client's.
    pub(crate) member: Pair,
    /// A client's, by way of another authority.
    pub(crate) deputy: Pair,
}

pub(crate) static CERTS: LazyLock<Certs> = LazyLock::new(|| {
    let authority = Authority::new("authority");
    Certs {
        server: authority.sign("server", &["localhost", "127.0.0.1"]),
        member: authority.sign("member", &["member"]),
        deputy: authority.sign_through("deputy"),
        stranger: Authority::new("stranger"),
        authority,
    }
});

/// Valid until some years ago.
pub(crate) fn expire(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
}

/// Good for servers and for nothing else.
pub(crate) fn serve_only(params: &mut CertificateParams) {
    params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
}

/// A certificate that vouches for itself.
pub(crate) fn self_signed(file: &str, names: &[&str]) -> Pair {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(names).unwrap();
    let cert = cert.self_signed(&key).unwrap();
    Pair::write(file, &cert.pem(), &key)
}

/// A file of this process.
pub(crate) fn file(name: &str, content: &str) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, content).unwrap();
    path
}

/// The folder of this process, which is made when it is first asked for.
pub(crate) fn folder() -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let folder = folder.join(format!("tls-{}", std::process::id()));
        // A process of before may have had the same number, and left its own.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    });
    FOLDER.clone()
}
