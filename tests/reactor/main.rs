//! The reactor on real sockets: one behaviour a file. Tests named `f..` are the faults of an event
//! loop, those named `t..` the traps of its design; `docs/faults.md` lists both.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../support/mod.rs"]
mod support;

mod accepting;
mod blocking;
mod caller;
mod closing;
mod dialling;
mod edges;
mod giving_up;
mod handing;
mod interplay;
mod memory;
mod names;
mod paths;
mod pausing;
mod publishing;
mod racing;
mod ready_made;
mod rules;
mod settling;
mod socket_files;
mod sources;
mod stale;
mod timers;
mod tools;
mod writing;
