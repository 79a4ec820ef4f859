//! From HTTP to HTTPS: the same request, at the same address, with TLS.

use switchboard::http::{HttpsRedirect, Options, Server};

use crate::answer::Answer;
use crate::served::Served;

fn served(redirect: HttpsRedirect) -> Served<()> {
    Served::of((), Server::new().mount("/", redirect))
}

fn ask(served: &mut Served<()>, line: &str, fields: &str, body: &str) -> Answer {
    let request = format!("{line}\r\n{fields}\r\n{body}");
    let mut answers = served.ask(request);
    assert_eq!(answers.len(), 1, "{line}");
    answers.remove(0)
}

fn place(served: &mut Served<()>, target: &str, host: &str) -> String {
    let line = format!("GET {target} HTTP/1.1");
    let answer = ask(served, &line, &format!("Host: {host}\r\n"), "");
    assert_eq!(answer.status, 308, "{target} of {host}");
    answer.field("location").unwrap().to_owned()
}

#[test]
fn path_and_query_stay_as_they_were_sent() {
    let mut served = served(HttpsRedirect::new());
    for target in [
        "/",
        "/a/b",
        "/a%20b/%2e%2e/c",
        "//a.example/b",
        "/a?b=c&d=%26",
        "/a?",
        "/a?b?c",
        "/?https://a.example",
    ] {
        let expected = format!("https://example.org{target}");
        assert_eq!(place(&mut served, target, "example.org"), expected);
    }
    served.assert_nothing_left();
}

#[test]
fn the_port_of_the_request_makes_way_for_that_of_tls() {
    let mut usual = served(HttpsRedirect::default());
    let mut other = served(HttpsRedirect::new().port(8443));
    for (host, name) in [
        ("example.org", "example.org"),
        ("example.org:80", "example.org"),
        ("EXAMPLE.org:8080", "EXAMPLE.org"),
        ("127.0.0.1:8080", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[::1]:8080", "[::1]"),
    ] {
        assert_eq!(place(&mut usual, "/a", host), format!("https://{name}/a"));
        assert_eq!(
            place(&mut other, "/a", host),
            format!("https://{name}:8443/a")
        );
    }
}

#[test]
fn the_whole_of_a_target_says_whom_it_is_for() {
    let mut served = served(HttpsRedirect::new());
    let target = "http://example.org:8080/a?b";
    let found = place(&mut served, target, "another.example");
    assert_eq!(found, "https://example.org/a?b");
}

/// 308 and not 301, so that a client asks in the same way again: RFC 9110, section 15.4.9.
#[test]
fn every_method_is_redirected_with_what_it_brings() {
    let mut served = served(HttpsRedirect::new());
    for method in ["GET", "DELETE", "POST", "PUT", "PATCH", "BREW"] {
        let line = format!("{method} /a HTTP/1.1");
        let fields = "Host: a\r\nContent-Length: 5\r\n";
        let answer = ask(&mut served, &line, fields, "hello");
        assert_eq!(answer.status, 308, "{method}");
        assert_eq!(answer.field("location"), Some("https://a/a"));
    }
    let head = served.ask_raw("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 308 "), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "no body: {head}");
}

#[test]
fn a_connection_goes_on_after_a_redirect() {
    let mut served = served(HttpsRedirect::new());
    let request = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
    let answers = served.ask(request);
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [308; 3]);
}

/// HTTP/1.0 need not say whom it is for; then there is no address to send it to.
#[test]
fn who_says_no_host_is_sent_nowhere() {
    let mut served = served(HttpsRedirect::new());
    let answer = ask(&mut served, "GET /a HTTP/1.0", "", "");
    assert_eq!((answer.status, answer.field("location")), (400, None));
    let answer = ask(&mut served, "GET /a HTTP/1.0", "Host: a\r\n", "");
    assert_eq!(answer.field("location"), Some("https://a/a"));
}

/// Nobody gets to write more into the field than a host, or to name one that is none.
#[test]
fn what_is_no_host_is_refused() {
    let mut served = served(HttpsRedirect::new());
    for host in [
        "a b",
        "a/b",
        "a\\b",
        "a@b.example",
        "a?b",
        "a#b",
        "a\u{7f}",
        "a, b",
        ":443",
        "a:b",
        "a:1:2",
    ] {
        let request = format!("GET /c HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answers = served.ask(request);
        assert_eq!(answers[0].status, 400, "{host}");
        assert_eq!(answers[0].field("location"), None);
    }
}

#[test]
fn other_mounts_of_the_server_are_not_redirected() {
    let server = Server::with(Options::default())
        .get("/health", |(), cx, _| {
            cx.respond("well").ignore();
        })
        .mount("/", HttpsRedirect::new());
    let mut served = Served::of((), server);
    let answer = ask(&mut served, "GET /health HTTP/1.1", "Host: a\r\n", "");
    assert_eq!((answer.status, answer.text()), (200, "well"));
    assert_eq!(place(&mut served, "/other", "a"), "https://a/other");
    // Behind a path of its own it keeps that.
    let server = Server::new().mount("/secure", HttpsRedirect::new());
    let mut served = Served::of((), server);
    assert_eq!(place(&mut served, "/secure/a", "a"), "https://a/secure/a");
    let answer = ask(&mut served, "GET /other HTTP/1.1", "Host: a\r\n", "");
    assert_eq!(answer.status, 404);
}
