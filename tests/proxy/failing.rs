//! Other servers that cannot be reached, do not answer, or answer with nonsense.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::answer::Answer;
use crate::proxied::Proxied;
use crate::served::{End, MILLI, SECOND};
use crate::support::{deserted, pattern, reset};

const GET: &str = "GET /app HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

/// The client gets this status, and may go on with the next request.
fn assert_goes_on(proxied: &mut Proxied, client: &mut TcpStream, status: u16) {
    let answer = proxied.read_one(client, false);
    assert_eq!((answer.status, answer.closes()), (status, false));
    proxied.write(client, b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(proxied.read_one(client, false).text(), "hello");
    assert_eq!(proxied.app.aborted, 0);
}

#[test]
fn nobody_listens() {
    let mut proxied = Proxied::to(deserted(), |proxy| proxy);
    let mut client = proxied.connect();
    for _ in 0..3 {
        proxied.write(&mut client, GET.as_bytes());
        assert_goes_on(&mut proxied, &mut client, 502);
    }
    drop(client);
    proxied.assert_nothing_left();
}

/// A body that nobody takes ends the connection, but not before the answer has arrived.
#[test]
fn nobody_listens_for_a_body() {
    for request in [
        POST.to_owned(),
        POST.replace("5\r\n\r\nhello", "500000\r\n\r\nhello"),
    ] {
        let mut proxied = Proxied::to(deserted(), |proxy| proxy);
        let mut client = proxied.connect();
        client.write_all(request.as_bytes()).unwrap();
        let answer = proxied.read_answer_and_end(&mut client);
        assert_eq!((answer.status, answer.closes()), (502, true));
        drop(client);
        proxied.assert_nothing_left();
        assert_eq!(proxied.app.aborted, 0);
    }
}

/// A listener whose queue is full, and that accepts nobody: connecting to it does not end.
fn full_listener() -> (Socket, Vec<Socket>, SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let waiting = (0..3).map(|_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address);
        socket
    });
    let waiting = waiting.collect();
    (listener, waiting, address.as_socket().unwrap())
}

#[test]
fn connecting_may_take_only_so_long() {
    let (_listener, _waiting, address) = full_listener();
    let mut proxied = Proxied::to(address, |proxy| proxy.connect_timeout(2 * SECOND));
    let mut client = proxied.connect();
    proxied.write(&mut client, GET.as_bytes());
    proxied.advance(2 * SECOND - MILLI);
    proxied.assert_silent(&mut client);
    assert_eq!(proxied.hub().census().dials, 1);
    proxied.advance(MILLI);
    assert_goes_on(&mut proxied, &mut client, 504);
    drop(client);
    proxied.assert_nothing_left();
}

#[test]
fn an_answer_may_take_only_so_long() {
    let mut proxied = Proxied::with(|proxy| proxy.read_timeout(3 * SECOND));
    let (mut client, mut other, _) = proxied.pass(GET);
    proxied.advance(3 * SECOND - MILLI);
    proxied.assert_silent(&mut client);
    proxied.advance(MILLI);
    assert_goes_on(&mut proxied, &mut client, 504);
    assert_eq!(proxied.read_to_end(&mut other).1, End::Reset);
    drop(client);
    proxied.assert_nothing_left();
}

/// Each byte is a sign of life.
#[test]
fn an_answer_that_comes_slowly_is_waited_for() {
    let mut proxied = Proxied::with(|proxy| proxy.read_timeout(3 * SECOND));
    let (mut client, mut other, _) = proxied.pass(GET);
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" {
        proxied.advance(2 * SECOND);
        proxied.write(&mut other, &[*byte]);
    }
    assert_eq!(proxied.read_one(&mut client, false).text(), "hi");
}

#[test]
fn an_answer_that_stops_is_cut_off() {
    let mut proxied = Proxied::with(|proxy| proxy.read_timeout(3 * SECOND));
    let (mut client, mut other, _) = proxied.pass(GET);
    proxied.write(
        &mut other,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
    );
    proxied.advance(3 * SECOND);
    assert_eq!(proxied.read_to_end(&mut client).1, End::Reset);
    drop(client);
    proxied.assert_nothing_left();
    assert_eq!(proxied.app.aborted, 1);
}

#[test]
fn it_closes_before_it_has_answered() {
    for reply in ["", "HTTP", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"] {
        for resets in [false, true] {
            let mut proxied = Proxied::new();
            let (mut client, mut other, _) = proxied.pass(GET);
            proxied.write(&mut other, reply.as_bytes());
            match resets {
                true => reset(other),
                false => drop(other),
            }
            assert_goes_on(&mut proxied, &mut client, 502);
            drop(client);
            proxied.assert_nothing_left();
        }
    }
}

/// No client may take it for all there is.
#[test]
fn it_closes_in_the_middle_of_a_body() {
    let begun = "HTTP/1.1 200 OK\r\n";
    for (framing, resets) in [
        ("Content-Length: 5\r\n\r\nhel", false),
        ("Content-Length: 5\r\n\r\n", false),
        ("Content-Length: 5\r\n\r\nhel", true),
        ("Transfer-Encoding: chunked\r\n\r\n", false),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", false),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhel", false),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n", false),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", true),
        // Only a FIN ends such a body.
        ("\r\nhel", true),
    ] {
        for version in ["1.0", "1.1"] {
            let mut proxied = Proxied::new();
            let (mut client, mut other, _) =
                proxied.pass(format!("GET /app HTTP/{version}\r\nHost: a\r\n\r\n"));
            proxied.write(&mut other, format!("{begun}{framing}").as_bytes());
            match resets {
                true => reset(other),
                false => drop(other),
            }
            let (received, end) = proxied.read_to_end(&mut client);
            let text = received.escape_ascii();
            assert_eq!(end, End::Reset, "{version} {framing:?}: {text}");
            assert!(
                Answer::take(&received, false).is_none_or(|(answer, _)| answer.body.is_empty())
            );
            drop(client);
            proxied.assert_nothing_left();
            assert_eq!(proxied.app.aborted, 1);
        }
    }
}

#[test]
fn nonsense_is_no_answer() {
    for reply in [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "\0\0\0\u{4}\0\0\0\0",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut proxied = Proxied::new();
        let (mut client, mut other, _) = proxied.pass(GET);
        other.write_all(reply.as_bytes()).unwrap();
        assert_goes_on(&mut proxied, &mut client, 502);
        assert_eq!(proxied.read_to_end(&mut other).1, End::Reset, "{reply:?}");
        drop(client);
        proxied.assert_nothing_left();
    }
}

#[test]
fn a_head_without_end_is_no_answer() {
    let mut proxied = Proxied::new();
    let (mut client, mut other, _) = proxied.pass(GET);
    let long = "x".repeat(17 * 1024);
    other
        .write_all(format!("HTTP/1.1 200 OK\r\nX: {long}").as_bytes())
        .unwrap();
    assert_goes_on(&mut proxied, &mut client, 502);
    drop(client);
    proxied.assert_nothing_left();
}

#[test]
fn malformed_chunks_cut_an_answer_off() {
    let mut proxied = Proxied::new();
    let (mut client, mut other, _) = proxied.pass(GET);
    proxied.write(
        &mut other,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\nzz\r\n",
    );
    let (received, end) = proxied.read_to_end(&mut client);
    assert_eq!(end, End::Reset);
    assert!(!received.ends_with(b"0\r\n\r\n"));
    drop((client, other));
    proxied.assert_nothing_left();
}

/// A server that has said no need not listen to the rest.
#[test]
fn it_resets_while_it_is_sent_a_body() {
    let mut proxied = Proxied::new();
    let request = POST.replace("5\r\n\r\nhello", "500000\r\n\r\nhello");
    let (mut client, other, _) = proxied.pass(request);
    reset(other);
    let answer = proxied.read_answer_and_end(&mut client);
    assert_eq!((answer.status, answer.closes()), (502, true));
    drop(client);
    proxied.assert_nothing_left();
}

#[test]
fn a_server_that_takes_no_body_is_given_up() {
    let mut proxied = Proxied::with(|proxy| proxy.read_timeout(2 * SECOND));
    let request = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 16777216\r\n\r\n";
    let (mut client, _other, _) = proxied.pass(request);
    let (data, mut written) = (pattern(16 << 20), 0);
    proxied.stall(&mut client, &data, &mut written);
    for _ in 0..100 {
        proxied.advance(SECOND);
    }
    assert_eq!(proxied.counts().1, 0, "it is still waited for");
}
