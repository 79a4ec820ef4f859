//! TLS for the servers among the examples: which certificate, one that is made on the spot, and
//! reading it again without a restart.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::Args;
use switchboard::signals::{self, SIGHUP};
use switchboard::tls::{self, ClientAuth};
use switchboard::{DriverId, Listen, Listening, Reactor};

/// What is spoken where HTTP is (ALPN).
pub(crate) const HTTP: &[&str] = &["http/1.1", "http/1.0"];

/// Whom a certificate is for that is made on the spot.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

#[derive(Args)]
pub(crate) struct Options {
    /// Speak TLS with the certificate in this PEM file, followed by those between it and a root.
    /// SIGHUP has all of these files read again: connections stay, new ones see what is new.
    #[arg(long, value_name = "FILE", group = "certificate", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The key to --cert, a PEM file that is not encrypted.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Speak TLS with a certificate for localhost, 127.0.0.1 and ::1 that is made now. It lies in a
    /// temporary folder until the server ends; its path is printed, as for `curl --cacert`.
    #[arg(long, group = "certificate")]
    pub(crate) self_signed: bool,
    /// Ask clients for a certificate, which one of the authorities in this PEM file has to have
    /// signed.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    client_ca: Option<PathBuf>,
    /// Refuse clients that have none.
    #[arg(long, requires = "client_ca")]
    require_client_cert: bool,
}

impl Options {
    /// What TLS is to be spoken with, if that is wanted.
    pub(crate) fn files(&self) -> io::Result<Option<Rc<Files>>> {
        let (cert, key, folder) = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => (cert.clone(), key.clone(), None),
            _ if self.self_signed => {
                let folder = Folder::new()?;
                let (cert, key) = make(&folder.0)?;
                println!("certificate {}", cert.display());
                (cert, key, Some(folder))
            }
            _ => return Ok(None),
        };
        let auth = match self.require_client_cert {
            true => ClientAuth::Required,
            false => ClientAuth::Optional,
        };
        let files = Files {
            cert,
            key,
            clients: self.client_ca.clone().map(|file| (file, auth)),
            _folder: folder,
        };
        // Before anything is listened to.
        files.server(&[])?;
        Ok(Some(Rc::new(files)))
    }
}

/// What TLS is spoken with.
pub(crate) struct Files {
    cert: PathBuf,
    key: PathBuf,
    clients: Option<(PathBuf, ClientAuth)>,
    /// Goes with this, if the files were made.
    _folder: Option<Folder>,
}

impl Files {
    /// Listens with TLS. On SIGHUP the files are read again; if they are no good then, that is
    /// logged, and all stays as it was.
    pub(crate) fn listen<A: 'static>(
        self: &Rc<Self>,
        reactor: &mut Reactor<A>,
        listen: Listen,
        driver: DriverId,
        alpn: &'static [&'static str],
    ) -> io::Result<Listening> {
        let server = self.server(alpn)?;
        let listening = reactor.listen(listen.tls(server), driver)?;
        let (files, listener) = (Rc::clone(self), listening.id);
        signals::on(reactor, &[SIGHUP], move |_, hub, _| {
            let server = files.server(alpn);
            match server.and_then(|server| hub.set_tls(listener, &server)) {
                Ok(()) => log::info!("the certificate was read again"),
                Err(error) => log::error!("the certificate stays as it was: {error}"),
            }
        })?;
        Ok(listening)
    }

    /// Where `SSLKEYLOGFILE` is set, keys are written to the file that it names.
    fn server(&self, alpn: &[&str]) -> io::Result<tls::Server> {
        let server = tls::Server::files(&self.cert, &self.key)?;
        let server = server.alpn(alpn).key_log(true);
        match &self.clients {
            Some((authorities, auth)) => server.client_auth(authorities, *auth),
            None => Ok(server),
        }
    }
}

/// Makes a certificate that vouches for itself, and its key.
fn make(folder: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let made = rcgen::generate_simple_self_signed(NAMES.map(str::to_owned).to_vec())
        .map_err(io::Error::other)?;
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    fs::write(&cert, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    Ok((cert, key))
}

/// A temporary folder that nobody else can look into.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        // One that is there belongs to somebody else, or to a server that was killed.
        let mut number = 0_u32;
        loop {
            let name = format!("switchboard-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => {
                    let text = format!("cannot create {}: {error}", path.display());
                    return Err(io::Error::new(error.kind(), text));
                }
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            log::warn!("{} is left behind: {error}", self.0.display());
        }
    }
}
