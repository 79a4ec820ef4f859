//! The reactor's only source of time.
//!
//! The clock is read once a turn, so that everything which happens in one turn happens at one
//! instant. Tests put a clock of their own in its place and advance it by hand.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Where a reactor takes the time from: the system's monotonic clock, or a clock moved by hand.
///
/// Clones of a manual clock show the same time.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use switchboard::Clock;
///
/// let clock = Clock::manual();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now() - before, Duration::from_secs(60));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Rc<Cell<Instant>>>);

impl Clock {
    /// The system's monotonic clock, which no change of the wall time moves. The default.
    pub fn monotonic() -> Self {
        Self(None)
    }

    /// A clock that stands still until [`advance`](Self::advance) moves it.
    pub fn manual() -> Self {
        Self(Some(Rc::new(Cell::new(Instant::now()))))
    }

    /// The time by this clock, given that the system's says `system`: one reading serves both.
    pub(crate) fn read(&self, system: Instant) -> Instant {
        self.0.as_ref().map_or(system, |manual| manual.get())
    }

    /// The time by this clock.
    pub fn now(&self) -> Instant {
        match &self.0 {
            None => Instant::now(),
            Some(manual) => manual.get(),
        }
    }

    /// Moves a manual clock forward. The monotonic clock cannot be moved: there it does nothing.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            None => debug_assert!(false, "the monotonic clock cannot be moved"),
            Some(manual) => manual.set(manual.get() + by),
        }
    }
}
