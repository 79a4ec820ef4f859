//! Which pages may connect: a browser sends cookies along whoever asks, and says who asks in
//! `Origin`.

use std::cell::RefCell;
use std::rc::Rc;

use switchboard::Limits;
use switchboard::websocket::{Mount, Options};

use crate::far::{End, request};
use crate::served::Served;

fn served(mount: impl FnOnce(Mount) -> Mount) -> Served {
    Served::made(Options::default(), Limits::default(), mount)
}

/// The status that a page of this origin gets.
fn status(served: &mut Served, fields: &str) -> u16 {
    let asked = served.app.asked.len();
    let mut far = served.stranger();
    served.write(&mut far, &request("/ws", fields));
    let (head, _) = served.read_head(&mut far);
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.unwrap_or_else(|| panic!("{head}"));
    if status == 101 {
        served.assert_serves(&mut far);
    } else {
        assert!(head.contains("Connection: close\r\n"), "{head}");
        assert_eq!(served.read_text(&mut far).1, End::Fin);
        assert_eq!(served.app.asked.len(), asked, "the application was asked");
    }
    status
}

fn of(served: &mut Served, origin: &str) -> u16 {
    status(served, &format!("Origin: {origin}\r\n"))
}

#[test]
fn o01_by_default_only_pages_of_the_same_host_may_connect() {
    let mut served = served(|mount| mount);
    // The host of the request is `a.example`.
    for same in [
        "http://a.example",
        "https://a.example",
        "http://A.Example",
        "http://a.example:80",
        "https://a.example:443",
    ] {
        assert_eq!(of(&mut served, same), 101, "{same}");
    }
    for other in [
        "http://evil.example",
        "http://a.example.evil",
        "http://evila.example",
        "http://a.example:8080",
        "http://a.example:443",
        "https://a.example:80",
        "http://a.example.",
        "http://sub.a.example",
        "http://a.example@evil.example",
        "http://evil.example/a.example",
        "http://evil.example#a.example",
        "ftp://a.example",
        "a.example",
        "http://xn--a-ecp.ru",
        "http://[::1]",
        "null",
        "http://",
        "",
        "*",
    ] {
        assert_eq!(of(&mut served, other), 403, "{other}");
    }
    // The first is right, and a browser sends no second.
    let two = "Origin: http://a.example\r\nOrigin: http://evil.example\r\n";
    let turned = "Origin: http://evil.example\r\nOrigin: http://a.example\r\n";
    assert_eq!(status(&mut served, turned), 403);
    assert!([101, 403].contains(&status(&mut served, two)));
}

#[test]
fn o01_who_sends_no_origin_is_no_browser() {
    for mut served in [
        served(|mount| mount),
        served(|mount| mount.origins(["https://app.example"])),
        served(|mount| mount.any_origin()),
        served(|mount| mount.origins_with(|_| panic!("nothing to ask about"))),
    ] {
        assert_eq!(status(&mut served, ""), 101);
    }
}

#[test]
fn o01_a_list_means_what_is_on_it_and_nothing_else() {
    let mut served = served(|mount| mount.origins(["https://app.example", "http://b:81"]));
    for listed in ["https://app.example", "http://b:81"] {
        assert_eq!(of(&mut served, listed), 101, "{listed}");
    }
    for other in [
        "http://app.example",
        "https://app.example:444",
        "https://app.example.evil",
        "https://app.exampl",
        "http://b",
        "http://b:8",
        "http://b:811",
        "http://a.example",
        "null",
    ] {
        assert_eq!(of(&mut served, other), 403, "{other}");
    }
}

#[test]
fn o01_a_list_of_nothing_lets_no_page_connect() {
    let mut served = served(|mount| mount.origins([]));
    assert_eq!(of(&mut served, "http://a.example"), 403);
    assert_eq!(status(&mut served, ""), 101);
}

#[test]
fn o01_any_origin_is_any() {
    let mut served = served(Mount::any_origin);
    for origin in ["http://evil.example", "null", "", "\u{fc}"] {
        assert_eq!(of(&mut served, origin), 101, "{origin}");
    }
}

#[test]
fn o01_a_function_is_asked_for_each() {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&asked);
    let mut served = served(|mount| {
        mount.origins_with(move |origin| {
            noted.borrow_mut().push(origin.to_owned());
            origin.ends_with(".app.example")
        })
    });
    assert_eq!(of(&mut served, "https://one.app.example"), 101);
    assert_eq!(of(&mut served, "https://app.example.evil"), 403);
    assert_eq!(
        *asked.borrow(),
        ["https://one.app.example", "https://app.example.evil"]
    );
}

#[test]
fn a_function_that_panics_costs_that_connection_only() {
    let mut served = served(|mount| mount.origins_with(|origin| panic!("as planned: {origin}")));
    let mut witness = served.client();
    let mut far = served.stranger();
    served.write(&mut far, &request("/ws", "Origin: http://a.example\r\n"));
    assert_eq!(served.read_text(&mut far).1, End::Reset);
    served.assert_serves(&mut witness);
}
