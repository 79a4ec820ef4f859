//! A client that stays connected.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::id::ConnId;
use crate::reactor::{
    CloseReason, Dial, Driver, DriverId, Framer, Hub, Origin, Owner, Reactor, Timeout,
};

use super::{App, Codec, Framed, Handler, Raw, Service};

/// The key of the one timer: no connection's, so it is in nobody's way.
const REDIAL: u32 = 0;

/// Keeps a connection to a server: dials it, and dials again when that fails or the connection
/// ends, after a pause that grows. It does not when we have closed the connection ourselves.
///
/// The handler is the same as for a server's connections. Each new connection has an id of its own
/// and begins with `on_open`; each failure is told by
/// [`on_dial_failed`](Handler::on_dial_failed).
///
/// # Examples
///
/// ```
/// use switchboard::{Config, Dial, Reactor, tcp};
///
/// struct Greeter;
///
/// impl tcp::Handler<tcp::Lines> for Greeter {
///     type Conn = ();
///
///     fn on_open(&mut self, cx: &mut tcp::Cx<'_, tcp::Lines>) -> Option<()> {
///         cx.send(b"good morning").ignore();
///         Some(())
///     }
///
///     fn on_message(&mut self, _: &mut tcp::Cx<'_, tcp::Lines>, (): &mut (), line: &[u8]) {
///         println!("{}", line.escape_ascii());
///     }
/// }
///
/// let mut reactor = Reactor::new(Config::default())?;
/// tcp::Client::new(tcp::Lines::default(), || Dial::tcp("localhost:7000"))
///     .retry(tcp::Retry::default())
///     .start(&mut reactor);
/// # reactor.hub().stop();
/// reactor.run(&mut Greeter)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Client<A, C: Codec = Raw, S: Service<A, C> = App> {
    framed: Framed<A, C, S>,
    dial: Box<dyn Fn() -> Dial>,
    retry: Option<Retry>,
    /// Failures since a connection was made.
    failures: u32,
    /// Our own id, known once we are added.
    driver: Rc<Cell<Option<DriverId>>>,
    stopping: bool,
}

/// The pauses between one attempt to connect and the next. The defaults are those of Socket.IO's
/// client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Before the second attempt; each further pause is twice as long. Default 1 s.
    pub first: Duration,
    /// The longest pause. Default 5 s.
    pub longest: Duration,
    /// The share by which a pause is lengthened or shortened at random, so that the clients of a
    /// server that was away do not all come back at one moment. Default 0.5.
    pub jitter: f64,
    /// Attempts that may fail in a row before it is given up. Default: any number.
    pub attempts: Option<u32>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(5),
            jitter: 0.5,
            attempts: None,
        }
    }
}

impl Retry {
    /// The pause after so many failures, with `random` between 0 and 1.
    fn pause(&self, failures: u32, random: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let pause = self.first.saturating_mul(doubled).min(self.longest);
        let factor = 1.0 + self.jitter.clamp(0.0, 1.0) * (2.0 * random - 1.0);
        pause.mul_f64(factor).min(self.longest)
    }
}

impl<A: Handler<C> + 'static, C: Codec> Client<A, C> {
    /// A client for the application's own [`Handler`]. `dial` says whom to dial, each time anew.
    pub fn new(codec: C, dial: impl Fn() -> Dial + 'static) -> Self {
        Self::with_service(codec, App, dial)
    }
}

impl<A: 'static, C: Codec, S: Service<A, C> + 'static> Client<A, C, S> {
    /// A client for a behaviour of its own.
    pub fn with_service(codec: C, service: S, dial: impl Fn() -> Dial + 'static) -> Self {
        Self {
            framed: Framed::with_service(codec, service),
            dial: Box::new(dial),
            retry: None,
            failures: 0,
            driver: Rc::default(),
            stopping: false,
        }
    }

    /// Dials again after a failure and at the connection's end. Default: not.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Adds the driver to a reactor and dials. The first outcome follows when the loop runs.
    pub fn start(self, reactor: &mut Reactor<A>) -> DriverId {
        let (own, dial) = (Rc::clone(&self.driver), (self.dial)());
        let driver = reactor.add_driver(self);
        own.set(Some(driver));
        reactor.hub().connect(dial, driver);
        driver
    }

    /// Sets the timer for the next attempt, if there is to be one.
    fn dial_later(&mut self, hub: &mut Hub) {
        let (Some(retry), Some(driver)) = (self.retry, self.driver.get()) else {
            return;
        };
        self.failures += 1;
        let given_up = retry.attempts.is_some_and(|most| self.failures >= most);
        if self.stopping || given_up {
            return;
        }
        // The keys of a hasher are random: all the randomness that a pause needs.
        let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
        let pause = retry.pause(self.failures, random);
        log::debug!("dialling again in {pause:?}");
        hub.set_timer(Owner::Driver(driver), pause, REDIAL);
    }
}

impl<A: 'static, C: Codec, S: Service<A, C> + 'static> Driver<A> for Client<A, C, S> {
    fn on_open(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, origin: Origin) {
        self.failures = 0;
        self.framed.on_open(app, hub, id, origin);
    }

    fn on_data(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
        self.framed.on_data(app, hub, id, data)
    }

    fn on_eof(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, rest: &mut [u8]) {
        self.framed.on_eof(app, hub, id, rest);
    }

    fn on_drain(&mut self, app: &mut A, hub: &mut Hub, id: ConnId) {
        self.framed.on_drain(app, hub, id);
    }

    fn on_timeout(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, timeout: Timeout) {
        self.framed.on_timeout(app, hub, id, timeout);
    }

    fn on_timer(&mut self, app: &mut A, hub: &mut Hub, id: Option<ConnId>, key: u32) {
        match (id, self.driver.get()) {
            (None, Some(driver)) if !self.stopping => {
                hub.connect((self.dial)(), driver);
            }
            _ => self.framed.on_timer(app, hub, id, key),
        }
    }

    fn on_post(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, message: Box<dyn Any>) {
        self.framed.on_post(app, hub, id, message);
    }

    fn on_stop(&mut self, app: &mut A, hub: &mut Hub, driver: DriverId) {
        self.stopping = true;
        self.framed.on_stop(app, hub, driver);
    }

    fn on_dial_failed(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        ticket: Option<Box<dyn Any>>,
        error: io::Error,
    ) {
        self.framed.on_dial_failed(app, hub, id, ticket, error);
        self.dial_later(hub);
    }

    fn on_close(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, reason: CloseReason) {
        self.framed.on_close(app, hub, id, reason);
        let ours = matches!(
            reason,
            CloseReason::Local
                | CloseReason::Aborted
                | CloseReason::HandedOver
                | CloseReason::Shutdown
        );
        if !ours {
            self.dial_later(hub);
        }
    }

    fn max_unconsumed(&self) -> usize {
        self.framed.max_unconsumed()
    }

    fn framer(&self) -> Option<Box<dyn Framer>> {
        self.framed.framer()
    }
}

impl<A, C: Codec, S: Service<A, C>> fmt::Debug for Client<A, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("retry", &self.retry)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_in_their_bounds() {
        let retry = Retry::default();
        let pauses = |random: f64| [1, 2, 3, 4, 40].map(|failures| retry.pause(failures, random));
        let seconds = |all: [f64; 5]| all.map(Duration::from_secs_f64);
        assert_eq!(pauses(0.5), seconds([1.0, 2.0, 4.0, 5.0, 5.0]));
        assert_eq!(pauses(0.0), seconds([0.5, 1.0, 2.0, 2.5, 2.5]));
        assert_eq!(pauses(1.0), seconds([1.5, 3.0, 5.0, 5.0, 5.0]));
    }
}
