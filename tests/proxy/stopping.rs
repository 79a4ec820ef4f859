//! A graceful stop: answers that are under way arrive, and nothing else is waited for.

use std::io::Write;

use crate::answer::answers;
use crate::proxied::Proxied;
use crate::served::{End, SECOND};
use crate::tunnels::open;

const GET: &str = "GET /app HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn answers_under_way_arrive() {
    let mut proxied = Proxied::new();
    let (mut thinking, mut first, _) = proxied.pass(GET);
    let (mut begun, mut second, _) = proxied.pass(GET);
    proxied.write(
        &mut second,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome",
    );
    proxied.hub().shutdown(10 * SECOND);
    proxied.rest();
    proxied.advance(SECOND);
    first
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell")
        .unwrap();
    second.write_all(b" more").unwrap();
    drop((first, second));
    let answer = proxied.read_answer_and_end(&mut thinking);
    assert_eq!((answer.text(), answer.closes()), ("well", true));
    let (received, end) = proxied.read_to_end(&mut begun);
    assert_eq!((answers(&received)[0].text(), end), ("some more", End::Fin));
    drop((thinking, begun));
    proxied.assert_nothing_left();
    assert_eq!(proxied.app.aborted, 0);
}

#[test]
fn a_body_under_way_is_still_passed_on() {
    let mut proxied = Proxied::new();
    let request = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nsome";
    let (mut client, mut other, seen) = proxied.pass(request);
    let begun = proxied.read_exactly(&mut other, 4 - seen.behind.len());
    assert_eq!([seen.behind, begun].concat(), b"some");
    proxied.hub().shutdown(10 * SECOND);
    proxied.rest();
    proxied.write(&mut client, b" more");
    assert_eq!(proxied.read_exactly(&mut other, 5), b" more");
    other
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .unwrap();
    drop(other);
    let answer = proxied.read_answer_and_end(&mut client);
    assert_eq!((answer.text(), answer.closes()), ("ok", true));
}

#[test]
fn what_takes_longer_than_the_deadline_is_reset() {
    let mut proxied = Proxied::new();
    let (mut client, mut other, _) = proxied.pass(GET);
    proxied.hub().shutdown(10 * SECOND);
    proxied.rest();
    proxied.assert_silent(&mut client);
    proxied.advance(10 * SECOND);
    assert_eq!(proxied.read_to_end(&mut client).1, End::Reset);
    assert_eq!(proxied.read_to_end(&mut other).1, End::Reset);
    proxied.assert_nothing_left();
}

#[test]
fn a_connection_that_is_being_made_is_given_up() {
    let mut proxied = Proxied::new();
    let mut client = proxied.connect();
    client.write_all(GET.as_bytes()).unwrap();
    // The kernel has connected it, and nobody has looked yet.
    proxied.turns("the dial", |served| served.hub().census().dials == 1);
    proxied.hub().shutdown(10 * SECOND);
    let answer = proxied.read_answer_and_end(&mut client);
    assert_eq!((answer.status, answer.closes()), (502, true));
    drop(client);
    proxied.until_upstream_is_gone();
    proxied.served.assert_nothing_left();
}

#[test]
fn tunnels_are_closed() {
    let mut proxied = Proxied::new();
    let (mut client, mut other) = open(&mut proxied);
    proxied.write(&mut client, b"up");
    proxied.write(&mut other, b"down");
    proxied.hub().shutdown(10 * SECOND);
    let (received, _) = proxied.read_to_end(&mut client);
    assert_eq!(received, b"down");
    let (received, _) = proxied.read_to_end(&mut other);
    assert_eq!(received, b"up");
    drop((client, other));
    proxied.assert_nothing_left();
}
