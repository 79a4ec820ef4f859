//! The examples as their users meet them: programs with options, lines on their output, signals and
//! exit codes. The binaries are those that `cargo test` has built beside this test.
#![allow(
    clippy::unwrap_used,
    reason = "helpers may end a test as the tests themselves do"
)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

/// How long a client waits for the server before the test fails. Nothing should take that long.
const PATIENCE: Duration = Duration::from_secs(30);

/// `target/<profile>/examples/<name>`, as seen from `target/<profile>/deps`.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let program = profile.join("examples").join(name);
    assert!(
        program.exists(),
        "{} is missing: `cargo build --example {name}` builds it",
        program.display()
    );
    program
}

/// An example that ends by itself: its exit code, output and complaints.
fn ended(name: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program(name));
    let command = command.args(arguments).stdin(Stdio::null());
    // Whatever may be passed to the test is not meant for it.
    let command = command.env_remove("LISTEN_FDS").env_remove("RUST_LOG");
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// The echo example with arguments that it does not start with.
fn refused(arguments: &[&str]) -> (Option<i32>, String, String) {
    ended("echo", arguments)
}

/// Checks that an example complains in one line, in which these words are, and exits with 1.
fn assert_complains(name: &str, arguments: &[&str], words: &[&str]) {
    let (code, _, complaint) = ended(name, arguments);
    assert_eq!(code, Some(1), "{name} {arguments:?}: {complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    assert!(complaint.starts_with("error: "), "{complaint}");
    for word in words {
        assert!(complaint.contains(word), "no `{word}` in: {complaint}");
    }
}

/// A path for a socket, with nothing there, and gone with the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let place = Self(std::env::temp_dir().join(format!("{name}-{}", std::process::id())));
        let _ = std::fs::remove_file(&place.0);
        place
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
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
        let mut command = Command::new(program("echo"));
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
    // And the server goes on. They say nothing: on a machine that is busy it might be too late.
    for _ in 0..3 {
        assert_eq!(read_to_end(&mut echo.client()), b"");
    }
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

#[test]
fn s1_11_each_example_complains_of_a_bad_address() {
    for address in ["nonsense", "127.0.0.1:99999", ":", ""] {
        let quoted = format!("`{address}`");
        let words = &["cannot resolve", &quoted, "expected HOST:PORT, such as"];
        assert_complains("client", &["tcp", address], words);
        assert_complains("client", &["udp", address], words);
        assert_complains("echo", &["--udp", address], words);
        assert_complains("forwarder", &["--listen", address, "127.0.0.1:1"], words);
        assert_complains("ok_server", &[address], words);
        assert_complains("operator", &[address], words);
    }
}

#[test]
fn s1_01_each_example_complains_of_an_address_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = &taken.local_addr().unwrap().to_string()[..];
    let words = &["cannot listen on tcp", address, "in use"];
    assert_complains("forwarder", &["--listen", address, "127.0.0.1:1"], words);
    assert_complains("ok_server", &[address], words);
    assert_complains("operator", &[address], words);
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = &taken.local_addr().unwrap().to_string()[..];
    assert_complains("echo", &["--udp", address], &["udp", address, "in use"]);
}

#[test]
fn s1_11_each_example_takes_bad_arguments_for_exit_code_2() {
    for (name, arguments) in [
        ("client", &[][..]),
        ("client", &["tcp"]),
        ("client", &["smoke", "signals"]),
        ("client", &["--timeout", "soon", "tcp", "127.0.0.1:1"]),
        ("echo", &["--unix"]),
        ("echo", &["--inherited=yes"]),
        ("forwarder", &[]),
        ("forwarder", &["--proxy-out", "v3", "127.0.0.1:1"]),
        ("ok_server", &["--timeout", "soon"]),
        ("operator", &["--loud"]),
    ] {
        let (code, output, complaint) = ended(name, arguments);
        assert_eq!((code, &output[..]), (Some(2), ""), "{name} {arguments:?}");
        assert!(complaint.contains("--help"), "{complaint}");
    }
}

#[test]
fn s1_11_each_example_explains_itself() {
    for name in ["client", "echo", "forwarder", "ok_server", "operator"] {
        let (code, output, complaint) = ended(name, &["--help"]);
        assert_eq!((code, &complaint[..]), (Some(0), ""));
        assert!(output.contains("Usage: "), "{output}");
    }
}

/// What the introductions print, and the reason beside it.
#[test]
fn s1_15_the_ok_server_says_that_it_cannot_bind() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, output, _) = ended("ok_server", &[&address]);
    let lines = "Socket Created\nBind Failed...\n";
    assert_eq!((code, &output[..]), (Some(1), lines));
}

#[test]
fn s2_08_a_client_without_a_server_says_whom_it_wanted_and_what_to_do() {
    // Bound, and not listened on.
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    silent
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let address = silent.local_addr().unwrap().as_socket().unwrap();
    let (address, advice) = (address.to_string(), "start the server");
    let words = &["tcp", &address, "refused", advice, "--retry"];
    assert_complains("client", &["tcp", &address], words);

    let place = Place::new("nobody");
    let words = &["unix", place.text(), "No such file", advice];
    assert_complains("client", &["unix", place.text()], words);
}

#[test]
fn s0_10_a_path_in_use_is_left_to_who_has_it() {
    let place = Place::new("taken");
    let taken = UnixListener::bind(place.text()).unwrap();
    let words = &["unix", place.text(), "another process listens there"];
    assert_complains("echo", &["--unix", place.text()], words);
    UnixStream::connect(place.text()).unwrap();
    drop(taken);

    let place = Place::new("precious");
    std::fs::write(&place.0, "precious").unwrap();
    let words = &["unix", place.text(), "remove it or choose another path"];
    assert_complains("echo", &["--unix", place.text()], words);
    assert_eq!(std::fs::read(&place.0).unwrap(), b"precious");
}

#[test]
fn s0_10_a_path_that_cannot_be_is_named() {
    let place = Place::new("nothing");
    let inside = format!("{}/echo", place.text());
    assert_complains("echo", &["--unix", &inside], &["unix", &inside]);
    let long = "x".repeat(200);
    assert_complains("echo", &["--unix", &long], &["at most 107 bytes"]);
}

/// It would serve nothing, for ever.
#[test]
fn s0_09_inheriting_nothing_is_an_error() {
    assert_complains("echo", &["--inherited"], &["LISTEN_FDS"]);
}

/// TLS without a certificate, a certificate without TLS, and halves of other pairs.
#[test]
fn tls_that_is_asked_for_by_halves_is_exit_code_2() {
    for (name, arguments, word) in [
        ("chat", &["--key", "a"][..], "--cert"),
        ("client", &["tls"], "--help"),
        ("client", &["tcp", "a:1", "--insecure"], "--insecure"),
        ("client", &["tls", "a:1", "--insecure", "--ca", "a"], "--ca"),
        ("echo", &["--tls", "127.0.0.1:0"], "--self-signed"),
        ("echo", &["--wss", "127.0.0.1:0"], "--self-signed"),
        ("echo", &["--self-signed"], "--tls or --wss"),
        ("echo", &["--tls", "127.0.0.1:0", "--cert", "a"], "--key"),
        ("echo", &["--self-signed", "--cert", "a"], "--cert"),
        ("echo", &["--require-client-cert"], "--client-ca"),
        ("web", &["--redirect", "127.0.0.1:0"], "--self-signed"),
        ("websocket_client", &["ws://a/", "--insecure"], "wss://"),
    ] {
        let (code, output, complaint) = ended(name, arguments);
        assert_eq!((code, &output[..]), (Some(2), ""), "{name} {arguments:?}");
        assert!(complaint.contains(word), "no `{word}` in: {complaint}");
    }
}

#[test]
fn files_that_tls_cannot_be_spoken_with_are_named_by_who_wants_them() {
    let pair = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (good, other) = (pair(), pair());
    let (cert, key) = (Place::new("cert.pem"), Place::new("key.pem"));
    let files = ["--cert", cert.text(), "--key", key.text()];
    let (cert_text, key_text) = (good.cert.pem(), other.signing_key.serialize_pem());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n";
    for (certificate, private, words) in [
        (None, None, ["cannot read", cert.text()]),
        (Some("nonsense"), None, ["no certificate", cert.text()]),
        (Some(&cert_text), None, ["cannot read", key.text()]),
        (
            Some(&cert_text),
            Some("nonsense"),
            ["no private key", key.text()],
        ),
        (
            Some(&cert_text),
            Some(encrypted),
            ["openssl pkey", key.text()],
        ),
        (
            Some(&cert_text),
            Some(&key_text),
            ["does not go with", key.text()],
        ),
    ] {
        for (place, text) in [(&cert, certificate), (&key, private)] {
            if let Some(text) = text {
                std::fs::write(&place.0, text).unwrap();
            }
        }
        let echo = [&["--tls", "127.0.0.1:0"], &files[..]].concat();
        let client = [&["tls", "localhost:1", "--insecure"], &files[..]].concat();
        assert_complains("echo", &echo, &words);
        assert_complains("client", &client, &words);
        assert_complains("chat", &files, &words);
        assert_complains("web", &files, &words);
    }
}

/// A key that anybody could read, or that stays behind, would be worse than none.
#[test]
fn a_certificate_that_was_made_lies_where_nobody_else_looks_and_goes_with_the_server() {
    let mut command = Command::new(program("echo"));
    let command = command.args(["--tls", "127.0.0.1:0", "--self-signed"]);
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let cert = PathBuf::from(line.strip_prefix("certificate ").unwrap().trim_end());
    let folder = cert.parent().unwrap();
    let text = std::fs::read_to_string(&cert).unwrap();
    let mode = std::fs::metadata(folder).unwrap().permissions().mode();
    let mut rest = String::new();
    output.read_line(&mut rest).unwrap();
    let mut echo = Echo {
        process,
        output,
        addresses: Vec::new(),
    };
    echo.signal("TERM");
    assert_eq!(echo.exit_code(), Some(0));
    assert!(text.starts_with("-----BEGIN CERTIFICATE-----"), "{text}");
    assert!(rest.starts_with("listening tls 127.0.0.1:"), "{rest}");
    assert_eq!(mode & 0o777, 0o700);
    assert!(!folder.exists(), "{} is left behind", folder.display());
}

/// Whoever looks for a way round a certificate is told what it costs.
#[test]
fn the_help_names_the_danger_of_looking_at_no_certificate() {
    for (name, arguments) in [
        ("client", &["tls", "--help"][..]),
        ("websocket_client", &["--help"]),
    ] {
        let (_, output, _) = ended(name, arguments);
        let about = output.split("--insecure").nth(1).unwrap();
        assert!(about.trim_start().starts_with("DANGEROUS"), "{about}");
    }
}
