//! WebSocket as data (RFC 6455): frames, messages and the handshake, for both roles.
//!
//! Receiving and sending are two halves that know nothing of each other. [`Receiver`] makes
//! [`Event`]s of bytes, in place where it can, and refuses what is wrong at the first byte that
//! shows it: a length that is too large before its payload, text that is no UTF-8 within a frame
//! that is still arriving. [`mod@write`] makes frames.
//!
//! ```
//! use switchboard::proto::websocket::{Event, Limits, Receiver, Role, write};
//!
//! // "Hello" as a client sends it: RFC 6455, section 5.7.
//! let mut data = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
//! let mut receiver = Receiver::new(Role::Server, Limits::default());
//! assert_eq!(receiver.next(&mut data)?, (11, Some(Event::Text("Hello"))));
//!
//! let mut out = Vec::new();
//! write::text(&mut out, "Hello", None);
//! assert_eq!(out, b"\x81\x05Hello");
//! # Ok::<(), switchboard::proto::websocket::Error>(())
//! ```

mod close;
#[cfg(feature = "deflate")]
pub mod deflate;
#[cfg(not(feature = "deflate"))]
#[path = "no_deflate.rs"]
mod deflate;
mod error;
mod frame;
pub mod handshake;
pub mod mask;
mod receiver;
mod utf8;
pub mod write;

pub use close::{Close, Code};
pub use error::Error;
pub use frame::{Header, OpCode};
pub use receiver::{Event, Limits, Receiver, Role};
pub use utf8::Utf8;
