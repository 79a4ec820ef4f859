//! TLS over real sockets, served and dialled, with rustls by hand at the far end: one theme a file.
//! Tests are named after the row that they show, if there is one: `tls1` to `tls8` of what may befall
//! whoever speaks TLS.
#![cfg(feature = "tls")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers may end a test as the tests themselves do"
)]

#[allow(dead_code, reason = "the tests of faults use all of it")]
#[path = "../faults/alone.rs"]
mod alone;
#[path = "../support/mod.rs"]
mod support;

mod agreeing;
mod budget;
mod certs;
mod changed;
mod dead_ends;
mod deadlines;
mod dials;
mod ending;
mod far;
mod files;
mod forged;
mod https;
mod keys;
mod members;
mod near;
mod pausing;
mod reloading;
mod shortage;
mod splits;
mod strangers;
mod together;
mod traffic;
mod trust;
mod wss;
