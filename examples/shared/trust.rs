//! TLS for the clients among the examples: whom to trust, and what to show.

use std::io;
use std::path::PathBuf;

use clap::Args;
use switchboard::tls::Client;

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// By TLS, trust the authorities in this PEM file and nobody else. Default: whom the system
    /// trusts.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,
    /// DANGEROUS: by TLS, take whatever certificate the server has. Whoever sits on the way can
    /// then read and change everything. For trying things out on one machine only.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Show this certificate to a server that asks for one: a PEM file.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The key to --cert, a PEM file that is not encrypted.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl Options {
    /// Where `SSLKEYLOGFILE` is set, keys are written to the file that it names.
    pub(crate) fn client(&self) -> io::Result<Client> {
        let client = match &self.ca {
            _ if self.insecure => Client::dangerously_trusting_anybody(),
            Some(authorities) => Client::authorities(authorities)?,
            None => Client::platform()?,
        };
        let client = client.key_log(true);
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => client.identity(cert, key),
            _ => Ok(client),
        }
    }
}
