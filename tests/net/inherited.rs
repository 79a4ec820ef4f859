//! Sockets that a parent process has opened, passed as systemd passes them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::Command;

use switchboard::{
    Address, CloseReason, Config, ConnId, Driver, Hub, Inherited, Origin, Reactor, inherited,
};

use crate::child::{Running, child, python, run, say};

/// Opens the sockets that its first argument names, in their order, puts them from descriptor 3 on,
/// and becomes the child.
const PARENT: &str = "
import fcntl, os, socket, sys
kinds, path, listen_pid = sys.argv[1].split(','), sys.argv[2], sys.argv[3]
opened = []
for kind in kinds:
    if kind == 'tcp':
        opened.append(socket.create_server(('127.0.0.1', 0)))
    elif kind == 'tcp6':
        opened.append(socket.create_server(('::1', 0), family=socket.AF_INET6))
    elif kind == 'udp':
        opened.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        opened[-1].bind(('127.0.0.1', 0))
    elif kind == 'unix':
        opened.append(socket.socket(socket.AF_UNIX))
        opened[-1].bind(path)
        opened[-1].listen()
    elif kind == 'datagrams':
        opened.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    elif kind == 'stream':
        pair = socket.create_server(('127.0.0.1', 0))
        opened.append(socket.create_connection(pair.getsockname()))
    elif kind == 'file':
        opened.append(open('/dev/null'))
high = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD_CLOEXEC, 64) for one in opened]
for at, one in enumerate(high):
    os.dup2(one, 3 + at)
if listen_pid == 'own':
    os.environ['LISTEN_PID'] = str(os.getpid())
elif listen_pid == 'other':
    os.environ['LISTEN_PID'] = '1'
if listen_pid != 'absent':
    os.environ['LISTEN_FDS'] = str(len(opened))
os.execv(sys.argv[4], sys.argv[4:])
";

/// `command`, started with sockets of these kinds.
fn started_with(kinds: &str, path: &str, listen_pid: &str, command: &Command) -> Option<Command> {
    let mut python = python(PARENT)?;
    python.args([kinds, path, listen_pid]);
    python.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        python.env(name, value.unwrap());
    }
    Some(python)
}

/// Greets whoever comes, and ends when three have.
struct Greeter(usize);

impl Greeter {
    fn count(&mut self, hub: &mut Hub) {
        self.0 += 1;
        if self.0 == 3 {
            hub.shutdown(std::time::Duration::from_secs(5));
        }
    }
}

impl Driver<Self> for Greeter {
    fn on_open(&mut self, app: &mut Self, hub: &mut Hub, id: ConnId, origin: Origin) {
        if let Origin::Accepted { .. } = origin {
            hub.send(id, b"hello").ignore();
            hub.close(id);
            app.count(hub);
        }
    }

    fn on_data(&mut self, _: &mut Self, _: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
        data.len()
    }

    fn on_datagram(
        &mut self,
        app: &mut Self,
        hub: &mut Hub,
        id: ConnId,
        from: SocketAddr,
        _: &mut [u8],
    ) {
        hub.send_to(id, from, b"hello").ignore();
        app.count(hub);
    }

    fn on_close(&mut self, _: &mut Self, _: &mut Hub, _: ConnId, _: CloseReason) {}
}

/// Serves all that it was started with, and says where.
fn serve(inherited: Inherited) {
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let driver = reactor.add_driver(Greeter(0));
    for listener in inherited.listeners {
        match reactor.listen(listener, driver).unwrap().local_addr {
            Address::Ip(address) => say(&format!("tcp {address}")),
            Address::Unix(path) => say(&format!("unix {}", path.display())),
        }
    }
    for datagrams in inherited.datagrams {
        let bound = reactor.bind(datagrams, driver).unwrap();
        say(&format!("udp {}", bound.local_addr));
    }
    reactor.run(&mut Greeter(0)).unwrap();
}

fn hears_hello(mut stream: impl Read) {
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "hello");
}

fn word<'a>(line: &'a str, first: &str) -> &'a str {
    line.strip_prefix(first).unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn sockets_of_each_kind_are_taken_over_and_served() {
    let command = child(|| serve(inherited().unwrap()));
    let path = std::env::temp_dir().join(format!("switchboard-inherited-{}", std::process::id()));
    // A process with the same number, which did not come to its end, may have left it.
    let _ = fs::remove_file(&path);
    let path = path.to_str().unwrap();
    let kinds = "udp,tcp,unix";
    let Some(mut command) = started_with(kinds, path, "own", &command) else {
        return;
    };
    let mut running = Running::start(&mut command);
    let tcp = running.hear().unwrap();
    running.expect(&[&format!("unix {path}")]);
    let udp = running.hear().unwrap();

    hears_hello(TcpStream::connect(word(&tcp, "tcp ")).unwrap());
    hears_hello(UnixStream::connect(path).unwrap());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(word(&udp, "udp ")).unwrap();
    client.send(b"anybody?").unwrap();
    let mut heard = [0; 16];
    let length = client.recv(&mut heard).unwrap();
    assert_eq!(&heard[..length], b"hello");
    assert!(running.end().success());
    assert!(
        fs::symlink_metadata(path).is_ok(),
        "its file is the parent's"
    );
    fs::remove_file(path).unwrap();
}

#[test]
fn listeners_come_in_the_order_of_their_descriptors() {
    let command = child(|| {
        let passed = inherited().unwrap();
        say(&format!(
            "{} {}",
            passed.listeners.len(),
            passed.datagrams.len()
        ));
        let mut reactor: Reactor<Greeter> = Reactor::new(Config::default()).unwrap();
        let driver = reactor.add_driver(Greeter(0));
        for (at, listener) in passed.listeners.into_iter().enumerate() {
            let own = fs::read_link(format!("/proc/self/fd/{}", 3 + at)).unwrap();
            let listening = reactor.listen(listener, driver).unwrap();
            // Its inode, which a descriptor above is a copy of.
            let own = own.to_str().unwrap();
            let socket = own.trim_matches(|c: char| !c.is_ascii_digit());
            let port = listening.local_addr.ip().unwrap().port();
            let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
            let of_port = |line: &&str| line.contains(&format!(":{port:04X} 00000000:0000 0A"));
            let line = table.lines().find(of_port).unwrap();
            say(&line
                .split_whitespace()
                .any(|word| word == socket)
                .to_string());
        }
    });
    let Some(mut command) = started_with("tcp,tcp,tcp,udp", "", "own", &command) else {
        return;
    };
    assert_eq!(run(&mut command), ["3 1", "true", "true", "true"]);
}

/// A process that was started by one with sockets is not one with sockets.
#[test]
fn sockets_for_another_process_and_none_at_all_are_none() {
    let command = child(|| {
        let passed = inherited().unwrap();
        say(&format!(
            "{} {}",
            passed.listeners.len(),
            passed.datagrams.len()
        ));
    });
    for listen_pid in ["other", "absent"] {
        let Some(mut command) = started_with("tcp,udp", "", listen_pid, &command) else {
            return;
        };
        assert_eq!(run(&mut command), ["0 0"], "{listen_pid}");
    }
}

#[test]
fn sockets_are_taken_once() {
    let command = child(|| {
        for _ in 0..2 {
            say(&inherited().unwrap().listeners.len().to_string());
        }
        let variables = ["LISTEN_FDS", "LISTEN_PID"].map(|name| std::env::var_os(name).is_some());
        say(&format!("{variables:?}"));
    });
    let Some(mut command) = started_with("tcp", "", "own", &command) else {
        return;
    };
    assert_eq!(run(&mut command), ["1", "0", "[false, false]"]);
}

#[test]
fn a_descriptor_of_another_kind_is_named() {
    let command = child(|| say(&inherited().unwrap_err().to_string()));
    for (kinds, number) in [("file", 3), ("tcp,file", 4), ("tcp,udp,datagrams", 5)] {
        let Some(mut command) = started_with(kinds, "", "own", &command) else {
            return;
        };
        let expected = format!(
            "inherited descriptor {number} is no listener of TCP or the Unix domain, and no UDP socket"
        );
        assert_eq!(run(&mut command), [expected], "{kinds}");
    }
}

/// What we start ourselves must not keep the port.
#[test]
fn f36_inherited_sockets_are_not_passed_on() {
    let command = child(|| {
        let passed = inherited().unwrap();
        let mut reactor: Reactor<Greeter> = Reactor::new(Config::default()).unwrap();
        let driver = reactor.add_driver(Greeter(0));
        for listener in passed.listeners {
            // A copy that is kept: the one that came, and the one that listens.
            reactor.listen(listener.clone(), driver).unwrap();
            reactor.listen(listener, driver).unwrap();
        }
        let kept = passed.datagrams;
        let output = Command::new("sh")
            .args(["-c", "ls -l /proc/$$/fd | grep -c socket:"])
            .output()
            .unwrap();
        say(String::from_utf8(output.stdout).unwrap().trim());
        drop(kept);
    });
    let Some(mut command) = started_with("tcp,udp", "", "own", &command) else {
        return;
    };
    assert_eq!(run(&mut command), ["0"]);
}

/// A client that comes before the process has started waits for it.
#[test]
fn who_comes_early_waits_in_the_backlog() {
    let command = child(|| {
        let passed = inherited().unwrap();
        let mut reactor = Reactor::new(Config::default()).unwrap();
        let driver = reactor.add_driver(Greeter(0));
        let mut greeter = Greeter(0);
        for listener in passed.listeners {
            let probe = reactor.listen(listener.clone(), driver).unwrap();
            reactor.hub().close(probe.id);
            reactor
                .turn(&mut greeter, Some(std::time::Duration::ZERO))
                .unwrap();
            let address = probe.local_addr.ip().unwrap();
            // Nobody accepts now; the port is still bound.
            let mut early = TcpStream::connect(address).unwrap();
            early.write_all(b"early").unwrap();
            reactor.listen(listener, driver).unwrap();
            while greeter.0 == 0 {
                reactor.turn(&mut greeter, None).unwrap();
            }
            hears_hello(early);
        }
        say("served");
    });
    let Some(mut command) = started_with("tcp", "", "own", &command) else {
        return;
    };
    assert_eq!(run(&mut command), ["served"]);
}

/// As inetd passes each client to a process of its own.
#[test]
fn a_connection_is_no_listener() {
    let command = child(|| say(&inherited().unwrap_err().to_string()));
    let Some(mut command) = started_with("stream", "", "own", &command) else {
        return;
    };
    let said = run(&mut command);
    assert!(
        said[0].starts_with("inherited descriptor 3 is no listener"),
        "{said:?}"
    );
}
