//! Drivers: protocols on the reactor.
//!
//! A driver is the glue between a codec of [`proto`](crate::proto), which knows bytes, and the
//! [`reactor`](crate::Reactor), which knows sockets.

pub mod tcp;
