//! The faults of an event loop, as far as TCP, timers and wake-ups go: what the kernel, a peer or
//! an application may do to it, and how it stays unharmed. A test is named after the row of the
//! table of faults that it is about.
//!
//! What cannot be had without privileges is scripted by `Faults`; what would disturb other tests in
//! the same process, such as counting its descriptors, runs in a process of its own: see `alone`.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../support/mod.rs"]
mod support;

mod accepting;
mod alone;
mod backpressure;
mod churn;
mod closing;
mod edges;
mod exhaustion;
mod fairness;
mod framing;
mod ids;
mod limits;
mod panics;
mod panics_in_handlers;
mod random;
mod remote;
mod shutdown;
mod signals_and_errors;
mod timers;
mod util;
mod writing;
