//! The HTTP/1.1 server over real sockets: one theme a file. Tests are named after the row that they
//! show, if there is one: `h..` of what may befall a server of HTTP.
#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers may end a test as the tests themselves do"
)]

#[path = "../support/mod.rs"]
mod support;

mod answer;
mod content;
mod corpus;
mod ending;
mod events;
mod framing;
mod garden;
mod leaving;
mod logged;
mod malformed;
mod mounts;
mod panics;
mod parking;
mod patience;
mod product;
mod redirect;
mod served;
mod spec;
mod splits;
mod streaming;
mod upgrade;
mod work;
