//! A script of faults for tests: what the kernel would hardly ever say.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// A system call that [`Faults`] can script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// `accept4`
    Accept,
    /// `connect`
    Connect,
    /// `epoll_wait`
    Poll,
    /// `recv`
    Receive,
    /// `epoll_ctl(EPOLL_CTL_ADD)`
    Register,
    /// `send` and `sendmsg`
    Send,
}

/// What a scripted call does instead of, or with, the real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Fails with this error number and leaves the kernel alone.
    Errno(i32),
    /// Makes the real call with at most this many bytes. A short write is taken for a full socket:
    /// what is left waits for an edge.
    Short(usize),
    /// Makes the real call: a place in a script where nothing goes wrong.
    Pass,
}

/// A script of faults for the system calls of one reactor, and a count of them. For tests.
///
/// # Examples
///
/// ```
/// use switchboard::testing::{Call, Fault, Faults};
/// use switchboard::{Config, Reactor};
///
/// let faults = Faults::default();
/// faults.next(Call::Accept, Fault::Errno(libc::EMFILE));
/// let config = Config { faults: Some(faults.clone()), ..Config::default() };
/// let reactor: Reactor<()> = Reactor::new(config)?;
/// assert_eq!(faults.count(Call::Accept), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Faults(Rc<RefCell<Script>>);

#[derive(Debug, Default)]
struct Script {
    next: HashMap<Call, VecDeque<Fault>>,
    always: HashMap<Call, Fault>,
    counts: HashMap<Call, usize>,
}

impl Faults {
    /// Adds a fault for one call, behind those that are scripted for it already.
    pub fn next(&self, call: Call, fault: Fault) {
        self.0
            .borrow_mut()
            .next
            .entry(call)
            .or_default()
            .push_back(fault);
    }

    /// Lets every call meet this fault for which no single one is scripted, until
    /// [`clear`](Self::clear).
    pub fn always(&self, call: Call, fault: Fault) {
        self.0.borrow_mut().always.insert(call, fault);
    }

    /// Forgets what is scripted for `call`.
    pub fn clear(&self, call: Call) {
        let mut script = self.0.borrow_mut();
        script.next.remove(&call);
        script.always.remove(&call);
    }

    /// How often `call` was made, scripted or not.
    pub fn count(&self, call: Call) -> usize {
        self.0.borrow().counts.get(&call).copied().unwrap_or(0)
    }

    pub(crate) fn meet(&self, call: Call) -> Fault {
        let script = &mut *self.0.borrow_mut();
        *script.counts.entry(call).or_default() += 1;
        let scripted = script.next.get_mut(&call).and_then(VecDeque::pop_front);
        scripted
            .or_else(|| script.always.get(&call).copied())
            .unwrap_or(Fault::Pass)
    }
}
