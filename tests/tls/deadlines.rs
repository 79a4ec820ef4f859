//! Row 3: one deadline from being accepted to being served, and what those cost who never are.

use std::io::Write;
use std::net::TcpStream;

use switchboard::{Config, http};

use crate::alone::alone;
use crate::far::{client_config, post};
use crate::near::{MILLI, Near, SECOND, echo, listen, server};
use crate::support::{World, client, resident};

#[test]
fn tls3_a_handshake_has_until_its_deadline_however_it_goes_on() {
    let mut near = Near::with(server().handshake_timeout(4 * SECOND));
    let mut far = near.stranger(client_config());
    let hello = far.take_unsent();
    near.turns("the handshake", |near| near.hub().census().handshakes == 1);
    // A byte each second is no reason to wait any longer.
    for byte in hello.chunks(1).take(3) {
        post(&far.stream, byte);
        near.rest();
        near.pass(SECOND);
    }
    near.pass(SECOND - MILLI);
    assert_eq!(near.hub().census().handshakes, 1);
    near.pass(MILLI);
    assert_eq!(near.hub().census().handshakes, 0);
    assert_eq!(near.hub().totals().handshakes_failed, 1);
    near.end_of(&mut far);
    near.assert_nothing_left();
    assert_eq!(near.world.events, []);
}

#[test]
fn tls3_the_deadline_ends_with_the_handshake() {
    let mut near = Near::with(server().handshake_timeout(SECOND));
    near.world.on_data = Some(Box::new(echo));
    let (mut far, _) = near.client();
    assert_eq!(near.hub().pending_timers(), 0);
    near.pass(100 * SECOND);
    near.assert_echoes(&mut far);
}

/// A server of HTTP by TLS.
fn http_server() -> Near {
    let mut near = Near::new();
    let options = http::Options {
        head_timeout: 10 * SECOND,
        ..http::Options::default()
    };
    let http = http::Server::with(options).get("/", |_: &mut World, cx, _| {
        cx.respond("hello").ignore();
    });
    near.driver = near.reactor.add_driver(http);
    let driver = near.driver;
    near.listening = near.reactor.listen(listen(server()), driver).unwrap();
    near
}

#[test]
fn tls3_the_patience_with_a_head_counts_from_being_accepted() {
    let mut near = http_server();
    let mut far = near.stranger(client_config());
    near.turns("the handshake", |near| near.hub().census().handshakes == 1);
    near.pass(6 * SECOND);
    let driver = near.driver;
    near.both(&mut far, "the connection", |near, _| {
        near.hub().count(driver) == 1
    });
    let id = near.hub().ids(driver)[0];
    assert_eq!(near.hub().age(id), 6 * SECOND);
    far.say(b"GET / HTTP/1.1\r\nHost:");
    near.rest_with(&mut far);
    near.pass(4 * SECOND - MILLI);
    near.rest_with(&mut far);
    assert_eq!(far.received, b"");
    near.pass(MILLI);
    near.both(&mut far, "the answer", |_, far| far.end.is_some());
    assert!(far.received.starts_with(b"HTTP/1.1 408 "));
    assert!(far.notified);
}

#[test]
fn tls3_a_request_in_time_is_answered() {
    let mut near = http_server();
    let (mut far, _) = {
        let driver = near.driver;
        let mut far = near.stranger(client_config());
        near.both(&mut far, "the connection", |near, _| {
            near.hub().count(driver) == 1
        });
        (far, driver)
    };
    near.pass(9 * SECOND);
    far.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    near.both(&mut far, "the answer", |_, far| {
        far.received.ends_with(b"hello")
    });
    assert!(far.received.starts_with(b"HTTP/1.1 200 "));
}

/// Where a stalled handshake has come to.
#[derive(Clone, Copy, Debug)]
enum Stalled {
    Silent,
    HalfAHello,
    /// All that it could say has been answered.
    Answered,
    /// It sends as large a message as is taken, but for its end.
    Huge,
}

/// So many bytes of a ClientHello that claims to have a certain length, in records of 10,000.
fn huge_hello(claimed: u32, length: usize) -> Vec<u8> {
    let [_, high, middle, low] = claimed.to_be_bytes();
    let mut message = vec![1, high, middle, low];
    message.resize(4 + length, 0);
    let records = message.chunks(10_000).flat_map(|piece| {
        let [high, low] = (piece.len() as u16).to_be_bytes();
        [&[22, 3, 1, high, low], piece].concat()
    });
    records.collect()
}

/// Connects and says so much, and then nothing more.
fn stall(near: &Near, hello: &[u8], stalled: Stalled) -> TcpStream {
    let mut stream = client(near.address());
    let huge;
    let said = match stalled {
        Stalled::Silent => &[],
        Stalled::HalfAHello => &hello[..hello.len() / 2],
        Stalled::Answered => hello,
        Stalled::Huge => {
            huge = huge_hello(60_000, 59_000);
            &huge[..]
        }
    };
    stream.write_all(said).unwrap();
    stream
}

/// Nobody waits for what is never taken.
#[test]
fn tls3_a_message_that_claims_to_be_too_long_is_refused_on_its_header() {
    for claimed in [0x0001_0000, 0x00FF_FFFF] {
        let mut near = Near::new();
        let far = near.stranger(client_config());
        post(&far.stream, &huge_hello(claimed, 10));
        near.turns("the refusal", |near| {
            near.hub().totals().handshakes_failed == 1
        });
        near.assert_nothing_left();
    }
}

/// 5,000 who never come to an end, while one is served who has.
#[test]
fn tls3_five_thousand_stalled_handshakes_are_reaped_and_delay_nobody() {
    alone(12_000, || {
        let config = Config {
            handshake_budget: 50,
            ..Config::default()
        };
        let mut near = Near::of(config, listen(server()));
        near.world.on_data = Some(Box::new(echo));
        let (mut far, _) = near.client();
        near.rest_with(&mut far);
        let hello = near.stranger(client_config()).take_unsent();
        near.rest();
        near.assert_nothing_but(1);
        let mut streams = Vec::new();
        for (stalled, batches, size) in [
            (Stalled::Silent, 4, 500),
            (Stalled::HalfAHello, 4, 500),
            (Stalled::Answered, 3, 300),
            (Stalled::Huge, 1, 100),
        ] {
            let (resident_before, before) = (resident(), streams.len());
            for _ in 0..batches {
                streams.extend((0..size).map(|_| stall(&near, &hello, stalled)));
                let expected = streams.len();
                near.turns("the batch", |near| {
                    near.hub().census().handshakes == expected
                });
                near.assert_echoes(&mut far);
                near.rest();
                near.assert_echoes(&mut far);
            }
            let grown = resident().saturating_sub(resident_before);
            let each = grown / (streams.len() - before);
            println!("{stalled:?}: {each} bytes for each of them");
            let most = match stalled {
                // What a message of a handshake may have.
                Stalled::Huge => 72 * 1024,
                _ => 8 * 1024,
            };
            assert!(each < most, "{stalled:?}: {each} bytes for each of them");
        }
        assert_eq!(near.hub().census().handshakes, 5_000);
        near.pass(10 * SECOND);
        assert_eq!(near.hub().census().handshakes, 0, "all of them are reaped");
        assert_eq!(near.hub().totals().handshakes_failed, 5_001);
        near.assert_echoes(&mut far);
        near.assert_nothing_but(1);
        assert_eq!(near.world.opened().len(), 1);
    });
}
