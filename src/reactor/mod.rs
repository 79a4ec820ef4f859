//! The reactor: one thread, one loop, and everything that happens in it.
//!
//! [`Reactor::turn`] is the loop. It is the one function to read first:
//!
//! ```text
//!   1 timeout   0 if something is ready, else until the next timer
//!   2 poll      epoll_wait: the only place where the thread sleeps
//!   3 now       one clock reading for the whole turn
//!   4 mark      per event: is the id stale? remember what it said, queue the id once
//!   5 inbox     shutdown, errands, jobs from other threads
//!   6 serve     each queued id once: accept | read -> driver -> flush
//!   7 timers    collect what is due, then fire
//!   8 settle    flush and close until nothing is left to flush or close
//!   9 report
//! ```
//!
//! The reactor knows no protocol. Bytes go to a [`Driver`], and what the driver wants done it asks
//! of the [`Hub`].

mod accept;
mod address;
mod adopt;
mod bind;
mod clock;
mod config;
mod datagram;
mod dial;
mod dialling;
mod driver;
mod entry;
mod faults;
mod flow;
mod handshake;
mod hub;
mod life;
mod listen;
mod listener;
mod look;
mod measures;
mod options;
mod outbox;
mod pool;
mod publish;
mod receive;
mod remote;
mod report;
mod send;
mod serve;
mod session;
mod socket;
mod source;
mod stream;
mod sys;
mod timers;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
#[cfg(feature = "tls")]
pub mod tls;
mod topics;
mod unix;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};

use crate::id::ConnId;

pub use address::Address;
pub use bind::{Bind, Bound, Full, Interface};
pub use clock::Clock;
pub use config::{Config, Limits, Overflow};
pub use dial::{Dial, Peer};
pub use driver::{CloseReason, Driver, DriverId, Form, Framer, Kind, Origin, Timeout};
pub use faults::{Call, Fault, Faults};
pub use hub::{Hub, Owner, Sent};
pub use listen::{Exhaustion, Listen, Listening};
pub use look::{Info, Protocol};
pub use measures::{Census, Connections, Histogram, Measures};
pub use publish::{Publish, Published};
pub use remote::{Remote, RemoteError};
pub use report::{Slowest, Totals, Turn};
pub use source::Ready;
pub use stream::Adoptable;
pub use timers::TimerId;

use entry::Entry;
use hub::Stopping;
use remote::{Inbox, Job};
use socket::Flags;

/// Batches of events taken in one turn: libuv's number, 49,152 connections with the default batch.
const MOST_POLLS: usize = 48;

/// The waker's token. No id has it: generations begin at 1.
const WAKER: Token = Token(0);

/// Owns the poller, the read buffer, the drivers and the hub, and lends the application to
/// callbacks.
///
/// `A` is the application: any type, lent by `&mut` for each turn and never moved in, so that it
/// can be looked at between turns and afterwards. It need not be `Send`: nothing here ever leaves
/// the thread.
///
/// # Examples
///
/// ```
/// use switchboard::{CloseReason, Config, ConnId, Driver, Hub, Origin, Reactor};
///
/// /// The shortest protocol there is: what comes in goes out.
/// struct Echo;
///
/// impl Driver<()> for Echo {
///     fn on_open(&mut self, _: &mut (), _: &mut Hub, _: ConnId, _: Origin) {}
///     fn on_data(&mut self, _: &mut (), hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
///         hub.send(id, data).ignore();
///         data.len()
///     }
///     fn on_close(&mut self, _: &mut (), _: &mut Hub, _: ConnId, _: CloseReason) {}
/// }
///
/// let mut reactor = Reactor::new(Config::default())?;
/// let echo = reactor.add_driver(Echo);
/// let listening = reactor.listen("127.0.0.1:0", echo)?;
/// println!("listening tcp {}", listening.local_addr);
/// reactor.hub().stop(); // without this line: until a callback calls `stop` or `shutdown`
/// reactor.run(&mut ())?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Reactor<A> {
    poll: Poll,
    events: Events,
    /// The one read buffer. Zeroed once, lent to each driver in turn.
    buffer: Vec<u8>,
    drivers: Vec<Box<dyn Driver<A>>>,
    hub: Hub,
    inbox: Arc<Inbox<A>>,
    /// The jobs of this turn.
    jobs: VecDeque<Job<A>>,
    /// More jobs wait than one turn may run.
    more_remote: bool,
    woken: bool,
    #[expect(clippy::type_complexity, reason = "used once")]
    on_timer: Option<Box<dyn FnMut(&mut A, &mut Hub, u32)>>,
    /// When the last turn ended, by the system's clock: what a turn costs is measured, not
    /// simulated.
    ended: Instant,
}

impl<A> Reactor<A> {
    /// Creates a reactor.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor left for the poller or its waker.
    pub fn new(config: Config) -> io::Result<Self> {
        let config = config.at_least_one();
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Self {
            events: Events::with_capacity(config.events),
            buffer: vec![0; config.read_buffer],
            drivers: Vec::new(),
            inbox: Inbox::new(Arc::clone(&waker), config.remote_capacity),
            jobs: VecDeque::new(),
            more_remote: false,
            woken: false,
            on_timer: None,
            ended: Instant::now(),
            hub: Hub::new(poll.registry().try_clone()?, config, waker),
            poll,
        })
    }

    /// Adds a protocol. Any number of listeners may bring it connections.
    pub fn add_driver(&mut self, driver: impl Driver<A> + 'static) -> DriverId {
        let id = self.hub.add_driver(driver.framer());
        self.drivers.push(Box::new(driver));
        id
    }

    /// Listens, and gives the connections to a driver: [`Hub::listen`].
    ///
    /// # Errors
    ///
    /// When the address is none, is in use, or an option is refused. The error says which address
    /// and why.
    pub fn listen(&mut self, listen: impl Into<Listen>, driver: DriverId) -> io::Result<Listening> {
        self.hub().listen(listen, driver)
    }

    /// Receives datagrams, and gives them to a driver: [`Hub::bind`].
    ///
    /// # Errors
    ///
    /// When the address is none, is in use, or an option is refused.
    pub fn bind(&mut self, bind: impl Into<Bind>, driver: DriverId) -> io::Result<Bound> {
        self.hub().bind(bind, driver)
    }

    /// Takes in a stream that exists already: [`Hub::adopt`].
    ///
    /// # Errors
    ///
    /// When the poller refuses it.
    pub fn adopt(&mut self, stream: impl Into<Adoptable>, driver: DriverId) -> io::Result<ConnId> {
        self.hub().adopt(stream, driver)
    }

    /// The hub, to set timers, subscribe and look around between turns. Its time is that of this
    /// call.
    pub fn hub(&mut self) -> &mut Hub {
        self.hub.take_time(Instant::now());
        &mut self.hub
    }

    /// A handle by which other threads send jobs to this loop.
    pub fn remote(&self) -> Remote<A> {
        self.inbox.remote()
    }

    /// Sets what is called when a timer of [`Owner::App`] fires.
    pub fn on_timer(&mut self, on_timer: impl FnMut(&mut A, &mut Hub, u32) + 'static) {
        self.on_timer = Some(Box::new(on_timer));
    }

    /// Turns until [`Hub::stop`] is called or a [`Hub::shutdown`] has come to its end.
    ///
    /// # Errors
    ///
    /// As [`turn`](Self::turn).
    pub fn run(&mut self, app: &mut A) -> io::Result<()> {
        loop {
            match self.hub.stopping {
                Stopping::Ended => break,
                Stopping::Draining(_) if self.hub.streams == 0 => break,
                _ => self.turn(app, None)?,
            };
            if self.hub.stopping == Stopping::Stop {
                break;
            }
        }
        self.hub.stopping = Stopping::Running;
        Ok(())
    }

    /// One turn of the loop: sleeps until something happens, but no longer than `wait`, and serves
    /// it.
    ///
    /// # Errors
    ///
    /// Only failures of the poller itself. What befalls a connection is told by its `on_close`.
    pub fn turn(&mut self, app: &mut A, wait: Option<Duration>) -> io::Result<Turn> {
        let timeout = self.timeout(wait);
        let woke = self.poll(timeout)?;
        self.run_shutdown(app);
        self.run_errands(app);
        if self.woken || self.more_remote {
            self.run_results();
            self.run_remote(app);
        }
        // Those that spend their budget go to the back of the queue, and are served again in the
        // next turn.
        for _ in 0..self.hub.ready.len() {
            if let Some(id) = self.hub.ready.pop_front() {
                self.serve(app, id);
                self.hub.lap();
            }
        }
        // After the sockets: an answer that lies in the receive queue is in time.
        self.fire_timers(app);
        self.settle(app);
        Ok(self.report(woke))
    }

    /// Sleeps until something is ready, takes the time, and marks what is ready.
    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<Instant> {
        let mut polled = self.hub.sys.poll(&mut self.poll, &mut self.events, timeout);
        let woke = Instant::now();
        self.hub.take_time(woke);
        for _ in 0..MOST_POLLS {
            match polled {
                Ok(()) => self.mark(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => break,
                Err(error) => return Err(error),
            }
            // A full batch may not be all. What is left out would be served after the timers.
            if self.events.iter().count() < self.events.capacity() {
                break;
            }
            polled = self
                .hub
                .sys
                .poll(&mut self.poll, &mut self.events, Some(Duration::ZERO));
        }
        Ok(woke)
    }

    /// How long the poller may sleep.
    fn timeout(&mut self, wait: Option<Duration>) -> Option<Duration> {
        let hub = &mut self.hub;
        let stopping = matches!(hub.stopping, Stopping::Stop | Stopping::Announced(_));
        if stopping
            || self.more_remote
            || !hub.ready.is_empty()
            || !hub.errands.is_empty()
            || hub.has_unsettled()
        {
            return Some(Duration::ZERO);
        }
        let drained = match hub.stopping {
            Stopping::Draining(deadline) => Some(deadline),
            _ => None,
        };
        let next = [hub.timers.next(), hub.deadlines.next(), drained]
            .into_iter()
            .flatten()
            .min();
        let until = next.map(|next| next.saturating_duration_since(hub.config.clock.now()));
        [wait, until].into_iter().flatten().min()
    }

    /// Remembers what each event said, and queues its connection once.
    fn mark(&mut self) {
        for event in &self.events {
            self.hub.turn.events += 1;
            if event.token() == WAKER {
                self.woken = true;
                continue;
            }
            let id = ConnId::from_bits(event.token().0 as u64);
            let entry = id.and_then(|id| Some((id, self.hub.slots.get_mut(id)?)));
            let Some((id, entry)) = entry else {
                self.hub.turn.stale += 1;
                continue;
            };
            let (work, flags) = match entry {
                Entry::Stream(socket) => (socket.mark(event), &mut socket.flags),
                Entry::Datagrams(datagrams) => (datagrams.mark(event), &mut datagrams.flags),
                Entry::Watched(watched) => (watched.mark(event), &mut watched.flags),
                Entry::Handshake(handshake) => {
                    handshake.socket.mark(event);
                    (true, &mut handshake.socket.flags)
                }
                other => (true, other.flags_mut()),
            };
            if work && !flags.has(Flags::QUEUED) {
                flags.set(Flags::QUEUED);
                self.hub.ready.push_back(id);
            }
        }
    }

    fn report(&mut self, woke: Instant) -> Turn {
        let now = Instant::now();
        let mut turn = std::mem::take(&mut self.hub.turn);
        turn.waited = woke - self.ended;
        turn.worked = now - woke;
        self.ended = now;
        self.woken = false;
        self.hub.totals.add(&turn);
        self.hub.measures.add(&turn);
        self.hub.warn_if_slow(&turn);
        turn
    }
}

impl<A> Drop for Reactor<A> {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl<A> fmt::Debug for Reactor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("drivers", &self.drivers.len())
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}
