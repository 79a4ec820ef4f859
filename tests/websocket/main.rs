//! WebSocket over real sockets, served and dialled: one theme a file. Tests are named after the row
//! that they show, if there is one: `w..` of what may befall whoever speaks WebSocket.
#![cfg(feature = "websocket")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers may end a test as the tests themselves do"
)]

#[allow(dead_code, reason = "the tests of faults use all of it")]
#[path = "../faults/alone.rs"]
mod alone;
#[path = "../support/mod.rs"]
mod support;

mod app;
mod broken;
mod closing;
#[cfg(feature = "deflate")]
mod compressed;
mod corners;
mod crowd;
mod deciding;
mod dialled;
mod far;
mod farewells;
mod handshake;
mod limits;
mod origins;
mod outside;
mod panics;
mod pings;
mod pressure;
mod publishing;
mod refused;
#[cfg(feature = "deflate")]
mod roundtrips;
mod sending;
mod served;
#[cfg(feature = "deflate")]
mod splits;
mod stopping;
mod together;
