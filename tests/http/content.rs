//! What requests carry and what becomes of answers: limits of routes, forms, queries, cookies,
//! paths with parts, compression.

use switchboard::http::{self, Cx, Intake, Mount, Options, Request, Response};

use crate::answer::Answer;
use crate::mounts::{App, Mirror};
use crate::served::{Served, request};

#[test]
fn each_route_has_its_own_limit() {
    struct Small;
    impl Mount<App> for Small {
        fn intake(&mut self, _: &Request<'_>) -> Intake {
            Intake::CollectUpTo(3)
        }
        fn on_request(&mut self, app: &mut App, cx: &mut Cx<'_>, request: &Request<'_>) {
            Mirror.on_request(app, cx, request);
        }
    }
    let server = http::Server::with(Options {
        max_body: 10,
        ..Options::default()
    })
    .mount("/", Mirror)
    .mount("/large", Mirror)
    .limit_body(100)
    .mount("/small", Small);
    let mut served = Served::of(App::default(), server);
    for (path, limit) in [("/", 10), ("/large", 100), ("/small", 3)] {
        for (length, fits) in [(limit, true), (limit + 1, false)] {
            let body = "x".repeat(length);
            let fixed = request(
                &format!("POST {path}"),
                &format!("Content-Length: {length}\r\n"),
                &body,
            );
            let one_by_one = "1\r\nx\r\n".repeat(length) + "0\r\n\r\n";
            let fields = "Transfer-Encoding: chunked\r\n";
            let chunked = request(&format!("POST {path}"), fields, &one_by_one);
            for request in [fixed, chunked] {
                if fits {
                    assert_eq!(served.ask(request)[0].status, 200, "{path} {length}");
                } else {
                    assert_eq!(served.refusal(request), 413, "{path} {length}");
                }
            }
        }
    }
    // A length that is only claimed is refused before anything has come of it, and is not asked for.
    for fields in [
        "Content-Length: 11\r\n",
        "Content-Length: 11\r\nExpect: 100-continue\r\n",
    ] {
        assert_eq!(served.refusal(request("POST /", fields, "")), 413);
    }
    served.assert_nothing_left();
}

#[test]
fn forms_queries_cookies_and_parts_of_paths() {
    let tell = |_: &mut (), cx: &mut Cx<'_>, request: &Request<'_>| {
        let form: Vec<_> = request
            .form()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let text = format!(
            "name {:?} rest {:?} q {:?} form {form:?} cookie {:?}",
            request.param("name").as_deref(),
            request.rest(),
            request.query_value("q").as_deref(),
            request.cookie("sid"),
        );
        cx.respond(text).ignore();
    };
    let server = http::Server::new()
        .get("/one", |(), cx, _| cx.respond("written out").ignore())
        .get("/:name", tell)
        .post("/:name", tell)
        .get("/files/*", tell);
    let mut served = Served::of((), server);
    let mut ask = |line: &str, fields: &str, body: &str| {
        served.ask(request(line, fields, body))[0].text().to_owned()
    };
    assert_eq!(ask("GET /one", "", ""), "written out");
    assert_eq!(
        ask(
            "GET /J%C3%BCrgen%2F?x=y&q=a+b%26&q=c",
            "Cookie: a=b; sid=\"x\"; sid=y\r\n",
            ""
        ),
        "name Some(\"Jürgen/\") rest \"\" q Some(\"a b&\") form [] cookie Some(\"x\")"
    );
    assert_eq!(
        ask("GET /%ff", "", ""),
        "name None rest \"\" q None form [] cookie None",
        "what is no text is not there"
    );
    assert_eq!(
        ask("GET /files/a/%2e%2e/b?q", "", ""),
        "name None rest \"a/%2e%2e/b\" q Some(\"\") form [] cookie None"
    );
    let fields =
        "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\nContent-Length: 13\r\n";
    assert!(ask("POST /x", fields, "a=b+c&d=%26&e").contains("form [\"a=b c\", \"d=&\", \"e=\"]"));
    let fields = "Content-Type: text/plain\r\nContent-Length: 3\r\n";
    assert!(ask("POST /x", fields, "a=b").contains("form []"));
}

#[test]
fn paths_and_methods_that_are_unknown_have_answers() {
    let server = http::Server::new()
        .get("/known", |(), cx, _| cx.respond("known").ignore())
        .put("/known", |(), cx, _| cx.respond("put").ignore());
    let mut served = Served::of((), server);
    for (line, status, allow) in [
        ("GET /known/", 404, None),
        ("GET /Known", 404, None),
        ("GET /", 404, None),
        ("POST /known", 405, Some("OPTIONS, HEAD, GET, PUT")),
        ("get /known", 405, Some("OPTIONS, HEAD, GET, PUT")),
        ("OPTIONS /known", 204, Some("OPTIONS, HEAD, GET, PUT")),
        ("OPTIONS *", 204, None),
    ] {
        let answer = &served.ask(request(line, "", ""))[0];
        assert_eq!(
            (answer.status, answer.field("allow")),
            (status, allow),
            "{line}"
        );
    }
    // The head of a HEAD is that of its GET.
    let (head, get) = (
        request("HEAD /known", "", ""),
        request("GET /known", "", ""),
    );
    let (head, get) = (served.ask_raw(head), served.ask_raw(get));
    let get_head = Answer::take(&get, false).unwrap().0.fields;
    assert_eq!(Answer::take(&head, true).unwrap().0.fields, get_head);
    assert_eq!(head.len() + "known".len(), get.len());
}

#[test]
fn each_answer_has_one_date_and_says_who_answers_if_it_is_to() {
    for (server_name, servers) in [(None, 0), (Some("switchboard"), 1)] {
        let options = Options {
            server_name,
            ..Options::default()
        };
        let server = http::Server::with(options).mount("/", Mirror);
        let mut served = Served::of(App::default(), server);
        for asked in [&request("GET /", "", "")[..], b"nonsense\r\n\r\n"] {
            let answer = String::from_utf8(served.ask_raw(asked)).unwrap();
            let (_, date) = answer.split_once("\r\nDate: ").unwrap();
            assert_eq!(
                date.find(" GMT\r\n"),
                Some("Sun, 06 Nov 1994 08:49:37".len()),
                "{answer}"
            );
            assert_eq!(answer.matches("Date: ").count(), 1);
            assert_eq!(
                answer.matches("\r\nServer: switchboard\r\n").count(),
                servers
            );
        }
    }
}

#[test]
fn a_field_of_an_answer_cannot_break_out_of_it() {
    let server = http::Server::new().get("/:text", |(), cx, request| {
        let text = request.param("text").unwrap_or_default();
        let response = Response::new(302)
            .field("Location", &*text)
            .field("X-Ok", "yes");
        cx.respond(response).ignore();
    });
    let mut served = Served::of((), server);
    let answers = served.ask(request("GET /a%0d%0aSet-Cookie:%20sid=evil", "", ""));
    assert_eq!(answers.len(), 1);
    assert!(answers[0].field("set-cookie").is_none() && answers[0].field("location").is_none());
    assert_eq!(answers[0].field("x-ok"), Some("yes"));
    assert_eq!(
        served.ask(request("GET /a%20b", "", ""))[0].field("location"),
        Some("a b")
    );
}

#[cfg(feature = "compression")]
#[test]
fn answers_are_compressed_for_who_accepts_it() {
    use std::io::Read;

    use flate2::read::{GzDecoder, ZlibDecoder};

    let page: String = (0..5_000)
        .map(|number| format!("line {number}\n"))
        .collect();
    let (html, picture) = (page.clone(), page.clone());
    let server = http::Server::new()
        .get("/page", move |(), cx, _| {
            cx.respond(Response::html(200, html.clone())).ignore();
        })
        .get("/short", |(), cx, _| cx.respond("short").ignore())
        .get("/picture", move |(), cx, _| {
            cx.respond(Response::typed(200, "image/png", picture.clone()))
                .ignore();
        });
    let mut served = Served::of((), server);
    let mut ask = |path: &str, accept: &str| {
        let fields = format!("Accept-Encoding: {accept}\r\n");
        served
            .ask(request(&format!("GET {path}"), &fields, ""))
            .remove(0)
    };
    for (accept, coding) in [
        ("gzip", Some("gzip")),
        ("deflate", Some("deflate")),
        ("gzip;q=0.1, deflate", Some("deflate")),
        ("*", Some("gzip")),
        ("br", None),
        ("gzip;q=0", None),
        ("identity", None),
    ] {
        let answer = ask("/page", accept);
        assert_eq!(answer.field("content-encoding"), coding, "{accept}");
        assert_eq!(answer.field("vary"), Some("Accept-Encoding"), "{accept}");
        let mut text = String::new();
        match coding {
            Some("gzip") => drop(GzDecoder::new(&answer.body[..]).read_to_string(&mut text)),
            Some(_) => drop(ZlibDecoder::new(&answer.body[..]).read_to_string(&mut text)),
            None => text = answer.text().to_owned(),
        }
        assert!(text == page, "{accept}");
        assert!(coding.is_none() || answer.body.len() < page.len() / 2);
    }
    for path in ["/short", "/picture"] {
        assert_eq!(ask(path, "gzip").field("content-encoding"), None, "{path}");
    }
}
