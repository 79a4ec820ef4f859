//! The reactor on real sockets: one behaviour a file. Tests named `f..` are the faults of an event loop, those
//! named `t..` the traps of its design; `docs/faults.md` lists both.

#[path = "../support/mod.rs"]
mod support;

mod edges;
