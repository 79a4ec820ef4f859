//! What a process has from the system: standard input, signals, and sockets that its parent has
//! opened. Each test runs itself again as a child process, which is given these things, and looks
//! at what the child says and how it ends.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod child;
#[cfg(feature = "inherited")]
mod inherited;
#[cfg(feature = "signals")]
mod signals;
mod stdin;
