//! The access log, and whose request it is: by the connection, by a proxy's fields, by a proxy's
//! first words.

use std::cell::RefCell;
use std::rc::Rc;

use switchboard::http::{self, Options};

use crate::mounts::{App, server};
use crate::served::{End, SECOND, Served, request};

type Lines = Rc<RefCell<Vec<String>>>;

/// All mounts, and the lines of the log without their dates.
fn served(options: Options) -> (Served, Lines) {
    let lines = Lines::default();
    let log = Rc::clone(&lines);
    let server = server(options).access_log(move |line| {
        let (before, rest) = line.split_once('[').expect("a date");
        let (date, behind) = rest.split_once(']').expect("its end");
        assert_eq!(date.len(), "06/Nov/1994:08:49:37 +0000".len(), "{line}");
        log.borrow_mut().push(format!("{before}{behind}"));
    });
    (Served::of(App::default(), server), lines)
}

#[test]
fn there_is_a_line_for_each_answer() {
    let (mut served, lines) = served(Options::default());
    let all = [
        request("GET /a?b=\"c\\", "", ""),
        request("HEAD /h", "", ""),
        b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_vec(),
        request("POST /p", "Content-Length: 2\r\n", "hi"),
        request("OPTIONS *", "", ""),
        request("CONNECT a:80", "", ""),
    ];
    served.ask_raw(all.concat());
    let expected = [
        r#"127.0.0.1 - -  "GET /a?b=\"c\\ HTTP/1.1" 200 22"#,
        r#"127.0.0.1 - -  "HEAD /h HTTP/1.1" 200 -"#,
        r#"127.0.0.1 - -  "GET /old HTTP/1.0" 200 17"#,
        r#"127.0.0.1 - -  "POST /p HTTP/1.1" 200 19"#,
        r#"127.0.0.1 - -  "OPTIONS * HTTP/1.1" 204 -"#,
        r#"127.0.0.1 - -  "CONNECT a:80 HTTP/1.1" 501 20"#,
    ];
    assert_eq!(lines.borrow()[..], expected);
    served.refusal(b"nonsense\r\n\r\n");
    assert!(
        lines.borrow()[6].starts_with(r#"127.0.0.1 - -  "-" 400 "#),
        "{:?}",
        lines.borrow()[6]
    );
    assert_eq!(lines.borrow().len(), 7);
}

#[test]
fn what_came_to_nothing_is_logged_too() {
    let (mut served, lines) = served(Options {
        max_body: 10,
        ..Options::default()
    });
    // The client went, came too late, sent too much, and has all of its pieces.
    let mut client = served.connect();
    served.write(&mut client, &request("GET /park", "", ""));
    drop(client);
    served.rest();
    let mut client = served.connect();
    served.write(
        &mut client,
        &request("POST /late", "Content-Length: 5\r\n", ""),
    );
    served.advance(10 * SECOND);
    drop(client);
    served.refusal(request("POST /much", "Content-Length: 11\r\n", ""));
    let mut client = served.connect();
    served.write(&mut client, &request("GET /pieces", "", ""));
    served.advance(SECOND);
    served.advance(SECOND);
    let statuses: Vec<_> = lines
        .borrow()
        .iter()
        .map(|line| line.split_once("-  ").unwrap().1.replace(" HTTP/1.1", ""))
        .collect();
    assert_eq!(statuses[0], r#""GET /park" 499 -"#);
    assert!(statuses[1].starts_with(r#""POST /late" 408 "#));
    assert!(statuses[2].starts_with(r#""POST /much" 413 "#));
    assert_eq!(statuses[3..], [r#""GET /pieces" 200 9"#]);
    // Who says nothing asks nothing.
    let mut client = served.connect();
    served.advance(10 * SECOND);
    assert_eq!(served.read_to_end(&mut client).1, End::Fin);
    assert_eq!(lines.borrow().len(), 4);
}

/// Says who asks.
fn telling(options: Options) -> http::Server<()> {
    http::Server::with(options).get("/", |(), cx, request| {
        let client = request.client().map(|client| client.to_string());
        cx.respond(client.unwrap_or_default()).ignore();
    })
}

#[test]
fn a_trusted_proxy_says_who_asks() {
    let forwarded = |networks: &[&str], values: &[&str]| {
        let server = telling(Options::default())
            .trust_proxy(networks.iter().copied())
            .unwrap();
        let fields: String = values
            .iter()
            .map(|v| format!("X-Forwarded-For: {v}\r\n"))
            .collect();
        Served::of((), server).ask(request("GET /", &fields, ""))[0]
            .text()
            .to_owned()
    };
    assert_eq!(forwarded(&[], &["1.2.3.4"]), "127.0.0.1");
    assert_eq!(forwarded(&["10.0.0.0/8"], &["1.2.3.4"]), "127.0.0.1");
    let trusted = ["127.0.0.0/8", "10.0.0.0/8"];
    for (values, client) in [
        (&["1.2.3.4"][..], "1.2.3.4"),
        (&["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        (&["6.6.6.6, 1.2.3.4, 10.1.2.3"], "1.2.3.4"),
        (&["6.6.6.6", "1.2.3.4, 10.1.2.3"], "1.2.3.4"),
        (&["6.6.6.6, nonsense, 10.1.2.3"], "10.1.2.3"),
        (&["2001:db8::1"], "2001:db8::1"),
        (&[""], "127.0.0.1"),
        (&[], "127.0.0.1"),
    ] {
        assert_eq!(forwarded(&trusted, values), client, "{values:?}");
    }
    for bad in [
        "",
        "10.0.0.0/33",
        "::1/129",
        "ten",
        "10.0.0.0/x",
        "10.0.0/8",
    ] {
        assert!(
            telling(Options::default()).trust_proxy([bad]).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn the_log_has_who_asked_and_not_who_passed_it_on() {
    let lines = Lines::default();
    let log = Rc::clone(&lines);
    let server = telling(Options::default())
        .trust_proxy(["127.0.0.1"])
        .unwrap()
        .access_log(move |line| log.borrow_mut().push(line.to_owned()));
    let mut served = Served::of((), server);
    let fields = "X-Forwarded-For: 1.2.3.4\r\n";
    served.ask([request("GET /", fields, ""), request("GET /", "", "")].concat());
    let hosts: Vec<_> = lines
        .borrow()
        .iter()
        .map(|line| line[..9].to_owned())
        .collect();
    assert_eq!(hosts, ["1.2.3.4 -", "127.0.0.1"]);
}

#[test]
fn the_proxy_protocol_says_who_asks() {
    let options = Options {
        proxy_protocol: true,
        ..Options::default()
    };
    let mut served = Served::of((), telling(options));
    let asked = request("GET /", "Connection: close\r\n", "");
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    binary.extend([9, 8, 7, 6, 127, 0, 0, 1, 0, 80, 0, 80]);
    for (header, client) in [
        (&b"PROXY TCP4 1.2.3.4 127.0.0.1 5 80\r\n"[..], "1.2.3.4"),
        (b"PROXY TCP6 2001:db8::1 ::1 5 80\r\n", "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (&binary, "9.8.7.6"),
    ] {
        let whole = [header, &asked].concat();
        for at in 1..whole.len() {
            let mut client_of = served.connect();
            served.write(&mut client_of, &whole[..at]);
            served.write(&mut client_of, &whole[at..]);
            assert_eq!(
                served.read_answer_and_end(&mut client_of).text(),
                client,
                "{at}"
            );
        }
    }
    // Without it there is no HTTP, and it is said once.
    for bad in [&asked[..], b"PROXY TCP4 1.2.3.4\r\n", b"\r\n\r\n\0\r\nQUIX"] {
        let mut client = served.connect();
        served.write(&mut client, &[bad, &asked].concat());
        assert_eq!(served.read_to_end(&mut client), (vec![], End::Fin));
    }
    let twice = [b"PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n", &asked[..]].concat();
    assert_eq!(served.refusal(twice), 400);
    // Nor does anybody wait for it for ever.
    let mut client = served.connect();
    served.write(&mut client, b"PROXY TCP4 ");
    served.advance(10 * SECOND);
    assert_eq!(served.read_to_end(&mut client), (vec![], End::Fin));
    drop(client);
    served.assert_nothing_left();
}
