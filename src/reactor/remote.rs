//! The door for other threads: a bounded queue of jobs and one wake-up.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::Waker;

use super::hub::Hub;

/// A closure to run on the loop.
pub(crate) type Job<A> = Box<dyn FnOnce(&mut A, &mut Hub) + Send>;

/// Sends jobs to a reactor from any thread. Clones share one queue.
///
/// A job runs on the loop's thread with the application and the hub in its hands. However many jobs
/// arrive between two turns, the loop is woken once.
///
/// # Examples
///
/// ```
/// use switchboard::{Config, Reactor};
///
/// let mut reactor: Reactor<u32> = Reactor::new(Config::default())?;
/// let remote = reactor.remote();
/// std::thread::spawn(move || {
///     let posted = remote.post(|count, hub| {
///         *count += 1;
///         hub.stop();
///     });
///     assert!(posted.is_ok());
/// });
/// let mut count = 0;
/// reactor.run(&mut count)?;
/// assert_eq!(count, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Remote<A>(Arc<Inbox<A>>);

/// Why a job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteError {
    /// The reactor is gone.
    Closed,
    /// As many jobs as [`Config::remote_capacity`](crate::Config::remote_capacity) allows are
    /// waiting already.
    Full,
}

pub(crate) struct Inbox<A> {
    queue: Mutex<Queue<A>>,
    waker: Arc<Waker>,
    capacity: usize,
}

struct Queue<A> {
    jobs: VecDeque<Job<A>>,
    /// A wake-up is on its way, or the loop knows that there is more.
    awake: bool,
    closed: bool,
}

impl<A> Remote<A> {
    /// Puts `job` behind those that wait, and wakes the loop if it may be asleep.
    ///
    /// # Errors
    ///
    /// `Full` when the queue is full, `Closed` when the reactor has been dropped. The job is
    /// dropped.
    pub fn post(
        &self,
        job: impl FnOnce(&mut A, &mut Hub) + Send + 'static,
    ) -> Result<(), RemoteError> {
        let mut queue = self.0.lock();
        if queue.closed {
            return Err(RemoteError::Closed);
        }
        if queue.jobs.len() >= self.0.capacity {
            return Err(RemoteError::Full);
        }
        queue.jobs.push_back(Box::new(job));
        if !queue.awake {
            queue.awake = true;
            if let Err(error) = self.0.waker.wake() {
                // The job stays where it is; the next post, or any event, brings it to the loop's
                // attention.
                queue.awake = false;
                log::error!("cannot wake the loop: {error}");
            }
        }
        Ok(())
    }
}

impl<A> Inbox<A> {
    pub(crate) fn new(waker: Arc<Waker>, capacity: usize) -> Arc<Self> {
        let queue = Queue {
            jobs: VecDeque::new(),
            awake: false,
            closed: false,
        };
        Arc::new(Self {
            queue: Mutex::new(queue),
            waker,
            capacity,
        })
    }

    pub(crate) fn remote(self: &Arc<Self>) -> Remote<A> {
        Remote(Arc::clone(self))
    }

    /// Moves at most `budget` jobs to `jobs`. True if more are left, for which no wake-up will
    /// come.
    pub(crate) fn take(&self, budget: usize, jobs: &mut VecDeque<Job<A>>) -> bool {
        let mut queue = self.lock();
        if queue.jobs.len() <= budget {
            std::mem::swap(&mut queue.jobs, jobs);
        } else {
            jobs.extend(queue.jobs.drain(..budget));
        }
        queue.awake = !queue.jobs.is_empty();
        queue.awake
    }

    pub(crate) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.jobs.clear();
    }

    /// Jobs run outside the lock, so a panic cannot have left the queue half changed.
    fn lock(&self) -> MutexGuard<'_, Queue<A>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A> Clone for Remote<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A> fmt::Debug for Remote<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("waiting", &self.0.lock().jobs.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the reactor is gone",
            Self::Full => "too many jobs are waiting for the reactor",
        })
    }
}

impl std::error::Error for RemoteError {}
