//! Cross-origin requests through the server: which answers have the fields, and that whoever asks
//! beforehand bothers nobody.

use switchboard::http::{Cors, Options, Proxy, Upstream};

use crate::answer::Answer;
use crate::mounts::{App, server};
use crate::proxied::Proxied;
use crate::served::Served;

const ORIGIN: &str = "access-control-allow-origin";

fn served(cors: Cors) -> Served<App> {
    Served::made(App::default(), |reactor| {
        let upstream = reactor.add_driver(Upstream::new());
        let address = crate::support::deserted().to_string();
        server(Options::default())
            .mount("/app", Proxy::new(upstream, &address))
            .post("/read", |app: &mut App, cx, _| {
                app.aborted += 1;
                cx.respond("read").ignore();
            })
            .cors(cors)
    })
}

fn ask(served: &mut Served<App>, line: &str, fields: &str) -> Answer {
    let mut answers = served.ask(format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

const PREFLIGHT: &str = "Origin: https://b\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-one, x-two\r\n";

#[test]
fn a_browser_may_ask_beforehand_for_any_path() {
    let mut served = served(Cors::any().max_age(600));
    for path in ["/read", "/hello", "/app", "/nowhere"] {
        let answer = ask(&mut served, &format!("OPTIONS {path}"), PREFLIGHT);
        assert_eq!((answer.status, answer.text()), (204, ""), "{path}");
        for (name, value) in [
            (ORIGIN, "*"),
            (
                "access-control-allow-methods",
                "GET, HEAD, PUT, PATCH, POST, DELETE",
            ),
            ("access-control-allow-headers", "x-one, x-two"),
            ("access-control-max-age", "600"),
        ] {
            assert_eq!(answer.field(name), Some(value), "{path}");
        }
        assert_eq!(answer.field("content-length"), None);
    }
    assert_eq!(served.app.aborted, 0);
}

/// It is no answer of ours that keeps a page from asking, but what is missing in it.
#[test]
fn an_origin_that_is_not_allowed_is_told_nothing() {
    let mut served = served(Cors::origins(["https://c"]));
    let answer = ask(&mut served, "OPTIONS /read", PREFLIGHT);
    assert_eq!((answer.field(ORIGIN), answer.status), (None, 204));
    let answer = ask(&mut served, "POST /read", "Origin: https://b\r\n");
    assert_eq!(
        (answer.field(ORIGIN), answer.field("vary")),
        (None, Some("Origin"))
    );
    assert_eq!(
        (answer.status, answer.text(), served.app.aborted),
        (200, "read", 1)
    );
}

#[test]
fn options_of_nobody_else_are_ordinary() {
    let mut served = served(Cors::any());
    for fields in [
        "",
        "Origin: https://b\r\n",
        "Access-Control-Request-Method: GET\r\n",
    ] {
        let answer = ask(&mut served, "OPTIONS /read", fields);
        assert_eq!(answer.field("access-control-allow-methods"), None);
        assert!(
            answer
                .field("allow")
                .is_some_and(|allow| allow.contains("POST"))
        );
    }
}

#[test]
fn pages_may_read_errors_too() {
    let mut served = served(Cors::any());
    for (line, status) in [
        ("GET /hello", 200),
        ("GET /nowhere", 404),
        ("GET /read", 405),
        ("POST /hello", 405),
        ("GET /app", 502),
        ("HEAD /nowhere", 404),
    ] {
        let mut client = served.connect();
        let fields = "Host: a\r\nConnection: close\r\nOrigin: https://b\r\n";
        served.write(
            &mut client,
            format!("{line} HTTP/1.1\r\n{fields}\r\n").as_bytes(),
        );
        let text = String::from_utf8(served.read_to_end(&mut client).0).unwrap();
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line}: {text}"
        );
        let told = text
            .matches("\r\nAccess-Control-Allow-Origin: *\r\n")
            .count();
        assert_eq!(told, 1, "{line}: {text}");
    }
}

#[test]
fn without_an_origin_only_caches_are_told() {
    for (cors, vary) in [
        (Cors::any(), None),
        (Cors::origins(["https://b"]), Some("Origin")),
    ] {
        let mut served = served(cors);
        let answer = ask(&mut served, "GET /hello", "");
        assert_eq!((answer.field(ORIGIN), answer.field("vary")), (None, vary));
    }
}

/// Each request has its own origin, on one connection too.
#[test]
fn the_origin_of_one_request_is_not_that_of_the_next() {
    let mut served = served(Cors::origins(["https://b", "https://c"]).credentials(true));
    let mut client = served.connect();
    for origin in [
        Some("https://b"),
        None,
        Some("https://c"),
        Some("https://d"),
    ] {
        let field = origin.map(|origin| format!("Origin: {origin}\r\n"));
        let request = format!(
            "GET /hello HTTP/1.1\r\nHost: a\r\n{}\r\n",
            field.unwrap_or_default()
        );
        served.write(&mut client, request.as_bytes());
        let answer = served.read_answer(&mut client);
        let allowed = origin.filter(|origin| *origin != "https://d");
        assert_eq!(answer.field(ORIGIN), allowed);
        let credentials = answer.field("access-control-allow-credentials");
        assert_eq!(credentials, allowed.map(|_| "true"));
    }
}

#[test]
fn an_origin_with_a_line_end_in_it_is_no_request() {
    let mut served = served(Cors::with(|_| true));
    let answers =
        served.ask_until_closed("GET /hello HTTP/1.1\r\nHost: a\r\nOrigin: x\rX: y\r\n\r\n");
    assert_eq!(answers[0].status, 400);
}

/// What the other server says of origins is its own affair where the server has no opinion.
#[test]
fn a_server_without_an_opinion_passes_that_of_another_on() {
    let mut proxied = Proxied::new();
    let request = "GET /app HTTP/1.1\r\nHost: a\r\nOrigin: https://b\r\n\r\n";
    let reply =
        "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: https://b\r\nContent-Length: 0\r\n\r\n";
    let answer = proxied.answered(request, reply);
    assert_eq!(answer.field(ORIGIN), Some("https://b"));
}
