//! Many requests: one after the other on one connection, and many connections at once.

use std::io::Write;
use std::net::TcpStream;

use crate::answer::answers;
use crate::proxied::{Proxied, read_into, write_from};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Answers the next request with its own first line.
fn serve(proxied: &mut Proxied) -> String {
    let mut other = proxied.accept();
    let seen = proxied.see(&mut other);
    let line = seen.head.lines().next().unwrap().to_owned();
    other.write_all(ok(&line).as_bytes()).unwrap();
    line
}

#[test]
fn a_connection_goes_on_over_requests_passed_on_and_others() {
    let mut proxied = Proxied::new();
    let mut client = proxied.connect();
    for round in 0..20 {
        let path = format!("/app/{round}");
        proxied.write(&mut client, get(&path).as_bytes());
        serve(&mut proxied);
        let answer = proxied.read_one(&mut client, false);
        assert_eq!(answer.text(), format!("GET {path} HTTP/1.1"));
        proxied.write(&mut client, get("/hello").as_bytes());
        assert_eq!(proxied.read_one(&mut client, false).text(), "hello");
        proxied.until_upstream_is_gone();
    }
    assert_eq!(proxied.counts(), (1, 0));
    assert_eq!(proxied.hub().totals().accepts, 1);
    drop(client);
    proxied.assert_nothing_left();
}

#[test]
fn requests_sent_ahead_are_passed_on_in_order() {
    let mut proxied = Proxied::new();
    let mut client = proxied.connect();
    let body = "POST /app/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi".to_owned();
    let chunks =
        "PUT /app/4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let all = [
        get("/app/1"),
        body,
        get("/hello"),
        chunks.to_owned(),
        get("/app/5"),
    ];
    client.write_all(all.concat().as_bytes()).unwrap();
    let mut first = proxied.accept();
    proxied.see(&mut first);
    proxied.rest();
    // One at a time: the second might depend on what the first has done.
    assert_eq!(proxied.unaccepted(), 0);
    first.write_all(ok("one").as_bytes()).unwrap();
    drop(first);
    let mut lines = Vec::new();
    for _ in 0..3 {
        lines.push(serve(&mut proxied));
    }
    let expected = ["POST /app/2", "PUT /app/4", "GET /app/5"];
    assert_eq!(lines, expected.map(|line| format!("{line} HTTP/1.1")));
    let mut received = Vec::new();
    proxied.served.turns("the last answer", |_| {
        assert_eq!(read_into(&mut client, &mut received, usize::MAX), None);
        received.ends_with(b"GET /app/5 HTTP/1.1")
    });
    let answers = answers(&received);
    let texts: Vec<_> = answers.iter().map(|answer| answer.text()).collect();
    assert_eq!(texts[0], "one");
    assert_eq!(
        texts[1..],
        [
            "POST /app/2 HTTP/1.1",
            "hello",
            "PUT /app/4 HTTP/1.1",
            "GET /app/5 HTTP/1.1"
        ]
    );
    drop(client);
    proxied.assert_nothing_left();
}

#[test]
fn what_fails_does_not_hold_up_what_is_behind_it() {
    let mut proxied = Proxied::new();
    let mut client = proxied.connect();
    client
        .write_all((get("/app/1") + &get("/app/2") + &get("/hello")).as_bytes())
        .unwrap();
    drop(proxied.accept());
    serve(&mut proxied);
    let mut received = Vec::new();
    proxied.served.turns("three answers", |_| {
        assert_eq!(read_into(&mut client, &mut received, usize::MAX), None);
        received.ends_with(b"hello")
    });
    let statuses: Vec<_> = answers(&received)
        .iter()
        .map(|answer| answer.status)
        .collect();
    assert_eq!(statuses, [502, 200, 200]);
}

/// More than the server keeps for a client is left with the client until the answer is there.
#[test]
fn many_requests_sent_ahead_wait_for_one_that_takes_its_time() {
    const MANY: usize = 10_000;
    let mut proxied = Proxied::new();
    let (mut client, mut other, _) = proxied.pass(get("/app"));
    let (ahead, mut written) = (get("/hello").repeat(MANY).into_bytes(), 0);
    write_from(&mut client, &ahead, &mut written);
    proxied.rest();
    proxied.assert_silent(&mut client);
    proxied.write(&mut other, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    proxied.rest();
    proxied.write(&mut other, b"ok");
    let mut received = Vec::new();
    let mut count = 0;
    proxied.served.turns("all answers", |_| {
        write_from(&mut client, &ahead, &mut written);
        let before = received.len();
        assert_eq!(read_into(&mut client, &mut received, usize::MAX), None);
        let from = before.saturating_sub(4);
        count += received[from..]
            .windows(5)
            .filter(|five| five == b"hello")
            .count();
        count == MANY
    });
    assert_eq!(answers(&received).len(), MANY + 1);
}

/// Answered from the last to the first.
#[test]
fn many_requests_at_once_do_not_get_mixed_up() {
    const MANY: usize = 200;
    let mut proxied = Proxied::new();
    let mut clients: Vec<TcpStream> = (0..MANY).map(|_| proxied.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let body = format!("body {number}");
        let request = format!(
            "POST /app/{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        client.write_all(request.as_bytes()).unwrap();
    }
    let mut waiting = Vec::new();
    for _ in 0..MANY {
        let mut other = proxied.accept();
        let seen = proxied.see(&mut other);
        let number = seen.head.split(['/', ' ']).nth(3).unwrap().to_owned();
        let body = format!("body {number}");
        let rest = proxied.read_exactly(&mut other, body.len() - seen.behind.len());
        assert_eq!([seen.behind, rest].concat(), body.as_bytes());
        waiting.push((other, number));
    }
    assert_eq!(proxied.counts(), (MANY, MANY));
    for (mut other, number) in waiting.into_iter().rev() {
        other.write_all(ok(&number).as_bytes()).unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(proxied.read_one(client, false).text(), number.to_string());
    }
    proxied.until_upstream_is_gone();
    drop(clients);
    proxied.assert_nothing_left();
    assert_eq!(proxied.app.aborted, 0);
}
