//! Standard input as a connection: whatever it is, and without harm to standard output.

use std::fs::File;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use switchboard::tcp::{Cx, Framed, Handler, Lines};
use switchboard::{CloseReason, Config, ConnId, Driver, Hub, Limits, Origin, Reactor};

use crate::child::{Running, child, lines, python, run, say};

/// Says what it reads, up to the longest line that is worth it, and obeys some of it.
#[derive(Default)]
struct Reader {
    bytes: usize,
    paused: Option<ConnId>,
}

impl Handler<Lines> for Reader {
    type Conn = ();

    fn on_open(&mut self, _: &mut Cx<'_, Lines>) -> Option<()> {
        say("open");
        Some(())
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Lines>, (): &mut (), line: &[u8]) {
        self.bytes += line.len() + 1;
        match line {
            b"close" => cx.close(),
            b"pause" => {
                self.paused = Some(cx.id());
                cx.pause();
                say("pause");
            }
            _ if line.len() > 64 => {}
            _ => say(&format!("line {}", line.escape_ascii())),
        }
    }

    fn on_close(&mut self, cx: &mut Cx<'_, Lines>, (): (), reason: CloseReason) {
        say(&format!("close {reason:?} after {} bytes", self.bytes));
        cx.hub().stop();
    }
}

/// What comes here resumes the reader.
struct Resume;

impl Driver<Reader> for Resume {
    fn on_open(&mut self, _: &mut Reader, _: &mut Hub, _: ConnId, _: Origin) {}

    fn on_data(&mut self, reader: &mut Reader, hub: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
        if let Some(id) = reader.paused.take() {
            hub.resume(id);
        }
        data.len()
    }

    fn on_close(&mut self, _: &mut Reader, _: &mut Hub, _: ConnId, _: CloseReason) {}
}

fn reactor() -> Reactor<Reader> {
    // Who reads for us does not know that we have closed before there is more to read.
    let limits = Limits {
        linger: Duration::ZERO,
        ..Limits::default()
    };
    let config = Config {
        limits,
        ..Config::default()
    };
    let mut reactor = Reactor::new(config).unwrap();
    let lines = reactor.add_driver(Framed::new(Lines::default()));
    reactor.adopt(switchboard::stdin().unwrap(), lines).unwrap();
    reactor
}

/// Reads standard input to its end, by the loop.
fn read_all() {
    let before = modes();
    let mut reactor = reactor();
    reactor.run(&mut Reader::default()).unwrap();
    assert_eq!(modes(), before, "they are as they were");
    say(&format!("non-blocking {before:?}"));
}

/// Whether standard input, output and error are in non-blocking mode.
fn modes() -> [bool; 3] {
    [0, 1, 2].map(|descriptor| {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = i32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
        flags & libc::O_NONBLOCK != 0
    })
}

const BLOCKING: &str = "non-blocking [false, false, false]";

#[test]
fn a_pipe_is_read_as_it_comes_and_its_end_is_the_connections() {
    let mut command = child(|| {
        read_all();
    });
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let mut input = running.input();
    running.expect(&["open"]);
    input.write_all(b"one\ntwo\nthr").unwrap();
    running.expect(&["line one", "line two"]);
    input.write_all(b"ee\n").unwrap();
    running.expect(&["line three"]);
    drop(input);
    running.expect(&["close Peer after 14 bytes", BLOCKING]);
    assert!(running.end().success());
}

/// Linux's poller refuses it.
#[test]
fn a_file_is_read_to_its_end() {
    let mut command = child(|| {
        read_all();
    });
    let path = std::env::temp_dir().join(format!("switchboard-stdin-{}", std::process::id()));
    let mut text: Vec<u8> = b"first\n".to_vec();
    for _ in 0..10_000 {
        text.extend_from_slice(&[b'x'; 99]);
        text.push(b'\n');
    }
    text.extend_from_slice(b"last\n");
    std::fs::write(&path, &text).unwrap();
    let file = File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let said = run(command.stdin(file));
    let close = format!("close Peer after {} bytes", text.len());
    assert_eq!(said, ["open", "line first", "line last", &close, BLOCKING]);
}

#[test]
fn nothing_is_read_to_its_end_at_once() {
    let said = run(&mut child(|| {
        read_all();
    }));
    assert_eq!(said, ["open", "close Peer after 0 bytes", BLOCKING]);
}

#[test]
fn a_socket_is_read_to_its_end() {
    let mut command = child(|| {
        read_all();
    });
    let (theirs, mut ours) = UnixStream::pair().unwrap();
    let mut running = Running::start(command.stdin(OwnedFd::from(theirs)));
    ours.write_all(b"one\n").unwrap();
    running.expect(&["open", "line one"]);
    ours.shutdown(Shutdown::Write).unwrap();
    running.expect(&["close Peer after 4 bytes", BLOCKING]);
    assert!(running.end().success());
}

/// A directory.
#[test]
fn what_cannot_be_read_ends_at_once() {
    let mut command = child(|| {
        read_all();
    });
    let said = run(command.stdin(File::open("/").unwrap()));
    assert_eq!(said, ["open", "close Peer after 0 bytes", BLOCKING]);
}

/// A terminal is one open file for input and output: its mode is the mode of both.
#[test]
fn a_terminal_is_read_and_its_output_stays_in_blocking_mode() {
    let command = child(|| {
        read_all();
    });
    let script = "
import os, pty, subprocess, sys
ours, theirs = pty.openpty()
child = subprocess.Popen(sys.argv[1:], stdin=theirs, stdout=theirs, stderr=theirs)
os.close(theirs)
output = b''
def until(word):
    global output
    while word not in output:
        output += os.read(ours, 4096)
until(b'child: open')
os.write(ours, b'one\\n')
until(b'child: line one')
os.write(ours, b'two\\n')
until(b'child: line two')
os.write(ours, b'\\x04')
try:
    while True:
        data = os.read(ours, 4096)
        if not data:
            break
        output += data
except OSError:
    pass
sys.stdout.buffer.write(output)
sys.exit(child.wait())
";
    let Some(mut python) = python(script) else {
        return;
    };
    python.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        python.env(name, value.unwrap());
    }
    let output = python.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let expected = [
        "open",
        "line one",
        "line two",
        "close Peer after 8 bytes",
        BLOCKING,
    ];
    assert_eq!(lines(&said), expected);
}

/// The thread that reads it is stuck in its call; nobody waits for it.
#[test]
fn an_input_that_we_close_need_not_end() {
    let mut command = child(|| {
        read_all();
    });
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let mut input = running.input();
    input.write_all(b"one\nclose\n").unwrap();
    running.expect(&["open", "line one", "close Local after 10 bytes", BLOCKING]);
    assert!(running.end().success());
    drop(input);
}

/// Whoever writes to us is held back by the pipe, and not by our memory.
#[test]
fn a_paused_input_holds_its_writer_back_and_loses_nothing() {
    /// Far more than a pipe and a pair of sockets hold.
    const FLOOD: usize = 8 * 1024 * 1024;
    let mut command = child(|| {
        let mut reactor = reactor();
        let resume = reactor.add_driver(Resume);
        // The one thing left to hear us by.
        let stderr = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
        reactor.adopt(UnixStream::from(stderr), resume).unwrap();
        reactor.run(&mut Reader::default()).unwrap();
    });
    let (theirs, mut ours) = UnixStream::pair().unwrap();
    command.stdin(Stdio::piped()).stderr(OwnedFd::from(theirs));
    let mut running = Running::start(&mut command);
    let mut input = running.input();
    input.write_all(b"pause\n").unwrap();
    running.expect(&["open", "pause"]);

    // A writer that does not want to wait is told so, and not blocked by ways of the kernel.
    let mut input = mio::unix::pipe::Sender::from(input);
    input.set_nonblocking(true).unwrap();
    let line = [&[b'x'; 1023][..], b"\n"].concat();
    let flood = line.repeat(FLOOD / line.len());
    let (mut written, mut refusals) = (0, 0);
    while refusals < 1_000 {
        match input.write(&flood[written..]) {
            Ok(more) => written += more,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                refusals += 1;
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
        assert!(written < FLOOD / 2, "nothing holds us back");
    }
    input.set_nonblocking(false).unwrap();
    ours.write_all(b"go on").unwrap();
    input.write_all(&flood[written..]).unwrap();
    drop(input);
    let close = format!("close Peer after {} bytes", 6 + FLOOD);
    running.expect(&[&close]);
    assert!(running.end().success());
}
