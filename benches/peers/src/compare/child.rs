//! Child processes that never outlive the comparison: each is killed by its id
//! when its owner goes, and all of them when a signal ends this process.

use std::io::{BufRead, BufReader, Write};
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// The children that are not reaped yet: only their ids are certain to be ours.
static LIVE: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

fn live() -> MutexGuard<'static, Vec<Pid>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Kills the children when this process is interrupted or terminated, and lets
/// no other one start: whoever waits for one then fails, and every guard on its
/// way out does its work.
pub fn kill_on_signal() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        // Held, so that no child is started or reaped meanwhile.
        let live = live();
        INTERRUPTED.store(true, Ordering::Relaxed);
        for &pid in live.iter() {
            let _ = kill_process(pid, Signal::KILL);
        }
    })
    .context("cannot handle signals")
}

/// A running child whose stdin and stdout are pipes to here.
pub struct Child {
    process: process::Child,
    pid: Pid,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Child {
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut live = live();
        ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", command.get_program().display()))?;
        let pid = Pid::from_child(&process);
        live.push(pid);
        drop(live);
        let stdin = process.stdin.take();
        let lines = read_lines(process.stdout.take());
        Ok(Self {
            process,
            pid,
            stdin,
            lines,
        })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits for a line that begins with `prefix`, and returns what follows.
    pub fn expect(&self, prefix: &str, limit: Duration) -> anyhow::Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(prefix) {
                        return Ok(rest.to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("no line `{prefix}` in {limit:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("ended before a line `{prefix}`"),
            }
        }
    }

    pub fn send_line(&mut self) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().context("stdin is closed")?;
        stdin.write_all(b"\n").context("cannot write to the child")
    }

    /// Asks the child to end.
    pub fn terminate(&self) -> anyhow::Result<()> {
        kill_process(self.pid, Signal::TERM).context("cannot terminate the child")
    }

    /// Waits until the child's stdout has ended, as it does when the child does.
    pub fn wait_for_end(&self, limit: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => bail!("did not end in {limit:?}"),
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let mut live = live();
        let _ = self.process.kill();
        let _ = self.process.wait();
        live.retain(|&pid| pid != self.pid);
    }
}

/// A thread, because a pipe cannot be read with a time limit.
fn read_lines(stdout: Option<ChildStdout>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout?).lines() {
            // Read on when nobody listens: the child must not block.
            let _ = sender.send(line.ok()?);
        }
        Some(())
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[test]
    fn returns_the_rest_of_the_expected_line() {
        let child = Child::start(Command::new("printf").arg("noise\nat 7\n")).unwrap();
        assert_eq!(child.expect("at ", LIMIT).unwrap(), "7");
        assert!(child.expect("at ", LIMIT).is_err());
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let child = Child::start(Command::new("sleep").arg("60")).unwrap();
        let pid = child.pid;
        drop(child);
        assert!(rustix::process::test_kill_process(pid).is_err());
        assert!(!live().contains(&pid));
    }
}
