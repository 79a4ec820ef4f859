//! Running out of descriptors in earnest: a process with few of them, and more clients than it can
//! hold.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use switchboard::{Config, ConnId, Exhaustion, Hub, Listen, Reactor};

use crate::alone::{alone, command, is_alone, test_name};
use crate::support::{Recorder, World, descriptors};

const FEW: usize = 64;
const CLIENTS: usize = 200;

/// The server's side, in a process of its own: echoes, tells what it went through, and stops when
/// told to.
fn serve(listen: Listen) {
    let mut reactor = Reactor::new(Config::default()).expect("a reactor");
    let driver = reactor.add_driver(Recorder);
    let listening = reactor.listen(listen, driver).expect("a port");
    println!("\nlistening {}", listening.local_addr);
    let mut world = World {
        on_data: Some(Box::new(answer)),
        ..World::default()
    };
    reactor.run(&mut world).expect("a loop that does not fail");
}

fn answer(hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
    match data[0] {
        b'?' => {
            let totals = hub.totals();
            let report = format!(
                "{} {} {}\n",
                totals.accept_errors, totals.refused, totals.turns
            );
            hub.send(id, report.as_bytes()).ignore();
        }
        b'.' => hub.stop(),
        _ => hub.send(id, data).ignore(),
    }
    data.len()
}

/// The server's process. One that a failed test leaves behind would hold the test run up.
struct Server {
    child: Child,
    /// Kept open: what it prints at its end must not fail.
    printed: BufReader<ChildStdout>,
}

impl Server {
    fn start(test: &str) -> Self {
        let mut command = command(test, FEW);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a shell");
        let printed = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, printed }
    }

    /// Where it listens: what it says first.
    fn address(&mut self) -> SocketAddr {
        let mut lines = self.printed.by_ref().lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("listening ")?.parse().ok());
        address.expect("a server that has begun")
    }

    /// It ends well if its last client says so.
    fn stop(mut self, mut last: TcpStream) {
        last.write_all(b".").unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A fault in the server shall fail the test and not hang it.
fn blocking_client(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a place in the backlog");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

fn ask(client: &mut TcpStream, question: &[u8], length: usize) -> Vec<u8> {
    client.write_all(question).unwrap();
    let mut answer = vec![0; length];
    client.read_exact(&mut answer).expect("an answer");
    answer
}

/// Failed accepts, refused clients, turns.
fn report(client: &mut TcpStream) -> [u64; 3] {
    client.write_all(b"?").unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(client);
    reader.read_line(&mut line).expect("a report");
    let mut numbers = line.split_whitespace().map(|word| word.parse().unwrap());
    std::array::from_fn(|_| numbers.next().unwrap())
}

#[test]
fn f04_descriptors_exhausted_in_earnest_serves_everybody_in_the_end() {
    let name = test_name(&|| ());
    if is_alone() {
        return serve("127.0.0.1:0".into());
    }
    let mut server = Server::start(name);
    let address = server.address();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| blocking_client(address)).collect();
    for client in &mut clients {
        client.write_all(b"hello").unwrap();
    }
    // The first ones are served while the system has nothing left for the last ones.
    let first = &mut clients[0];
    let mut greeting = [0; 5];
    first.read_exact(&mut greeting).unwrap();
    assert_eq!(ask(first, b"again", 5), b"again");
    let [mut errors, _, _] = report(first);
    while errors == 0 {
        errors = report(first)[0];
    }
    for client in &mut clients[1..] {
        client.read_exact(&mut greeting).expect("to be served");
        assert_eq!(&greeting, b"hello");
        client.shutdown(Shutdown::Both).unwrap();
    }
    let [_, refused, turns] = report(&mut clients[0]);
    assert_eq!(refused, 0);
    assert!(turns < 50_000, "{turns} turns: it has been spinning");
    server.stop(clients.swap_remove(0));
}

#[test]
fn f04_descriptors_exhausted_in_earnest_may_shed_clients() {
    let name = test_name(&|| ());
    if is_alone() {
        return serve(Listen::tcp("127.0.0.1:0").exhaustion(Exhaustion::Shed));
    }
    let mut server = Server::start(name);
    let address = server.address();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| blocking_client(address)).collect();
    let (mut served, mut shed) = (0, 0);
    for client in &mut clients {
        // Whoever is shed may find that out when writing.
        let _ = client.write_all(b"hello");
        let mut greeting = [0; 5];
        match client.read_exact(&mut greeting) {
            Ok(()) => served += 1,
            Err(_) => shed += 1,
        }
    }
    assert!(served > 0 && shed > 0, "{served} served, {shed} shed");
    let [_, refused, turns] = report(&mut clients[0]);
    assert_eq!(refused, shed);
    assert!(turns < 50_000, "{turns} turns: it has been spinning");
    server.stop(clients.swap_remove(0));
}

/// Whatever cannot be had is an error for whoever asked, and nothing is left behind of the attempt.
#[test]
fn f05_no_descriptors_for_a_reactor_or_a_listener_is_an_error() {
    alone(FEW, || {
        let mut reactor: Reactor<World> = Reactor::new(Config::default()).expect("a reactor");
        let driver = reactor.add_driver(Recorder);
        let mut files = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            files.push(file);
        }
        for free in 0..3 {
            let error = Reactor::<World>::new(Config::default()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{free} free");
            files.pop();
        }
        files.truncate(files.len() - 4);
        let before = descriptors();
        let file = std::fs::File::open("/dev/null").unwrap();
        drop(Reactor::<World>::new(Config::default()).expect("enough by now"));
        drop(file);
        assert_eq!(descriptors(), before);
        while let Ok(file) = std::fs::File::open("/dev/null") {
            files.push(file);
        }
        reactor.listen("127.0.0.1:0", driver).unwrap_err();
        files.pop();
        let shed = Listen::tcp("127.0.0.1:0").exhaustion(Exhaustion::Shed);
        reactor.listen(shed, driver).unwrap_err();
        reactor
            .listen("127.0.0.1:0", driver)
            .expect("one is enough");
    });
}
