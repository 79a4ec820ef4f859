//! TCP with its framings over real sockets, as an application sees it: one theme a file. Tests are
//! named after the row that they show: `s..` of the checklist of features, `t..` of the traps of
//! the design, `f..` of the faults of an event loop.
#![allow(
    clippy::unwrap_used,
    reason = "helpers may end a test as the tests themselves do"
)]

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod client;
mod codec;
mod duplex;
mod echo;
mod flow;
mod info;
mod length;
mod lines;
mod options;
mod scripts;
mod served;
mod service;
