//! Child processes: this test binary again, for one test, with what the test gives to it.

use std::any::type_name_of_val;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// Set in a child process.
const CHILD: &str = "SWITCHBOARD_TEST_CHILD";

/// Before each line that a child says, since the test harness speaks on standard output, too.
const MARK: &str = "child: ";

/// Runs `body`, a closure of the calling test, if this is its child process, and ends the process.
/// In the test itself: how to start the child.
pub(crate) fn child<F: FnOnce()>(body: F) -> Command {
    let path = type_name_of_val(&body).trim_end_matches("::{{closure}}");
    let name = path.split_once("::").map_or(path, |(_, name)| name);
    if std::env::var_os(CHILD).is_some() {
        body();
        std::process::exit(0);
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--nocapture", "--test-threads=1", name])
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Says a line to the test.
pub(crate) fn say(line: &str) {
    println!("\n{MARK}{line}");
}

/// A child that runs, and what it says. It does not outlive the test.
pub(crate) struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    #[cfg(feature = "signals")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the child writes to, if that is a pipe.
    pub(crate) fn input(&mut self) -> std::process::ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// Waits for the next line of the child. `None` if it has nothing more to say.
    pub(crate) fn hear(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(said) = line.trim_end().strip_prefix(MARK) {
                return Some(said.to_owned());
            }
        }
    }

    /// Fails unless these are the child's next lines.
    pub(crate) fn expect(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.hear().as_deref(), Some(*line));
        }
    }

    /// Waits until the child has ended, which must have said nothing more.
    pub(crate) fn end(mut self) -> ExitStatus {
        assert_eq!(self.hear(), None);
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a child to its end, which must be a good one, and returns what it has said.
pub(crate) fn run(command: &mut Command) -> Vec<String> {
    let mut running = Running::start(command);
    let mut output = String::new();
    running.output.read_to_string(&mut output).unwrap();
    let status = running.child.wait().unwrap();
    assert!(status.success(), "{status}: {output}");
    lines(&output)
}

/// The lines of a child among all that has come from it.
pub(crate) fn lines(output: &str) -> Vec<String> {
    let said = |line: &str| Some(line.trim_end().strip_prefix(MARK)?.to_owned());
    output.lines().filter_map(said).collect()
}

/// Python, for what needs system calls that are not safe to make from here. `None`, and a word
/// about it, if there is none.
pub(crate) fn python(script: &str) -> Option<Command> {
    let found = Command::new("python3")
        .args(["-c", "import os, pty, socket, subprocess"])
        .stderr(Stdio::null())
        .status();
    if !found.is_ok_and(|status| status.success()) {
        println!("skipped: there is no python3 here");
        return None;
    }
    let mut command = Command::new("python3");
    command
        .args(["-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    Some(command)
}
