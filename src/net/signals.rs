//! Signals as events of the loop.
//!
//! A signal handler may do next to nothing. Here it sets a flag and writes a byte to one end of a
//! socket pair; the loop reads the other end as it reads any connection. So a signal interrupts no
//! callback, and arrives in order among everything else.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use switchboard::{Config, Reactor, signals};
//!
//! let mut reactor: Reactor<()> = Reactor::new(Config::default())?;
//! signals::on(&mut reactor, &[signals::SIGINT, signals::SIGTERM], |_, hub, signal| {
//!     println!("signal {signal}: finishing");
//!     hub.shutdown(Duration::from_secs(5));
//! })?;
//! # reactor.hub().stop();
//! reactor.run(&mut ())?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::FORBIDDEN;
use signal_hook::low_level::signal_name;

use crate::id::ConnId;
use crate::reactor::{CloseReason, Driver, DriverId, Hub, Origin, Reactor};

pub use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH,
};

/// Calls `on_signal` in the loop with the number of each of these signals that arrives, until the
/// connection that this returns is closed. A signal that comes again before it was handled counts
/// once, as everywhere in POSIX. The default action of the signals, such as ending the process, no
/// longer takes place, even after that.
///
/// A [shutdown](Hub::shutdown) neither closes nor waits for it: a second SIGTERM can still be
/// heard.
///
/// # Errors
///
/// When the system has no descriptors left, or a signal cannot be caught.
pub fn on<A: 'static>(
    reactor: &mut Reactor<A>,
    signals: &[i32],
    on_signal: impl FnMut(&mut A, &mut Hub, i32) + 'static,
) -> io::Result<ConnId> {
    // Before any is caught: what has been caught cannot be let go.
    let bad = |signal: &&i32| FORBIDDEN.contains(*signal) || signal_name(**signal).is_none();
    if let Some(signal) = signals.iter().find(bad) {
        let text = format!("signal {signal} cannot be caught");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let (ours, theirs) = UnixStream::pair()?;
    let mut watched = Vec::with_capacity(signals.len());
    for &signal in signals {
        let raised = Arc::new(AtomicBool::new(false));
        // In this order: when the byte is there, the flag is set.
        signal_hook::flag::register(signal, Arc::clone(&raised))?;
        signal_hook::low_level::pipe::register(signal, theirs.try_clone()?)?;
        watched.push((signal, raised));
    }
    let driver = reactor.add_driver(Signals { watched, on_signal });
    let id = reactor.adopt(ours, driver)?;
    reactor.hub().unref(id);
    Ok(id)
}

struct Signals<F> {
    watched: Vec<(i32, Arc<AtomicBool>)>,
    on_signal: F,
}

impl<A, F: FnMut(&mut A, &mut Hub, i32)> Driver<A> for Signals<F> {
    fn on_open(&mut self, _: &mut A, _: &mut Hub, _: ConnId, _: Origin) {}

    fn on_data(&mut self, app: &mut A, hub: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
        for (signal, raised) in &self.watched {
            if raised.swap(false, Ordering::Relaxed) {
                // Were it to end this connection, no signal would do anything any more.
                let call = AssertUnwindSafe(|| (self.on_signal)(app, hub, *signal));
                if catch_unwind(call).is_err() {
                    log::error!("the callback of signal {signal} panicked");
                }
            }
        }
        data.len()
    }

    fn on_stop(&mut self, _: &mut A, _: &mut Hub, _: DriverId) {}

    fn on_close(&mut self, _: &mut A, _: &mut Hub, _: ConnId, _: CloseReason) {}
}

impl<F> fmt::Debug for Signals<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals")
            .field("watched", &self.watched)
            .finish_non_exhaustive()
    }
}
