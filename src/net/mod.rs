//! Drivers: protocols on the reactor.
//!
//! A driver is the glue between a codec of [`proto`](crate::proto), which knows bytes, and the
//! [`reactor`](crate::Reactor), which knows sockets.

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "inherited")]
mod inherited;
#[cfg(feature = "signals")]
pub mod signals;
pub mod source;
mod stdin;
pub mod tcp;
pub mod udp;
#[cfg(feature = "websocket")]
pub mod websocket;

#[cfg(feature = "inherited")]
pub use inherited::{Inherited, inherited};
pub use stdin::stdin;
