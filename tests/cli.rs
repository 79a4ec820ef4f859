//! The echo example as its users meet it: a program with options, lines on its output, signals and
//! exit codes. The binary is the one that `cargo test` has built beside this test.
#![allow(
    clippy::unwrap_used,
    reason = "helpers may end a test as the tests themselves do"
)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

/// How long a client waits for the server before the test fails. Nothing should take that long.
const PATIENCE: Duration = Duration::from_secs(30);

/// `target/<profile>/examples/echo`, as seen from `target/<profile>/deps`.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let program = profile.join("examples").join("echo");
    assert!(
        program.exists(),
        "{} is missing: `cargo build --example echo` builds it",
        program.display()
    );
    program
}

/// The example with arguments that it does not start with: its exit code, output and complaints.
fn refused(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(program()).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// The example, running. It ends with the test, whatever happens.
struct Echo {
    process: Child,
    output: BufReader<ChildStdout>,
    addresses: Vec<SocketAddr>,
}

impl Echo {
    /// Starts it on these addresses, and reads where it listens.
    fn start(addresses: &[&str], options: &[&str]) -> Self {
        let mut command = Command::new(program());
        for address in addresses {
            command.args(["--tcp", address]);
        }
        let process = command.args(options).stdout(Stdio::piped()).spawn();
        let mut process = process.unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut listening = || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            let address = line.strip_prefix("listening tcp ").expect("the word");
            address.trim_end().parse().expect("an address")
        };
        let addresses = addresses.iter().map(|_| listening()).collect();
        Self {
            process,
            output,
            addresses,
        }
    }

    fn client(&self) -> TcpStream {
        client(self.addresses[0])
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.process.id());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end. It must have said nothing more.
    fn exit_code(&mut self) -> Option<i32> {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        self.process.wait().unwrap().code()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn client(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn assert_echoes(client: &mut TcpStream, message: &[u8]) {
    client.write_all(message).unwrap();
    let mut echo = vec![0; message.len()];
    client.read_exact(&mut echo).unwrap();
    assert_eq!(echo, message);
}

fn read_to_end(client: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    client
        .read_to_end(&mut received)
        .expect("an end, and no reset");
    received
}

#[test]
fn s0_09_each_address_is_told_with_its_real_port_and_echoes() {
    let echo = Echo::start(&["127.0.0.1:0", "127.0.0.2:0"], &[]);
    let hosts: Vec<_> = echo
        .addresses
        .iter()
        .map(|at| at.ip().to_string())
        .collect();
    assert_eq!(hosts, ["127.0.0.1", "127.0.0.2"]);
    for address in &echo.addresses {
        assert_ne!(address.port(), 0);
        let mut client = client(*address);
        assert_echoes(&mut client, b"hello\0\xff\n");
        client.write_all(b"last words").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut client), b"last words");
    }
}

/// As `cat` into it: megabytes, written and read at the same time.
#[test]
fn s0_09_a_long_stream_comes_back_byte_for_byte() {
    let echo = Echo::start(&["127.0.0.1:0"], &[]);
    let sent: Vec<u8> = (0..4 << 20).map(|at: u32| (at % 251) as u8).collect();
    let mut client = echo.client();
    let mut writer = client.try_clone().unwrap();
    let received = std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        read_to_end(&mut client)
    });
    assert!(received == sent, "{} bytes came back", received.len());
}

#[test]
fn s1_11_a_bad_address_is_one_line_and_exit_code_1() {
    for address in ["nonsense", "127.0.0.1:99999"] {
        let (code, output, complaint) = refused(&["--tcp", address]);
        assert_eq!((code, &output[..]), (Some(1), ""));
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        assert!(complaint.contains(&format!("`{address}`")), "{complaint}");
    }
}

/// That another address could be listened on does not help.
#[test]
fn s1_01_a_port_in_use_is_named_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, complaint) = refused(&["--tcp", "127.0.0.1:0", "--tcp", &address]);
    assert_eq!(code, Some(1));
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    assert!(complaint.contains(&address), "{complaint}");
}

#[test]
fn s1_11_bad_arguments_are_exit_code_2() {
    for arguments in [
        &["--no-such-flag"][..],
        &["--max-connections", "0"],
        &["--max-connections", "many"],
        &["--idle-timeout=-1"],
        &["--drain"],
        &["surplus"],
    ] {
        let (code, output, complaint) = refused(arguments);
        assert_eq!((code, &output[..]), (Some(2), ""), "{arguments:?}");
        let flag = arguments[0].split('=').next().unwrap();
        assert!(complaint.contains(flag), "{complaint}");
    }
}

/// Clients are told by a FIN and no reset, and once they have finished too, nothing is waited for.
#[test]
fn f24_sigterm_drains_and_exits_with_0() {
    let mut echo = Echo::start(&["127.0.0.1:0"], &[]);
    let mut busy = echo.client();
    let mut idle = echo.client();
    assert_echoes(&mut idle, b"idle from now on");
    assert_echoes(&mut busy, b"some of it");
    echo.signal("TERM");
    assert_eq!(read_to_end(&mut idle), b"");
    assert_eq!(read_to_end(&mut busy), b"");
    drop((busy, idle));
    assert_eq!(echo.exit_code(), Some(0));
}

#[test]
fn f24_sigint_is_taken_for_sigterm() {
    let mut echo = Echo::start(&["127.0.0.1:0"], &[]);
    echo.signal("INT");
    assert_eq!(echo.exit_code(), Some(0));
}

/// A client that never finishes its side is waited for until the deadline, and then reset.
#[test]
fn f24_a_client_that_stays_does_not_keep_the_server_beyond_its_deadline() {
    let mut echo = Echo::start(&["127.0.0.1:0"], &["--drain", "0.1"]);
    let mut client = echo.client();
    assert_echoes(&mut client, b"here to stay");
    echo.signal("TERM");
    assert_eq!(echo.exit_code(), Some(0));
    assert_eq!(read_to_end(&mut client), b"", "told before it was reset");
}

/// Who is not served waits in the backlog, and has its turn when a place is free.
#[test]
fn s1_12_further_clients_wait_while_all_places_are_taken() {
    let echo = Echo::start(&["127.0.0.1:0"], &["--max-connections", "2"]);
    let [mut first, mut second] = [echo.client(), echo.client()];
    assert_echoes(&mut first, b"one");
    assert_echoes(&mut second, b"two");
    let mut third = echo.client();
    third.write_all(b"three").unwrap();
    for _ in 0..50 {
        assert_echoes(&mut first, b"still one");
        assert_echoes(&mut second, b"still two");
    }
    third.set_nonblocking(true).unwrap();
    let nothing = third.read(&mut [0; 5]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);

    drop(first);
    third.set_nonblocking(false).unwrap();
    let mut echoed = [0; 5];
    third.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"three");
    assert_echoes(&mut second, b"and two");
}

#[test]
fn s1_13_idle_connections_are_closed() {
    let echo = Echo::start(&["127.0.0.1:0"], &["--idle-timeout", "0.2"]);
    let mut client = echo.client();
    assert_echoes(&mut client, b"and now silence");
    assert_eq!(read_to_end(&mut client), b"");
    assert_echoes(&mut echo.client(), b"the server goes on");
}

/// A client that reads nothing of what it is owed is closed at the most that may wait for it.
#[test]
fn f21_the_most_that_waits_to_be_sent_can_be_set() {
    let echo = Echo::start(&["127.0.0.1:0"], &["--max-backlog", "1"]);
    let mut client = echo.client();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    let megabytes = vec![0; 64 << 20];
    let error = client.write_all(&megabytes).unwrap_err();
    let closed = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    assert!(closed.contains(&error.kind()), "{error}");
    assert_echoes(&mut echo.client(), b"the server goes on");
}
