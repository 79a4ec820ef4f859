//! For tests of your own protocols: without ports, without sleeps, on a clock that you move.
//!
//! A [`Peer`] is the far end of a loop-back pair whose near end belongs to a driver. A [`Script`]
//! says what a peer sends and what it expects, and plays it whole, byte by byte and split at every
//! position. [`turn_until`] drives the loop until something has happened. Time stands still in
//! [`Clock::manual`], and [`Faults`] scripts what system calls return.
//!
//! # Examples
//!
//! ```
//! use switchboard::testing::Script;
//! use switchboard::{Config, Reactor, tcp};
//!
//! /// Says each line backwards.
//! struct Backwards;
//!
//! impl tcp::Handler<tcp::Lines> for Backwards {
//!     type Conn = ();
//!
//!     fn on_open(&mut self, _: &mut tcp::Cx<'_, tcp::Lines>) -> Option<()> {
//!         Some(())
//!     }
//!
//!     fn on_message(&mut self, cx: &mut tcp::Cx<'_, tcp::Lines>, (): &mut (), line: &[u8]) {
//!         let backwards: Vec<u8> = line.iter().rev().copied().collect();
//!         cx.send(&backwards).ignore();
//!     }
//! }
//!
//! let mut reactor = Reactor::new(Config::default())?;
//! let driver = reactor.add_driver(tcp::Framed::new(tcp::Lines::default()));
//! Script::new()
//!     .send("abc\ndef\r\n")
//!     .expect("cba\nfed\n")
//!     .finish()
//!     .expect_end()
//!     .play_split(&mut reactor, &mut Backwards, driver)?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::id::ConnId;
use crate::reactor::{DriverId, Reactor};

pub use crate::reactor::{Call, Clock, Fault, Faults};

/// Turns after which a wait is given up.
const MOST_TURNS: usize = 5_000;

/// How long a turn waits for the kernel. A pair of sockets needs microseconds.
const PATIENCE: Duration = Duration::from_millis(10);

/// Turns the loop until `done`.
///
/// # Panics
///
/// After 5,000 turns in vain, saying `what` was waited for; and if a turn fails.
pub fn turn_until<A>(
    reactor: &mut Reactor<A>,
    app: &mut A,
    what: &str,
    mut done: impl FnMut(&mut A) -> bool,
) {
    for _ in 0..MOST_TURNS {
        if done(app) {
            return;
        }
        if let Err(error) = reactor.turn(app, Some(PATIENCE)) {
            panic!("while waiting for {what}: {error}");
        }
    }
    panic!("waited in vain for {what}");
}

/// The far end of a loop-back pair. Dropping it closes it.
#[derive(Debug)]
pub struct Peer {
    /// The connection that the driver has.
    pub id: ConnId,
    stream: UnixStream,
}

impl Peer {
    /// Makes a pair and gives its near end to a driver, whose `on_open` follows in the next turn.
    ///
    /// # Errors
    ///
    /// When the system has no descriptors left.
    pub fn connect<A>(reactor: &mut Reactor<A>, driver: DriverId) -> io::Result<Self> {
        let (near, stream) = UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        let id = reactor.adopt(near, driver)?;
        Ok(Self { id, stream })
    }

    /// Sends all of `data`, with turns of the loop in between if it does not fit at once.
    ///
    /// # Panics
    ///
    /// When the connection is closed or takes nothing any more.
    pub fn send<A>(&mut self, reactor: &mut Reactor<A>, app: &mut A, data: &[u8]) {
        let mut left = data;
        turn_until(reactor, app, "the connection to take what is sent", |_| {
            while !left.is_empty() {
                match self.stream.write(left) {
                    Ok(written) => left = &left[written..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                    Err(error) => panic!("cannot send {} bytes: {error}", left.len()),
                }
            }
            true
        });
    }

    /// Finishes sending, as a client that has said all it wanted.
    pub fn finish(&mut self) {
        if let Err(error) = self.stream.shutdown(Shutdown::Write) {
            log::debug!("finishing: {error}");
        }
    }

    /// Turns until exactly this many bytes have come, and returns them.
    ///
    /// # Panics
    ///
    /// When the connection ends before, or nothing comes.
    pub fn receive<A>(&mut self, reactor: &mut Reactor<A>, app: &mut A, length: usize) -> Vec<u8> {
        let mut received = vec![0; length];
        let mut filled = 0;
        turn_until(reactor, app, &format!("{length} bytes"), |_| {
            while filled < length {
                match self.stream.read(&mut received[filled..]) {
                    Ok(0) => panic!(
                        "the end after {filled} of {length} bytes: `{}`",
                        received[..filled].escape_ascii()
                    ),
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                    Err(error) => panic!("cannot receive: {error}"),
                }
            }
            true
        });
        received
    }

    /// Turns until the connection has ended, and returns what came before that.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn receive_to_end<A>(&mut self, reactor: &mut Reactor<A>, app: &mut A) -> Vec<u8> {
        let mut received = Vec::new();
        turn_until(reactor, app, "the end", |_| {
            // What was read before `WouldBlock` is kept.
            match self.stream.read_to_end(&mut received) {
                Ok(_) => true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => false,
                // A reset is an end, too.
                Err(_) => true,
            }
        });
        received
    }
}

/// What a peer says, and what it expects to hear.
#[derive(Clone, Debug, Default)]
pub struct Script {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    Expect(Vec<u8>),
    Finish,
    ExpectEnd,
}

/// How a script's bytes are cut into pieces, each of which the driver has seen before the next one
/// comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Each `send` in one piece.
    Whole,
    /// Byte by byte.
    Bytes,
    /// In two pieces, the first with this many of all bytes that the script sends.
    At(usize),
}

impl Script {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { steps: Vec::new() }
    }

    /// Sends these bytes.
    pub fn send(mut self, data: impl AsRef<[u8]>) -> Self {
        self.steps.push(Step::Send(data.as_ref().to_vec()));
        self
    }

    /// Waits for exactly these bytes.
    pub fn expect(mut self, data: impl AsRef<[u8]>) -> Self {
        self.steps.push(Step::Expect(data.as_ref().to_vec()));
        self
    }

    /// Finishes sending.
    pub fn finish(mut self) -> Self {
        self.steps.push(Step::Finish);
        self
    }

    /// Waits for the end of the connection, before which nothing more may come.
    pub fn expect_end(mut self) -> Self {
        self.steps.push(Step::ExpectEnd);
        self
    }

    /// Plays the script on a new connection of `driver`.
    ///
    /// # Errors
    ///
    /// When no connection can be made.
    ///
    /// # Panics
    ///
    /// When something else comes than was expected, or nothing. The message says which step it was
    /// and how the bytes were split.
    pub fn play<A>(
        &self,
        reactor: &mut Reactor<A>,
        app: &mut A,
        driver: DriverId,
        split: Split,
    ) -> io::Result<()> {
        let mut peer = Peer::connect(reactor, driver)?;
        let mut sent = 0;
        for (number, step) in self.steps.iter().enumerate() {
            let place = || format!("step {} of the script, {split:?}", number + 1);
            match step {
                Step::Send(data) => {
                    for piece in split.pieces(sent, data) {
                        peer.send(reactor, app, piece);
                        settle(reactor, app)?;
                    }
                    sent += data.len();
                }
                Step::Expect(data) => {
                    let received = peer.receive(reactor, app, data.len());
                    assert_same(&received, data, &place());
                }
                Step::Finish => peer.finish(),
                Step::ExpectEnd => {
                    let received = peer.receive_to_end(reactor, app);
                    assert_same(&received, b"", &place());
                }
            }
        }
        drop(peer);
        settle(reactor, app)
    }

    /// Plays the script whole, byte by byte, and split at every position, each time on a new
    /// connection.
    ///
    /// # Errors
    ///
    /// As for [`play`](Self::play), and so are its panics.
    pub fn play_split<A>(
        &self,
        reactor: &mut Reactor<A>,
        app: &mut A,
        driver: DriverId,
    ) -> io::Result<()> {
        let sent = |step: &Step| match step {
            Step::Send(data) => data.len(),
            _ => 0,
        };
        let total: usize = self.steps.iter().map(sent).sum();
        self.play(reactor, app, driver, Split::Whole)?;
        self.play(reactor, app, driver, Split::Bytes)?;
        (1..total).try_for_each(|at| self.play(reactor, app, driver, Split::At(at)))
    }
}

impl Split {
    /// The pieces of `data`, before which the script has sent `sent` bytes.
    fn pieces(self, sent: usize, data: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Whole => vec![data],
            Self::Bytes => data.chunks(1).collect(),
            Self::At(at) if at > sent && at - sent < data.len() => {
                let (first, second) = data.split_at(at - sent);
                vec![first, second]
            }
            Self::At(_) => vec![data],
        }
    }
}

/// Turns until nothing happens, so that the driver has seen what was sent.
fn settle<A>(reactor: &mut Reactor<A>, app: &mut A) -> io::Result<()> {
    for _ in 0..MOST_TURNS {
        let turn = reactor.turn(app, Some(Duration::ZERO))?;
        if turn.events + turn.reads + turn.writes + turn.closes == 0 {
            return Ok(());
        }
    }
    Ok(())
}

fn assert_same(received: &[u8], expected: &[u8], place: &str) {
    assert!(
        received == expected,
        "{place}: expected `{}`, received `{}`",
        expected.escape_ascii(),
        received.escape_ascii()
    );
}
