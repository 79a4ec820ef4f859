//! The head of a request as the other server sees it.

use crate::proxied::Proxied;

/// What is added to the head of each request from `127.0.0.1` for the host `a`.
const ADDED: &str = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: a\r\nX-Forwarded-Proto: http\r\nConnection: close\r\n";

/// What the other server sees of a request.
fn seen(request: &str) -> String {
    let mut proxied = Proxied::new();
    let (_client, _other, seen) = proxied.pass(request);
    assert_eq!(seen.behind.escape_ascii().to_string(), "");
    seen.head
}

/// The same of a `GET` with these fields; without its first line and `Host`.
fn fields(fields: &str) -> String {
    let head = seen(&format!("GET /app HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    let rest = head.strip_prefix("GET /app HTTP/1.1\r\nHost: a\r\n");
    rest.expect(&head).to_owned()
}

#[test]
fn the_other_server_sees_the_request_and_who_has_asked() {
    let request = "GET /app/x HTTP/1.1\r\nHost: a\r\nUser-Agent: u\r\nAccept: */*\r\n\r\n";
    let expected =
        format!("GET /app/x HTTP/1.1\r\nHost: a\r\nUser-Agent: u\r\nAccept: */*\r\n{ADDED}\r\n");
    assert_eq!(seen(request), expected);
}

#[test]
fn paths_and_queries_are_passed_on_as_they_are() {
    for target in [
        "/app",
        "/app/",
        "/app/x?y=1&z=%20",
        "/app/?",
        "/app?a=b?c",
        "/app/%2e%2e/%41//x;y=z",
        "/app/a+b/%E2%82%AC",
        "/app/x?%",
    ] {
        let head = seen(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let line = head.lines().next();
        assert_eq!(line, Some(&format!("GET {target} HTTP/1.1")[..]));
    }
}

#[test]
fn methods_are_passed_on_whatever_they_are() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        let head = seen(&format!("{method} /app HTTP/1.1\r\nHost: a\r\n\r\n"));
        let expected = format!("{method} /app HTTP/1.1\r\nHost: a\r\n{ADDED}\r\n");
        assert_eq!(head, expected);
    }
    // Those that usually have a body say that they have none.
    for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "x"] {
        let head = seen(&format!("{method} /app HTTP/1.1\r\nHost: a\r\n\r\n"));
        let expected =
            format!("{method} /app HTTP/1.1\r\nHost: a\r\n{ADDED}Content-Length: 0\r\n\r\n");
        assert_eq!(head, expected);
    }
}

#[test]
fn hosts_are_kept_with_their_ports() {
    for host in ["example.org", "example.org:8080", "[::1]:80", "127.0.0.1"] {
        let head = seen(&format!("GET /app HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        for name in ["Host", "X-Forwarded-Host"] {
            assert!(head.contains(&format!("\r\n{name}: {host}\r\n")), "{head}");
        }
    }
}

#[test]
fn fields_about_one_connection_are_dropped() {
    for field in [
        "Connection: keep-alive",
        "Connection: close",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authenticate: Basic",
        "Proxy-Authorization: Basic eA==",
        "proxy-authorization: Basic eA==",
        "TE: trailers",
        "Trailer: X-Sum",
        // Nobody has asked for it by `Connection`.
        "Upgrade: websocket",
    ] {
        assert_eq!(fields(&format!("{field}\r\n")), format!("{ADDED}\r\n"));
    }
}

#[test]
fn fields_named_in_connection_are_dropped() {
    let sent = "Connection: x-one, close\r\nX-One: 1\r\nX-Two: 2\r\nX-One: 3\r\nconnection: X-THREE\r\nx-three: 4\r\n";
    assert_eq!(fields(sent), format!("X-Two: 2\r\n{ADDED}\r\n"));
}

#[test]
fn fields_keep_their_order_their_case_and_their_number() {
    let sent = "Cookie: a=1\r\nx-LOWER: v\r\nCookie: b=2\r\nX-Empty: \r\nX-Bytes: \u{e9}\r\n";
    assert_eq!(fields(sent), format!("{sent}{ADDED}\r\n"));
}

#[test]
fn clients_named_before_stay_in_front() {
    let sent = "X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\nX-Forwarded-For: 10.0.0.3\r\n";
    let expected = ADDED.replace("127.0.0.1", "10.0.0.1, 10.0.0.2, 10.0.0.3, 127.0.0.1");
    assert_eq!(fields(sent), format!("{expected}\r\n"));
}

#[test]
fn clients_cannot_say_what_we_say() {
    let sent = "X-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nx-forwarded-host: evil\r\n";
    assert_eq!(fields(sent), format!("{ADDED}\r\n"));
    let sent = "Connection: X-Forwarded-For, X-Forwarded-Host\r\n";
    assert_eq!(fields(sent), format!("{ADDED}\r\n"));
}

#[test]
fn somebody_before_us_may_have_taken_off_tls() {
    let mut proxied = Proxied::with(|proxy| proxy.https());
    let (_client, _other, seen) = proxied.pass("GET /app HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(seen.head.contains("\r\nX-Forwarded-Proto: https\r\n"));
}

#[test]
fn targets_in_absolute_form_are_asked_for_by_path() {
    let head = seen("GET http://a/app/x?y HTTP/1.1\r\nHost: a\r\n\r\n");
    let expected = format!("GET /app/x?y HTTP/1.1\r\nHost: a\r\n{ADDED}\r\n");
    assert_eq!(head, expected);
}

#[test]
fn requests_of_http_1_0_are_passed_on_as_1_1() {
    let head = seen("GET /app HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(head, format!("GET /app HTTP/1.1\r\nHost: a\r\n{ADDED}\r\n"));
}

#[test]
fn an_upgrade_is_asked_for_in_turn() {
    let head = fields("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nX-Key: k\r\n");
    let added = ADDED.replace("Connection: close", "Connection: Upgrade");
    let expected = format!("X-Key: k\r\n{added}Upgrade: WebSocket\r\n\r\n");
    assert_eq!(head.to_ascii_lowercase(), expected.to_ascii_lowercase());
}

#[test]
fn what_is_not_below_the_path_is_not_passed_on() {
    let mut proxied = Proxied::new();
    for path in ["/", "/ap", "/apple", "/app%2fx", "/x/app", "/APP"] {
        let answers = proxied.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(answers[0].status, 404, "{path}");
    }
    assert_eq!(proxied.unaccepted(), 0);
}
