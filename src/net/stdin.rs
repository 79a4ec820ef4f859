//! Standard input, whatever it is.

use std::io;
use std::os::unix::net::UnixStream;
use std::thread;

use crate::reactor::Adoptable;

/// Standard input as a connection: a terminal, a pipe, a file or a socket. A driver reads it as it
/// reads any other, lines for instance, and its end is the connection's.
///
/// A thread reads it and passes it on, since no other way works for all of them. `O_NONBLOCK` on a
/// terminal would make standard output, which is the same open file, fail with `WouldBlock`. And
/// Linux's poller refuses a file (`EPERM`), which is always ready anyway. When the connection is
/// paused, so is the thread, once what fits between them is full; when it is closed, the thread
/// ends with the next thing read.
///
/// # Errors
///
/// When the system has no descriptors or threads left.
///
/// # Examples
///
/// ```no_run
/// # use switchboard::{Config, Reactor, tcp};
/// # struct App;
/// # impl tcp::Handler<tcp::Lines> for App {
/// #     type Conn = ();
/// #     fn on_open(&mut self, _: &mut tcp::Cx<'_, tcp::Lines>) -> Option<()> { Some(()) }
/// #     fn on_message(&mut self, _: &mut tcp::Cx<'_, tcp::Lines>, _: &mut (), _: &[u8]) {}
/// # }
/// let mut reactor: Reactor<App> = Reactor::new(Config::default())?;
/// let lines = reactor.add_driver(tcp::Framed::new(tcp::Lines::default()));
/// reactor.adopt(switchboard::stdin()?, lines)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn stdin() -> io::Result<Adoptable> {
    let (ours, mut theirs) = UnixStream::pair()?;
    thread::Builder::new()
        .name("switchboard-stdin".to_owned())
        .spawn(move || {
            if let Err(error) = io::copy(&mut io::stdin().lock(), &mut theirs) {
                log::debug!("standard input: {error}");
            }
        })?;
    Ok(ours.into())
}
