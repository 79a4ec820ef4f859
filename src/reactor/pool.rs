//! Threads for what blocks: name resolution, files, a database without a non-blocking client.
//!
//! Work goes to a bounded queue, its result comes back with a wake-up, and what is then to be done
//! with it is done on the loop. Threads are started when they are first needed.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use mio::Waker;

use super::hub::Hub;

/// Blocks, on a thread of the pool.
type Work = Box<dyn FnOnce() + Send>;
/// Takes the result up, on the loop.
type Then = Box<dyn FnOnce(&mut Hub)>;

pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// What is to be done when a job has ended, by its number. Never leaves the loop's thread.
    pending: HashMap<u64, Then>,
    next: u64,
    threads: usize,
    most_threads: usize,
    most_waiting: usize,
}

struct Shared {
    queue: Mutex<Queue>,
    available: Condvar,
    waker: Arc<Waker>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<(u64, Work)>,
    /// Numbers of the jobs that have ended, and whether they came to their end.
    ended: Vec<(u64, bool)>,
    /// Threads that wait for a job.
    idle: usize,
    closed: bool,
}

impl Hub {
    /// Runs `work` on a thread of the pool, and `then` with its result on the loop, in a later
    /// turn. Whatever blocks belongs here, since one call that does keeps every connection waiting.
    ///
    /// `then` reaches the application by [`post`](Self::post). If `work` panics, that is logged and
    /// `then` is dropped.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if [`Config::blocking_queue`](crate::Config::blocking_queue) jobs are waiting
    /// already; or when the system has no thread to give.
    ///
    /// # Examples
    ///
    /// ```
    /// use switchboard::{Config, Reactor};
    ///
    /// let mut reactor: Reactor<()> = Reactor::new(Config::default())?;
    /// reactor.hub().spawn_blocking(
    ///     || std::fs::read_to_string("/etc/hostname"),
    ///     |hub, name| {
    ///         println!("{name:?}");
    ///         hub.stop();
    ///     },
    /// )?;
    /// reactor.run(&mut ())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn_blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&mut Self, T) + 'static,
    ) -> io::Result<()> {
        let result = Arc::new(Mutex::new(None));
        let place = Arc::clone(&result);
        let work = move || *lock(&place) = Some(work());
        let then = move |hub: &mut Self| {
            let result = lock(&result).take();
            if let Some(result) = result {
                then(hub, result);
            }
        };
        self.pool.submit(Box::new(work), Box::new(then))
    }
}

impl Pool {
    pub(crate) fn new(waker: Arc<Waker>, most_threads: usize, most_waiting: usize) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            available: Condvar::new(),
            waker,
        });
        Self {
            shared,
            pending: HashMap::new(),
            next: 0,
            threads: 0,
            most_threads,
            most_waiting,
        }
    }

    fn submit(&mut self, work: Work, then: Then) -> io::Result<()> {
        let mut queue = lock(&self.shared.queue);
        if queue.jobs.len() >= self.most_waiting {
            let text = format!("{} jobs are waiting for a thread", queue.jobs.len());
            return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
        }
        if queue.idle <= queue.jobs.len() && self.threads < self.most_threads {
            match start(&self.shared) {
                Ok(()) => self.threads += 1,
                // Those that run will come to it.
                Err(error) if self.threads > 0 => log::warn!("no further thread: {error}"),
                Err(error) => return Err(error),
            }
        }
        let number = self.next;
        self.next += 1;
        self.pending.insert(number, then);
        queue.jobs.push_back((number, work));
        drop(queue);
        self.shared.available.notify_one();
        Ok(())
    }

    /// What is to be done with the results that have come since the last call.
    pub(crate) fn ended(&mut self) -> Vec<Then> {
        let ended = std::mem::take(&mut lock(&self.shared.queue).ended);
        let mut due = Vec::with_capacity(ended.len());
        for (number, done) in ended {
            let Some(then) = self.pending.remove(&number) else {
                continue;
            };
            if done {
                due.push(then);
            } else {
                log::error!("a blocking job panicked");
                // Dropped where the application's own panics are caught.
                due.push(Box::new(|_| drop(then)));
            }
        }
        due
    }

    /// Jobs that wait, run, or have a result that was not taken up yet.
    pub(crate) fn unfinished(&self) -> usize {
        self.pending.len()
    }
}

/// A thread that blocks cannot be stopped, so none is waited for.
impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = lock(&self.shared.queue);
        queue.closed = true;
        queue.jobs.clear();
        self.shared.available.notify_all();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.threads)
            .field("unfinished", &self.unfinished())
            .finish_non_exhaustive()
    }
}

fn start(shared: &Arc<Shared>) -> io::Result<()> {
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name("switchboard-blocking".to_owned())
        .spawn(move || serve(&shared))
        .map(drop)
}

/// What each thread does: one job after the other, until the reactor is gone.
fn serve(shared: &Shared) {
    let mut queue = lock(&shared.queue);
    while !queue.closed {
        let Some((number, work)) = queue.jobs.pop_front() else {
            queue.idle += 1;
            let woken = shared.available.wait(queue);
            queue = woken.unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
            continue;
        };
        drop(queue);
        let done = catch_unwind(AssertUnwindSafe(work)).is_ok();
        queue = lock(&shared.queue);
        queue.ended.push((number, done));
        if let Err(error) = shared.waker.wake() {
            log::error!("cannot wake the loop: {error}");
        }
    }
}

/// Nothing panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
