//! One thread, many lines: a single-threaded reactor on [mio](https://docs.rs/mio), with the loop
//! in plain sight.
//!
//! A socket is like a telephone jack, and one operator at a switchboard serves every line by
//! plugging in only where a lamp is lit. `epoll_wait` is the row of lamps.
//!
//! ```text
//!   your program   one type with the whole state, lent by &mut: no Arc, no Mutex, no RefCell
//!   -------------------------------------------------------------------------------------
//!   net            drivers: tcp, udp, http, websocket.. glue between bytes and sockets
//!   -------------------------------------------------------------------------------------
//!   reactor        Reactor, Hub, Driver, timers, topics the loop; knows no protocol
//!   -------------------------------------------------------------------------------------
//!   proto          codecs: lines, length prefixes, ..   bytes in, messages out; no sockets
//!   -------------------------------------------------------------------------------------
//!   id             ConnId, ConnMap                      names that are never used twice
//! ```
//!
//! # A server
//!
//! ```
//! use switchboard::{Config, Kind, Publish, Reactor, tcp};
//!
//! /// A chat room for `nc`: what one says, all others read.
//! struct Room;
//!
//! impl tcp::Handler<tcp::Lines> for Room {
//!     type Conn = ();
//!
//!     fn on_open(&mut self, cx: &mut tcp::Cx<'_, tcp::Lines>) -> Option<()> {
//!         cx.subscribe("room");
//!         Some(())
//!     }
//!
//!     fn on_message(&mut self, cx: &mut tcp::Cx<'_, tcp::Lines>, _: &mut (), line: &[u8]) {
//!         let except = Some(cx.id());
//!         cx.publish(Publish { topic: "room", data: line, kind: Kind::Text, except });
//!     }
//! }
//!
//! let mut reactor = Reactor::new(Config::default())?;
//! let room = reactor.add_driver(tcp::Framed::new(tcp::Lines::default()));
//! let listening = reactor.listen("127.0.0.1:0", room)?;
//! println!("listening tcp {}", listening.local_addr);
//! # reactor.hub().stop();
//! reactor.run(&mut Room)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # The turn
//!
//! Everything happens in [`Reactor::turn`], one function of one screen: poll, mark what is ready,
//! serve each connection once, fire timers, then flush and close until nothing is left to flush or
//! close. A callback never runs inside another, since the [`Hub`] that callbacks act through calls
//! nobody.
//!
//! # What holds
//!
//! * A [`ConnId`] names one connection for ever. Using one whose connection has ended does nothing
//!   and says so.
//! * Nothing is unbounded: [`Limits`] for connections, [`Config`] for the loop, each with its
//!   default's origin.
//! * Nothing blocks: what a slow peer does not take waits in its outbox, and its own reading stops.
//! * A panic in a callback closes that connection, and the loop goes on.
//! * No `unsafe` in this crate.
//!
//! # Read the source in this order
//!
//! `reactor/mod.rs` for the turn, `reactor/serve.rs` for what it does per connection,
//! `reactor/socket.rs` for the rules of edge-triggered readiness, `reactor/send.rs` and
//! `reactor/flow.rs` for sending and closing, `net/tcp/mod.rs` for a driver, `proto/line.rs` for a
//! codec. `docs/ARCHITECTURE.md` draws the map.
//!
//! # Features
//!
//! All are on by default. Without them there are TCP, UDP, Unix sockets, dials, and any source that
//! mio can poll.
//!
//! | feature | what it adds | what that takes |
//! |---|---|---|
//! | `http` | HTTP/1.1: servers, routes, a reverse proxy | httparse, httpdate, form_urlencoded, percent-encoding |
//! | `compression` | responses in gzip and deflate | `http`, flate2 with zlib-rs |
//! | `files` | files of a folder | `http`, mime_guess |
//! | `websocket` | servers and clients | `http`, base64, sha1, simdutf8 |
//! | `deflate` | compressed messages (permessage-deflate) | `websocket`, flate2 with zlib-rs |
//! | `tls` | TLS under every protocol | rustls with ring, the system's roots and Mozilla's |
//! | `signals` | signals as events of the loop | signal-hook |
//! | `inherited` | listeners from a parent process (`LISTEN_FDS`) | listenfd |
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "switchboard packs a connection's name into a 64-bit token: it needs a 64-bit target"
);

mod id;
pub mod net;
pub mod proto;
mod reactor;
pub mod testing;

pub use id::{ConnId, ConnMap};
#[cfg(feature = "http")]
#[doc(inline)]
pub use net::http;
#[cfg(feature = "signals")]
#[doc(inline)]
pub use net::signals;
#[cfg(feature = "websocket")]
#[doc(inline)]
pub use net::websocket;
#[cfg(feature = "inherited")]
pub use net::{Inherited, inherited};
#[doc(inline)]
pub use net::{source, stdin, tcp, udp};
#[cfg(feature = "tls")]
#[doc(inline)]
pub use reactor::tls;
pub use reactor::{
    Address, Adoptable, Bind, Bound, Census, Clock, CloseReason, Config, Connections, Dial, Driver,
    DriverId, Exhaustion, Form, Framer, Full, Histogram, Hub, Info, Interface, Kind, Limits,
    Listen, Listening, Measures, Origin, Overflow, Owner, Peer, Protocol, Publish, Published,
    Reactor, Ready, Remote, RemoteError, Sent, Slowest, Timeout, TimerId, Totals, Turn,
};
