//! The page for collectors: it can be read, and says what the reactor says.

use std::time::Duration;

use switchboard::http::{Metrics, Options};
use switchboard::{Clock, Config, Reactor};

use crate::answer::Answer;
use crate::mounts::{App, server};
use crate::prometheus::Page;
use crate::proxied::Proxied;
use crate::served::Served;
use crate::support::pattern;

const ASK: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

fn served() -> Served<App> {
    Served::of(
        App::default(),
        server(Options::default()).mount("/metrics", Metrics::new()),
    )
}

fn page(answer: &Answer) -> Page {
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.field("content-type"),
        Some("text/plain; version=0.0.4")
    );
    Page::read(answer.text())
}

#[test]
fn a_page_of_a_reactor_that_has_done_nothing_can_be_read() {
    let mut served = served();
    let page = page(&served.ask(ASK)[0]);
    assert_eq!(page.value("switchboard_accepts_total"), 1.0);
    assert_eq!(page.value("switchboard_closes_total"), 0.0);
    assert!(!page.0.contains_key("switchboard_slowest_callback_seconds"));
    assert_eq!(page.0["switchboard_turn_seconds"].kind, "histogram");
}

/// Nothing happens between the page and the look at it but the turns that bring it.
#[test]
fn counts_agree_with_the_totals() {
    let mut served = served();
    for _ in 0..5 {
        served.ask(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    served.rest();
    let mut client = served.connect();
    served.rest();
    let before = *served.hub().totals();
    served.write(&mut client, ASK);
    let page = page(&served.read_answer(&mut client));
    let value = |name: &str| page.value(&format!("switchboard_{name}_total")) as u64;
    assert_eq!(value("accepts"), before.accepts);
    assert_eq!(value("accepts"), 6);
    assert_eq!(value("closes"), before.closes);
    assert_eq!(value("written_bytes"), before.bytes_written);
    assert_eq!(value("refused"), before.refused);
    assert_eq!(value("accept_errors"), before.accept_errors);
    assert_eq!(value("dropped"), before.dropped);
    assert_eq!(value("evicted"), before.evicted);
    assert_eq!(value("oversize"), before.oversize);
    assert_eq!(value("panics"), before.panics);
    // The turn that asks is counted when it has ended.
    let after = *served.hub().totals();
    assert!((before.bytes_read..=after.bytes_read).contains(&value("read_bytes")));
    assert!((before.turns..=after.turns).contains(&value("turns")));
    assert!((before.stale..=after.stale).contains(&value("stale_events")));
    for name in ["turn_seconds", "turn_events"] {
        let name = format!("switchboard_{name}");
        let count = page.0[&name].of(&format!("{name}_count"))[0].value as u64;
        assert!((before.turns..=after.turns).contains(&count));
    }
}

#[test]
fn counts_of_connections_agree_with_the_census() {
    let mut served = served();
    let driver = served.driver;
    served.reactor.bind("127.0.0.1:0", driver).unwrap();
    let _others: Vec<_> = (0..4).map(|_| served.connect()).collect();
    let mut client = served.connect();
    served.rest();
    let census = served.hub().census();
    let timers = served.hub().pending_timers();
    served.write(&mut client, ASK);
    let page = page(&served.read_answer(&mut client));
    for (name, count) in [
        ("udp_sockets", census.udp),
        ("udp_sessions", census.sessions),
        ("listeners", census.listeners),
        ("dials", census.dials),
        ("sources", census.sources),
        ("backlog_bytes", census.backlog as usize),
        ("timers", timers),
    ] {
        assert_eq!(
            page.value(&format!("switchboard_{name}")) as usize,
            count,
            "{name}"
        );
    }
    assert_eq!((census.udp, census.listeners), (1, 1));
    let family = &page.0["switchboard_connections"];
    let counts: Vec<_> = family
        .samples
        .iter()
        .map(|sample| {
            let label = |name| sample.label(name).unwrap();
            (label("protocol"), label("state"), sample.value as usize)
        })
        .collect();
    assert_eq!(family.kind, "gauge");
    assert_eq!(
        counts,
        [
            ("tcp", "open", census.tcp.open),
            ("tcp", "closing", census.tcp.closing),
            ("unix", "open", 0),
            ("unix", "closing", 0),
        ]
    );
    assert_eq!(census.tcp.open, 5);
}

/// A client that does not read, behind a proxy, shows as what waits for it.
#[test]
fn what_waits_to_be_sent_shows() {
    let mut proxied = Proxied::new();
    let server = server(Options::default()).mount("/metrics", Metrics::new());
    let driver = proxied.reactor.add_driver(server);
    let listening = proxied.reactor.listen("127.0.0.1:0", driver).unwrap();
    let (_client, mut other, _) = proxied.pass("GET /app HTTP/1.0\r\nHost: a\r\n\r\n");
    let data = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), pattern(16 << 20)].concat();
    let mut written = 0;
    proxied.stall(&mut other, &data, &mut written);
    let backlog = proxied.hub().census().backlog;
    assert!(backlog > 0);
    let mut client = crate::support::client(listening.local_addr.ip().unwrap());
    proxied.write(&mut client, ASK);
    let page = page(&proxied.read_one(&mut client, false));
    assert_eq!(page.value("switchboard_backlog_bytes") as u64, backlog);
}

#[test]
fn callbacks_are_measured_while_they_are_timed() {
    let clock = Clock::manual();
    let config = Config {
        clock: clock.clone(),
        time_callbacks: true,
        ..Config::default()
    };
    let mut reactor = Reactor::new(config).unwrap();
    let driver = reactor.add_driver(server(Options::default()).mount("/metrics", Metrics::new()));
    let listening = reactor.listen("127.0.0.1:0", driver).unwrap();
    let mut served = Served {
        reactor,
        app: App::default(),
        clock,
        driver,
        listening,
    };
    served.ask(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    let page = page(&served.ask(ASK)[0]);
    let name = "switchboard_callback_seconds";
    assert!(page.0[name].of(&format!("{name}_count"))[0].value >= 3.0);
    let slowest = &page.0["switchboard_slowest_callback_seconds"].samples;
    assert_eq!(slowest.len(), 1);
    assert!(
        slowest[0]
            .label("callback")
            .is_some_and(|name| name.starts_with("on_"))
    );
    assert!(slowest[0].value >= 0.0 && slowest[0].value < Duration::from_secs(60).as_secs_f64());
}

#[test]
fn a_page_is_only_looked_at() {
    let mut served = served();
    let head = served.ask_raw(b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n") && head.ends_with(b"\r\n\r\n"));
    for method in ["POST", "PUT", "DELETE"] {
        let answers = served.ask(format!("{method} /metrics HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(
            (answers[0].status, answers[0].field("allow")),
            (405, Some("GET, HEAD"))
        );
    }
}
