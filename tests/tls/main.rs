//! TLS over real sockets.
#![cfg(feature = "tls")]

mod echoed;
