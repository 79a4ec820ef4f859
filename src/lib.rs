//! One thread, many lines: a single-threaded reactor on [`mio`], with the loop in plain sight.
#![forbid(unsafe_code)]

mod id;
pub mod net;
pub mod proto;
mod reactor;

pub use id::{ConnId, ConnMap};
pub use net::tcp;
pub use reactor::{
    Adoptable, Clock, CloseReason, Config, Driver, DriverId, Exhaustion, Framer, Hub, Info, Kind,
    Limits, Listen, Listening, Origin, Overflow, Owner, Protocol, Publish, Published, Reactor,
    Remote, RemoteError, Sent, Slowest, Timeout, TimerId, Totals, Turn,
};

/// What tests need: a script for the system calls.
pub mod testing {
    pub use crate::reactor::{Call, Fault, Faults};
}
