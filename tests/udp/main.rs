//! UDP over real sockets: sessions, bare datagrams, connected sockets, and what may befall them.
//! One theme a file. Tests are named after the row that they show, if there is one: `f..` of the
//! faults of an event loop, `u..` of what datagrams with made-up senders may do.
#![allow(
    clippy::unwrap_used,
    reason = "helpers may end a test as the tests themselves do"
)]

#[allow(dead_code, reason = "the tests of faults use all of it")]
#[path = "../faults/alone.rs"]
mod alone;
#[path = "../support/mod.rs"]
mod support;

mod admitting;
mod bare;
mod binding;
mod bounds;
mod dialled;
mod ending;
mod errors;
mod expiry;
mod flood;
mod groups;
mod messages;
mod million;
mod panics;
mod pausing;
mod queue;
mod reaching;
mod served;
mod sessions;
