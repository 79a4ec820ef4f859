//! Clients that go before they are answered: the other server hears of it, whatever stage the
//! request is at.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use crate::proxied::{Proxied, read_into};
use crate::served::End;
use crate::support::{pattern, reset};

const GET: &str = "GET /app HTTP/1.1\r\nHost: a\r\n\r\n";
const SOME: &str = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nsome";

/// The client resets its connection, or finishes, before it has its answer.
fn leave(client: TcpStream, resets: bool) {
    match resets {
        true => reset(client),
        false => drop(client),
    }
}

/// The connection to the other server ends too, once, and there has been one abort.
fn assert_told(proxied: &mut Proxied, mut other: TcpStream) {
    let (_, end) = proxied.read_to_end(&mut other);
    assert_eq!(end, End::Reset);
    drop(other);
    proxied.assert_nothing_left();
    assert_eq!(proxied.app.aborted, 1);
}

#[test]
fn while_the_other_server_thinks() {
    for request in [GET, SOME] {
        for resets in [false, true] {
            let mut proxied = Proxied::new();
            let (client, other, _) = proxied.pass(request);
            leave(client, resets);
            assert_told(&mut proxied, other);
        }
    }
}

#[test]
fn while_the_head_of_the_answer_arrives() {
    for resets in [false, true] {
        let mut proxied = Proxied::new();
        let (client, mut other, _) = proxied.pass(GET);
        proxied.write(&mut other, b"HTTP/1.1 200");
        leave(client, resets);
        assert_told(&mut proxied, other);
    }
}

#[test]
fn in_the_middle_of_the_answer() {
    let mut proxied = Proxied::new();
    let (mut client, mut other, _) = proxied.pass(GET);
    proxied.write(
        &mut other,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome",
    );
    proxied.peek(&mut client);
    reset(client);
    assert_told(&mut proxied, other);
}

#[test]
fn in_the_middle_of_an_answer_that_it_does_not_take() {
    let mut proxied = Proxied::new();
    let (client, mut other, _) = proxied.pass(GET);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n";
    let data = [head.as_bytes(), &pattern(8 << 20)].concat();
    let mut written = 0;
    proxied.stall(&mut other, &data, &mut written);
    reset(client);
    assert_told(&mut proxied, other);
}

#[test]
fn in_the_middle_of_a_body_that_nobody_takes() {
    let mut proxied = Proxied::new();
    let head = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 16777216\r\n\r\n";
    let (mut client, other, _) = proxied.pass(head);
    let data = pattern(16 << 20);
    let mut written = 0;
    proxied.stall(&mut client, &data, &mut written);
    reset(client);
    assert_told(&mut proxied, other);
}

/// Whoever has sent all of its request and finishes is taken for gone, as long as nothing has been
/// answered; an answer under way goes on.
#[test]
fn a_client_that_has_finished_sending_gets_the_rest_of_its_answer() {
    let mut proxied = Proxied::new();
    let (mut client, mut other, _) = proxied.pass(GET);
    proxied.write(
        &mut other,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome",
    );
    client.shutdown(Shutdown::Write).unwrap();
    proxied.rest();
    proxied.write(&mut other, b" more");
    let answer = proxied.read_answer_and_end(&mut client);
    assert_eq!(answer.text(), "some more");
    drop((client, other));
    proxied.assert_nothing_left();
    assert_eq!(proxied.app.aborted, 0);
}

/// Reset after each number of turns: before the connection is made, while it is being made, with a
/// body held back, with an answer on its way.
#[test]
fn after_any_number_of_turns() {
    let body = format!(
        "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n{}",
        "x".repeat(40_000)
    );
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let some = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhi";
    for (request, reply) in [
        (GET, ""),
        (&body, ""),
        (GET, answer),
        (GET, some),
        (&body, answer),
    ] {
        for turns in 0..12 {
            let mut proxied = Proxied::new();
            let mut client = proxied.connect();
            client.write_all(request.as_bytes()).unwrap();
            let mut others = Vec::new();
            for _ in 0..turns {
                proxied.turn();
                if others.is_empty() && proxied.hub().census().tcp.open > 1 {
                    let mut other = proxied.accept();
                    other.write_all(reply.as_bytes()).unwrap();
                    others.push(other);
                }
            }
            reset(client);
            let drivers = [proxied.driver, proxied.upstream];
            proxied.served.turns("everybody to end", |served| {
                // Whoever is told of the end closes too.
                others.retain_mut(|other| read_into(other, &mut Vec::new(), usize::MAX).is_none());
                let census = served.hub().census();
                let left: usize = drivers.iter().map(|id| served.hub().count(*id)).sum();
                left + census.dials == 0
            });
            let pending = proxied.hub().pending_timers();
            assert_eq!(pending, 0, "{reply:?} after {turns} turns");
        }
    }
}
