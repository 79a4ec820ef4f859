//! Echo over TCP: switchboard's reactor beside a thread for each connection.
//!
//! ```sh
//! cargo bench --bench throughput                      # all points, about a minute
//! cargo bench --bench throughput -- "1024 x 64 B"     # those whose name contains this
//! cargo bench --bench throughput -- --test            # each once, without measuring
//! ```
//!
//! Both servers run in a thread of this process and have the same client, which is a process of
//! its own: this binary again, started with `--client`. It keeps one message in flight on each
//! connection, so the figure is the throughput of a closed loop. An iteration is one message for
//! each connection, wherever the echoes come fastest.
//!
//! With one connection both sides take turns sleeping, and the figure is the scheduler's: several
//! times better where it runs both on one processor.

use std::error::Error;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use mio::{Events, Interest, Poll, Token};
use switchboard::{Config, Reactor, tcp};

/// The first argument that makes this process the client.
const CLIENT: &str = "--client";

/// No echo at all for this long means that the server has lost a message.
const STALLED: Duration = Duration::from_secs(30);

/// Bytes that a thread of the other server reads at a time: more than any message here has.
const THREAD_BUFFER: usize = 16 * 1024;

/// A thread that only copies bytes needs little; a thousand of them shall not need much.
const THREAD_STACK: usize = 64 * 1024;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == CLIENT) {
        if let Err(error) = client(&arguments[1..]) {
            eprintln!("client: {error}");
            std::process::exit(1);
        }
        return;
    }
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for connections in [1, 16, 128, 1024] {
        for (size, name) in [(64, "64 B"), (4096, "4 KiB")] {
            compare(
                &mut criterion,
                &format!("echo {connections} x {name}"),
                connections,
                size,
            );
        }
    }
    criterion.final_summary();
}

/// Measures both servers under one load, side by side.
fn compare(criterion: &mut Criterion, name: &str, connections: u64, size: u64) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::ElementsAndBytes {
        elements: connections,
        bytes: connections * size,
    });
    for (server, start) in [
        ("switchboard", reactor as fn() -> Server),
        ("threads", threads),
    ] {
        // Started by the first sample: a point that is filtered out costs nothing.
        let mut load = None;
        group.bench_function(server, |bencher| {
            let load = load.get_or_insert_with(|| Load::start(start(), connections, size));
            bencher.iter_custom(|iterations| load.client.run(iterations * connections));
        });
        if let Some(load) = load {
            load.stop();
        }
    }
    group.finish();
}

/// A server and the client that keeps it busy.
struct Load {
    server: Server,
    client: Client,
}

impl Load {
    fn start(server: Server, connections: u64, size: u64) -> Self {
        let client = Client::start(server.address, connections, size);
        Self { server, client }
    }

    /// The client first: with its connections the threads that serve them end.
    fn stop(self) {
        self.client.stop();
        (self.server.stop)();
        self.server
            .thread
            .join()
            .expect("a server that did not panic");
    }
}

struct Server {
    address: SocketAddr,
    stop: Box<dyn FnOnce()>,
    thread: JoinHandle<()>,
}

struct Echo;

impl tcp::Handler for Echo {
    type Conn = ();

    fn on_open(&mut self, _: &mut tcp::Cx<'_, tcp::Raw>) -> Option<()> {
        Some(())
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, (): &mut (), message: &[u8]) {
        cx.send(message).ignore();
    }
}

/// One thread with a reactor, all settings as they come.
fn reactor() -> Server {
    let (started, start) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut reactor = Reactor::new(Config::default()).expect("a poller");
        let echo = reactor.add_driver(tcp::Framed::raw());
        let listening = reactor.listen("127.0.0.1:0", echo).expect("a port");
        started
            .send((
                listening.local_addr.ip().expect("an IP address"),
                reactor.remote(),
            ))
            .expect("somebody who waits for the address");
        reactor
            .run(&mut Echo)
            .expect("a loop that ends when it is told to");
    });
    let (address, remote) = start.recv().expect("a server that starts");
    let stop = move || remote.post(|_, hub| hub.stop()).expect("a loop that runs");
    Server {
        address,
        stop: Box::new(stop),
        thread,
    }
}

/// A thread for each connection, with blocking reads and writes.
fn threads() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let stopping = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stopping);
    let thread = thread::spawn(move || {
        let mut echoes = Vec::new();
        for stream in listener.incoming() {
            if seen.load(Ordering::Relaxed) {
                break;
            }
            let stream = stream.expect("a connection");
            let echo = thread::Builder::new().stack_size(THREAD_STACK);
            echoes.push(
                echo.spawn(move || echo_until_eof(stream))
                    .expect("a thread"),
            );
        }
        for echo in echoes {
            echo.join()
                .expect("an echo that did not panic")
                .expect("an orderly end");
        }
    });
    let stop = move || {
        stopping.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(address).expect("a listener that still accepts"));
    };
    Server {
        address,
        stop: Box::new(stop),
        thread,
    }
}

fn echo_until_eof(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; THREAD_BUFFER];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => stream.write_all(&buffer[..read])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The client's process, as this one sees it: numbers of messages go in, times in nanoseconds come
/// out.
struct Client {
    process: Child,
    answers: BufReader<ChildStdout>,
}

impl Client {
    fn start(address: SocketAddr, connections: u64, size: u64) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("the name of this binary"))
            .arg(CLIENT)
            .args([
                address.to_string(),
                connections.to_string(),
                size.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a client");
        let answers = process.stdout.take().expect("the client's output");
        Self {
            process,
            answers: BufReader::new(answers),
        }
    }

    /// Has this many messages echoed, and returns how long that took.
    fn run(&mut self, messages: u64) -> Duration {
        let orders = self.process.stdin.as_mut().expect("the client's input");
        writeln!(orders, "{messages}").expect("a client that takes orders");
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .expect("the client's output");
        let took = answer
            .trim()
            .parse()
            .expect("a client that has not failed: see above");
        Duration::from_nanos(took)
    }

    /// Without further orders it ends.
    fn stop(mut self) {
        drop(self.process.stdin.take());
        let status = self.process.wait().expect("the client's end");
        assert!(status.success(), "client: {status}");
    }
}

/// What the client's process does: `--client ADDRESS CONNECTIONS SIZE`.
fn client(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [address, connections, size] = arguments else {
        return Err("expected ADDRESS CONNECTIONS SIZE".into());
    };
    let mut loops = ClosedLoop::connect(address.parse()?, connections.parse()?, size.parse()?)?;
    let mut output = io::stdout().lock();
    for order in io::stdin().lock().lines() {
        let took = loops.run(order?.parse()?)?;
        writeln!(output, "{}", took.as_nanos())?;
    }
    Ok(())
}

/// Connections with at most one message in flight each, and none between two runs.
struct ClosedLoop {
    poll: Poll,
    events: Events,
    lines: Vec<Line>,
    message: Vec<u8>,
    buffer: Vec<u8>,
}

struct Line {
    stream: mio::net::TcpStream,
    /// Bytes of the present echo that have come.
    received: usize,
}

impl ClosedLoop {
    /// Connects one after the other, each when the server's backlog has taken the one before.
    fn connect(address: SocketAddr, connections: usize, size: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut lines = Vec::with_capacity(connections);
        for number in 0..connections {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(number), Interest::READABLE)?;
            lines.push(Line {
                stream,
                received: 0,
            });
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            lines,
            message: (0..size).map(|at| at as u8 ^ (at >> 8) as u8).collect(),
            buffer: vec![0; size],
        })
    }

    /// Sends exactly `messages`, and returns when the last echo has come.
    fn run(&mut self, messages: u64) -> io::Result<Duration> {
        let start = Instant::now();
        let first = messages.min(self.lines.len() as u64);
        for line in &mut self.lines[..first as usize] {
            line.send(&self.message)?;
        }
        let (mut unsent, mut unanswered) = (messages - first, messages);
        while unanswered > 0 {
            match self.poll.poll(&mut self.events, Some(STALLED)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            if self.events.is_empty() {
                return Err(io::Error::other(format!("{unanswered} echoes are missing")));
            }
            for event in &self.events {
                let line = &mut self.lines[event.token().0];
                if !line.receive(&self.message, &mut self.buffer)? {
                    continue;
                }
                unanswered -= 1;
                if unsent > 0 {
                    unsent -= 1;
                    line.send(&self.message)?;
                }
            }
        }
        Ok(start.elapsed())
    }
}

impl Line {
    /// Nothing else is in flight, so the kernel has room for the whole message.
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.stream.write_all(message)
    }

    /// Reads what has come. True if that completes the echo: more cannot follow, so nothing more is
    /// read.
    fn receive(&mut self, message: &[u8], buffer: &mut [u8]) -> io::Result<bool> {
        while self.received < message.len() {
            let missing = &message[self.received..];
            match self.stream.read(&mut buffer[..missing.len()]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) if buffer[..read] == missing[..read] => self.received += read,
                Ok(_) => return Err(io::Error::other("other bytes came back than were sent")),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.received = 0;
        Ok(true)
    }
}
