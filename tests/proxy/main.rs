//! What stands between HTTP and somebody else, over real sockets: the reverse proxy with a server
//! behind it that each test plays itself, metrics and their collector, CORS and its browser. One
//! theme a file.
#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers may end a test as the tests themselves do"
)]

#[allow(dead_code, reason = "the tests of the server use all of it")]
#[path = "../http/answer.rs"]
mod answer;
#[allow(dead_code, reason = "the tests of the server use all of it")]
#[path = "../http/served.rs"]
mod served;
#[path = "../support/mod.rs"]
mod support;

mod answers;
mod bodies;
mod corners;
mod cors;
mod failing;
mod heads;
mod large;
mod leaving;
mod metrics;
mod mounts;
mod order;
mod prometheus;
mod proxied;
mod stopping;
mod tunnels;
mod tunnels_ending;
