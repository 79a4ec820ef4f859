//! Every budget and limit of a reactor, with its unit, its default and where the default comes
//! from.

use std::time::Duration;

use super::clock::Clock;
use super::faults::Faults;

/// The budgets of the loop, and the limits of connections whose listener names none of its own.
///
/// # Examples
///
/// ```
/// use switchboard::{Config, Limits, Reactor};
///
/// let config = Config {
///     read_budget: 16 * 1024,
///     limits: Limits { max_backlog: 256 * 1024, ..Limits::default() },
///     ..Config::default()
/// };
/// let reactor: Reactor<()> = Reactor::new(config)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes of the one read buffer, which all connections share. Default 64 KiB, as libuv suggests
    /// to its users: a full socket buffer of the default size is emptied by two calls.
    pub read_buffer: usize,
    /// Bytes read from one connection before the next one has its turn. Default 64 KiB: one full
    /// buffer.
    pub read_budget: usize,
    /// Bytes written to one connection in one go. Default 256 KiB: redis stops at 64 KiB, but its
    /// replies are copied; here four calls with what one read can bring.
    pub write_budget: usize,
    /// Connections accepted from one listener in a row. Default 256; gevent's `max_accept` is 100.
    pub accept_budget: usize,
    /// Steps of TLS handshakes taken in one turn, each of which costs as much as thousands of
    /// messages. Default 5, as uSockets.
    pub handshake_budget: usize,
    /// Jobs from other threads run in one turn. Default 1,024.
    pub remote_budget: usize,
    /// Jobs from other threads that may wait; beyond it [`Remote::post`](crate::Remote::post) says
    /// `Full`. Default 65,536.
    pub remote_capacity: usize,
    /// Threads for [`Hub::spawn_blocking`](crate::Hub::spawn_blocking) and name resolution, started
    /// when first needed. Default 4, as libuv.
    pub blocking_threads: usize,
    /// Blocking jobs that may wait for a thread. Default 1,024.
    pub blocking_queue: usize,
    /// Events taken from the poller at a time. Default 1,024, as libuv and uSockets do.
    pub events: usize,
    /// How long a listener waits after the system ran out of descriptors or memory before it tries
    /// again; any closing connection wakes it sooner. Default 100 ms, between gevent's 10 ms and
    /// its later 1 s.
    pub retry_after: Duration,
    /// A turn that works longer than this is logged as a warning, since nobody else is served
    /// meanwhile; the next thousand turns are then timed callback by callback, so that the culprit
    /// has a name the second time. Default 100 ms, gevent's `max_blocking_time`.
    pub slow_turn: Duration,
    /// Times each callback from the start, for [`Turn::slowest`](crate::Turn::slowest): one more
    /// reading of the clock per connection served. Default off.
    pub time_callbacks: bool,
    /// The limits of connections whose listener names none.
    pub limits: Limits,
    /// Where the time comes from.
    pub clock: Clock,
    /// A script for the system calls, in tests.
    pub faults: Option<Faults>,
}

impl Config {
    /// A budget of nothing would let the loop turn for ever without getting anywhere.
    pub(crate) fn at_least_one(mut self) -> Self {
        for budget in [
            &mut self.read_buffer,
            &mut self.read_budget,
            &mut self.write_budget,
            &mut self.accept_budget,
            &mut self.handshake_budget,
            &mut self.remote_budget,
            &mut self.blocking_threads,
            &mut self.blocking_queue,
            &mut self.events,
        ] {
            *budget = (*budget).max(1);
        }
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            read_buffer: 64 * 1024,
            read_budget: 64 * 1024,
            write_budget: 256 * 1024,
            accept_budget: 256,
            handshake_budget: 5,
            remote_budget: 1_024,
            remote_capacity: 65_536,
            blocking_threads: 4,
            blocking_queue: 1_024,
            events: 1_024,
            retry_after: Duration::from_millis(100),
            slow_turn: Duration::from_millis(100),
            time_callbacks: false,
            limits: Limits::default(),
            clock: Clock::monotonic(),
            faults: None,
        }
    }
}

/// What one connection may keep of the reactor's memory and patience.
///
/// The three marks are a ladder. Above `high_water` a send says
/// [`Sent::Backlogged`](crate::Sent::Backlogged) and reading from that connection stops, unless it
/// is `full_duplex`; below
/// `low_water` reading goes on and `on_drain` is called, once; at `max_backlog` the policy of
/// `overflow` applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes waiting to be sent above which the connection counts as backlogged. Default 64 KiB, as
    /// asyncio.
    pub high_water: usize,
    /// Bytes at which it no longer does. Default 16 KiB: a quarter of the high mark, as asyncio.
    pub low_water: usize,
    /// Bytes waiting to be sent at which no message is taken any more. One message may reach beyond
    /// it. Default 1 MiB; uWebSockets drops at 64 KiB, most others never. What the kernel has taken is
    /// not counted, and may be megabytes: see [`Listen::send_buffer`](crate::Listen::send_buffer).
    pub max_backlog: usize,
    /// What happens to a message that meets a full backlog. Default: the connection closes.
    pub overflow: Overflow,
    /// Whether reading goes on while the connection is backlogged. A server's answers are caused by
    /// what it reads, so it stops, and a client that does not read cannot make it keep more. What
    /// passes bytes on from elsewhere has to go on reading, or two of them that wait for each other
    /// wait for ever. Default false; for what we [dial](crate::Dial) true.
    pub full_duplex: bool,
    /// How long a closing connection waits for its peer: while bytes are left to send, to take
    /// another 16 KiB of them, then for its FIN. Default 5 s, as nginx's `lingering_timeout`. Zero: not at
    /// all.
    pub linger: Duration,
    /// The longest silence of the peer while we are reading: `settimeout` of Python's sockets.
    /// Default: none.
    pub read_timeout: Option<Duration>,
    /// The longest time without a byte in either direction. Default: none.
    pub idle_timeout: Option<Duration>,
    /// The longest life of a connection. Default: none.
    pub lifetime: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            high_water: 64 * 1024,
            low_water: 16 * 1024,
            max_backlog: 1024 * 1024,
            overflow: Overflow::Close,
            full_duplex: false,
            linger: Duration::from_secs(5),
            read_timeout: None,
            idle_timeout: None,
            lifetime: None,
        }
    }
}

/// What happens to a message for a connection whose backlog is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The connection is reset: a peer this slow would never catch up.
    Close,
    /// The message is dropped whole, and counted.
    Drop,
}
