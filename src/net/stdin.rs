//! Standard input, whatever it is.

use std::io::{self, Read, Write};
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
            if let Err(error) = pass_on(&mut theirs) {
                log::debug!("standard input: {error}");
            }
        })?;
    Ok(ours.into())
}

/// Not `io::copy`: on Linux that has the kernel move the bytes, which while there is no room holds a
/// lock of the pipe, and whoever writes to that is blocked even if it asked not to be.
fn pass_on(to: &mut UnixStream) -> io::Result<()> {
    let (mut input, mut buffer) = (io::stdin().lock(), vec![0; 16 * 1024]);
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => to.write_all(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
