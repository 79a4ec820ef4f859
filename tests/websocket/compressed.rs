//! Compressed messages: whom they reach in which form, and what is agreed on before that.

use switchboard::proto::websocket::deflate::Pool;
use switchboard::proto::websocket::{self as proto, Event, OpCode, Receiver, Role, write};
use switchboard::websocket::{self, Code, Compression, Dial, Endpoint, Options, Prepared};
use switchboard::{ConnId, Kind, Limits, Overflow, Publish, Sent};

use crate::alone::alone;
use crate::app::App;
use crate::far::{Far, Frame, answer, field};
use crate::served::Served;
use crate::support::resident;

/// Large enough to be worth it.
const LENGTH: usize = 4_000;

fn options(context_takeover: bool) -> Options {
    Options {
        ping_interval: None,
        deflate: Some(Compression {
            level: 6,
            context_takeover,
            ..Compression::default()
        }),
        ..Options::default()
    }
}

fn served(context_takeover: bool) -> Served {
    Served::with(options(context_takeover))
}

/// Text that shrinks to some half of it by itself, and to nearly nothing if it may refer to itself
/// as it was sent before.
fn text(number: usize) -> String {
    let words = (0..LENGTH / 9).map(|at| {
        let word = (number * 1_000 + at) as u32;
        format!("{:08x} ", word.wrapping_mul(0x9e37_79b9).swap_bytes())
    });
    words.collect()
}

/// A client that has offered this, or nothing.
fn client(served: &mut Served, offer: Option<&str>) -> Far {
    let fields = offer.map_or_else(String::new, |offer| {
        format!("Sec-WebSocket-Extensions: {offer}\r\n")
    });
    served.client_of("/ws", &fields)
}

/// What reads as a peer does that has agreed to compression, and remembers messages or not.
struct Inflating(Receiver, Pool);

impl Inflating {
    fn new(role: Role, remembers: bool) -> Self {
        let receiver = Receiver::new(role, proto::Limits::default());
        Self(receiver.inflating(remembers), Pool::default())
    }

    /// The next message, and whether it came compressed.
    fn read(&mut self, served: &mut Served, far: &mut Far) -> (bool, String) {
        let mut found = None;
        served.turns("a frame", |_| {
            far.fill();
            found = far.raw_frame();
            found.is_some()
        });
        let (compressed, mut frame) = found.unwrap();
        match self.0.next_inflating(&mut frame, &mut self.1).unwrap() {
            (_, Some(Event::Text(text))) => (compressed, text.to_owned()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_published_is_compressed_for_those_who_share_the_compressor() {
    let mut served = served(true);
    served.app.on_open = Some(Box::new(|cx, _| cx.subscribe("room")));
    let mut plain = client(&mut served, None);
    let forgets = "permessage-deflate; server_no_context_takeover";
    let small = "permessage-deflate; server_no_context_takeover; server_max_window_bits=9";
    let mut members = [
        (forgets, true),
        (small, false),
        ("permessage-deflate", false),
    ]
    .map(|(offer, shares)| {
        let far = client(&mut served, Some(offer));
        (far, Inflating::new(Role::Client, true), shares)
    });
    for number in 0..3 {
        let text = text(number);
        let published = served.hub().publish(Publish {
            topic: "room",
            data: text.as_bytes(),
            kind: Kind::Text,
            except: None,
        });
        assert_eq!((published.taken, published.missed), (4, 0));
        assert_eq!(served.frame(&mut plain), Frame::text(&text));
        for (far, inflating, shares) in &mut members {
            assert_eq!(inflating.read(&mut served, far), (*shares, text.clone()));
        }
        // In their own callbacks the others are sent to compressed, too.
        served.app.on_message = Some(Box::new(move |cx, _| cx.send(&text).ignore()));
        for (far, inflating, _) in &mut members {
            served.send(far, &[Frame::text("say it again")]);
            let (compressed, again) = inflating.read(&mut served, far);
            assert!(compressed && again == self::text(number), "{number}");
        }
    }
    // What is small is not worth it.
    for (far, inflating, _) in &mut members {
        websocket::send(served.hub(), far.id, "a few words").ignore();
        let (compressed, text) = inflating.read(&mut served, far);
        assert_eq!((compressed, &*text), (false, "a few words"));
    }
}

#[test]
fn d06_from_anywhere_it_is_compressed_unless_it_should_not_be() {
    let mut served = served(false);
    let mut far = client(&mut served, Some("permessage-deflate"));
    let mut plain = client(&mut served, None);
    let mut inflating = Inflating::new(Role::Client, false);
    let text = text(1);
    let (once, never) = (Prepared::new(&text), Prepared::new(&text).uncompressed());
    for round in 0..2 {
        let hub = served.hub();
        for id in [far.id, plain.id] {
            websocket::send(hub, id, &text).ignore();
            websocket::send_uncompressed(hub, id, &text).ignore();
            websocket::send_prepared(hub, id, &once).ignore();
            websocket::send_prepared(hub, id, &never).ignore();
        }
        for expected in [true, false, true, false] {
            let (compressed, got) = inflating.read(&mut served, &mut far);
            assert_eq!((compressed, &got), (expected, &text), "{round}");
        }
        let frames = served.frames(&mut plain, 4);
        assert!(frames.iter().all(|frame| *frame == Frame::text(&text)));
    }
    let binary: &[u8] = &vec![7; LENGTH];
    let prepared = Prepared::new(binary);
    websocket::send_prepared(served.hub(), plain.id, &prepared).ignore();
    assert_eq!(served.frame(&mut plain), Frame::binary(binary));
}

#[test]
fn what_does_not_shrink_goes_as_it_is() {
    let mut served = served(false);
    let mut far = client(&mut served, Some("permessage-deflate"));
    // As random as what is compressed already.
    let mut state = 0x1234_5678_u64;
    let noise = (0..LENGTH).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    });
    let noise: Vec<u8> = noise.collect();
    websocket::send(served.hub(), far.id, &noise[..]).ignore();
    assert_eq!(served.frame(&mut far), Frame::binary(&noise));
}

/// Both ends of a connection that we dial to ourselves.
fn pair(context_takeover: bool) -> (Served, ConnId, ConnId) {
    let mut served = served(context_takeover);
    let (near, far) = served.pair();
    (served, near, far)
}

#[test]
fn our_own_client_compresses_and_so_does_our_server() {
    let mut written = Vec::new();
    for context_takeover in [false, true] {
        let (mut served, near, far) = pair(context_takeover);
        served.app.on_message = Some(Box::new(move |cx, message| {
            if cx.id() == far {
                cx.send(message).ignore();
            }
        }));
        served.app.on_post = Some(Box::new(|cx, ()| cx.send(&text(7)).ignore()));
        let before = [near, far].map(|id| served.hub().bytes_written(id));
        for round in 1..=3 {
            served.hub().post(near, Box::new("send it"));
            served.until("the echo", |app| app.of(near).len() == 2 * round);
        }
        let expected = format!("text {}", text(7));
        assert!(served.app.of(near).contains(&expected));
        let after = [near, far].map(|id| served.hub().bytes_written(id));
        written.push([after[0] - before[0], after[1] - before[1]]);
        websocket::close(served.hub(), near, Code::NORMAL, "");
        served.until("both ends", |app| app.closed().len() == 2);
    }
    for side in [0, 1] {
        let (alone, together) = (written[0][side], written[1][side]);
        assert!(alone < 3 * LENGTH as u64 * 2 / 3, "{alone}");
        // The second and third message may refer to the first.
        assert!(together < alone / 2, "{together} {alone}");
    }
}

#[test]
fn from_anywhere_to_a_server_everything_is_masked() {
    let (mut served, near, far) = pair(false);
    let text = text(1);
    let prepared = Prepared::new(&text);
    let before = served.hub().bytes_written(near);
    for _ in 0..2 {
        websocket::send(served.hub(), near, &text).ignore();
        websocket::send_prepared(served.hub(), near, &prepared).ignore();
    }
    served.until("the messages", |app| app.of(far).len() == 4);
    let written = served.hub().bytes_written(near) - before;
    assert!(written < 4 * LENGTH as u64 * 2 / 3, "{written}");
    websocket::send_uncompressed(served.hub(), near, &text).ignore();
    websocket::send_prepared(served.hub(), near, &prepared.uncompressed()).ignore();
    served.until("two more", |app| app.of(far).len() == 6);
    let all = served.app.of(far);
    assert!(all.iter().all(|got| *got == format!("text {text}")));
    let written = served.hub().bytes_written(near) - before;
    assert!(
        written > 2 * LENGTH as u64 + 4 * LENGTH as u64 / 3,
        "{written}"
    );
}

/// A server of the test's own answers our offer with this.
fn answered(extensions: &str) -> (Served, Far) {
    let mut served = served(false);
    let dialler = served.dialler;
    let (mut far, head) = served.dial(|dial| dial);
    let offer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits";
    assert_eq!(field(&head, "Sec-WebSocket-Extensions"), Some(offer));
    let fields = match extensions {
        "" => String::new(),
        extensions => format!("Sec-WebSocket-Extensions: {extensions}\r\n"),
    };
    served.write(&mut far, &answer(&head, &fields));
    let id = far.id;
    served.turns("an end of it", |served| {
        !served.app.failed().is_empty() || served.app.opened().contains(&id)
    });
    assert_eq!(
        served.hub().driver(id).is_some(),
        served.app.failed().is_empty()
    );
    assert!(served.hub().count(dialler) <= 1);
    (served, far)
}

#[test]
fn a_client_keeps_to_what_the_server_answers() {
    let usual = "permessage-deflate; server_no_context_takeover";
    for (answer, compresses) in [
        ("", false),
        (usual, true),
        (&format!("{usual}; client_max_window_bits=15"), true),
        (&format!("{usual}; client_max_window_bits=9"), true),
        // No compressor of ours has so small a window: what it sends is not compressed.
        (&format!("{usual}; client_max_window_bits=8"), false),
        (&format!("{usual}; server_max_window_bits=8"), true),
    ] {
        let (mut served, mut far) = answered(answer);
        assert_eq!(served.app.opened(), [far.id], "{answer}");
        let mut inflating = Inflating::new(Role::Server, false);
        served.app.on_post = Some(Box::new(|cx, ()| cx.send(&text(1)).ignore()));
        for _ in 0..2 {
            served.hub().post(far.id, Box::new("send it"));
            let read = inflating.read(&mut served, &mut far);
            assert_eq!(read, (compresses, text(1)), "{answer}");
        }
    }
}

#[test]
fn a_client_fails_where_the_server_answers_what_was_not_offered() {
    for answer in [
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; server_no_context_takeover, permessage-deflate",
        "x-webkit-deflate-frame",
    ] {
        let (served, _) = answered(answer);
        let failed = served.app.failed();
        let [(_, error)] = &failed[..] else {
            panic!("{failed:?}");
        };
        let why = ": an extension that was not offered, or not in this way";
        assert!(error.ends_with(why), "{answer}: {error}");
    }
}

#[test]
fn d03_connections_that_forget_share_what_compresses() {
    const MEMBERS: usize = 200;
    alone(2_000, || {
        let mut served = served(false);
        served.app.on_open = Some(Box::new(|cx, _| cx.subscribe("room")));
        served.app.on_message = Some(Box::new(|cx, _| cx.send(&text(7)).ignore()));
        let mut deflating = Pool::default();
        let mut payload = Vec::new();
        deflating.deflate(text(1).as_bytes(), &mut payload);
        let mut members: Vec<_> = (0..MEMBERS)
            .map(|_| client(&mut served, Some("permessage-deflate")))
            .collect();
        // The first ones bring all that is shared.
        let (mut before, mut inflating) = (0, Inflating::new(Role::Client, false));
        for (at, far) in members.iter_mut().enumerate() {
            let mut frame = Vec::new();
            let opcode = OpCode::Text;
            write::compressed(&mut frame, opcode, true, &payload, Some([1, 2, 3, 4]));
            served.write(far, &frame);
            assert_eq!(inflating.read(&mut served, far), (true, text(7)));
            served.app.forget();
            if at == 10 {
                before = resident();
            }
        }
        let each = resident().saturating_sub(before) / (MEMBERS - 10);
        // A compressor takes 318 KB, and what inflates 18 KB.
        assert!(each < 4_096, "{each} bytes for each");
    });
}

#[test]
fn d05_a_publish_meets_members_that_are_closing() {
    let mut served = served(false);
    served.app.on_open = Some(Box::new(|cx, _| cx.subscribe("room")));
    let mut members: Vec<_> = (0..4)
        .map(|_| client(&mut served, Some("permessage-deflate")))
        .collect();
    let ids: Vec<_> = members.iter().map(|far| far.id).collect();
    let mut round = 0;
    // Each of them goes in another way, and is published to in the same callback before and after.
    served.app.on_message = Some(Box::new(move |cx, _| {
        let id = ids[round];
        round += 1;
        let text = text(round);
        let publish = Publish {
            topic: "room",
            data: text.as_bytes(),
            kind: Kind::Text,
            except: None,
        };
        let before = cx.publish(publish);
        match round {
            1 => cx.close(Code::NORMAL, ""),
            2 => cx.hub().close(id),
            _ => cx.abort(),
        }
        let after = cx.publish(publish);
        assert_eq!((before.missed, after.missed), (0, 1));
    }));
    let mut last = members.pop().unwrap();
    let mut inflating = Inflating::new(Role::Client, false);
    for (gone, mut far) in members.into_iter().enumerate() {
        served.send(&mut far, &[Frame::text("go")]);
        for _ in 0..2 {
            let read = inflating.read(&mut served, &mut last);
            assert_eq!(read, (true, text(gone + 1)));
        }
        far.fill();
        drop(far);
        let open = 3 - gone;
        let endpoint = served.endpoint;
        served.turns("its end", |served| served.hub().count(endpoint) == open);
    }
}

#[test]
fn a_dial_without_the_option_offers_nothing() {
    let mut served = Served::quiet();
    let dial = Dial::new(&format!("ws://{}/ws", served.address)).unwrap();
    let dialler = served.dialler;
    served.app.on_upgrade = Some(Box::new(|_, _, request| {
        assert_eq!(request.header("Sec-WebSocket-Extensions"), None);
        websocket::Accept::new().into()
    }));
    let id = Endpoint::<App>::connect(served.hub(), dial, dialler);
    served.until("the connection", |app| app.opened().contains(&id));
}

#[test]
fn what_was_dropped_is_not_referred_to() {
    let limits = Limits {
        overflow: Overflow::Drop,
        max_backlog: 100_000,
        full_duplex: true,
        ..Limits::default()
    };
    let mut served = Served::made(options(true), limits, |mount| mount);
    let mut far = client(&mut served, Some("permessage-deflate"));
    let (id, filler, text) = (far.id, "x".repeat(10_000), text(1));
    let mut fillers = 0;
    while websocket::send(served.hub(), id, &filler) != Sent::Dropped {
        fillers += 1;
        served.rest();
    }
    let (said, mut expected) = (text.clone(), vec![Sent::Accepted, Sent::Dropped]);
    served.app.on_message = Some(Box::new(move |cx, _| {
        assert_eq!(cx.send(&said), expected.pop().unwrap());
    }));
    served.send(&mut far, &[Frame::text("say it")]);
    served.until("that", |app| app.of(id).len() == 1);
    let mut inflating = Inflating::new(Role::Client, true);
    for _ in 0..fillers {
        assert_eq!(inflating.read(&mut served, &mut far).1, filler);
    }
    served.send(&mut far, &[Frame::text("say it again")]);
    assert_eq!(inflating.read(&mut served, &mut far), (true, text));
}

#[test]
fn a_prepared_message_outlives_a_first_receiver_that_closes() {
    let mut served = served(false);
    let mut far = [(); 2].map(|()| client(&mut served, Some("permessage-deflate")));
    let [first, second] = [far[0].id, far[1].id];
    // It says that it closes, and leaves its side of TCP open.
    served.send(&mut far[0], &[Frame::close(Code::NORMAL, "")]);
    served.rest();
    assert!(!served.hub().is_open(first));
    assert_eq!(served.app.ended(first), None, "nobody has heard of it");
    let prepared = Prepared::new(&text(1));
    let hub = served.hub();
    let sent = [first, second].map(|id| websocket::send_prepared(hub, id, &prepared));
    assert_eq!(sent, [Sent::Closed, Sent::Accepted]);
    let received = Inflating::new(Role::Client, false).read(&mut served, &mut far[1]);
    assert_eq!(received, (true, text(1)));
}

/// It is the message that is bounded, and not what it takes to send it.
#[test]
fn a_message_as_large_as_may_be_need_not_shrink() {
    let mut word = 1_u64;
    let mut noise = || {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (word >> 56) as u8
    };
    for length in [1, 100, 10_000, 1 << 20] {
        let noise: Vec<u8> = (0..length).map(|_| noise()).collect();
        let (mut pool, mut payload, mut frame) = (Pool::new(9), Vec::new(), Vec::new());
        pool.deflate(&noise, &mut payload);
        assert!(payload.len() > length, "{} of {length}", payload.len());
        write::compressed(&mut frame, OpCode::Binary, true, &payload, None);
        for (max_message, fits) in [(length, true), (length - 1, false)] {
            let limits = proto::Limits {
                max_message,
                ..proto::Limits::default()
            };
            let mut receiver = Receiver::new(Role::Client, limits).inflating(true);
            match receiver.next_inflating(&mut frame.clone(), &mut pool) {
                Ok((_, Some(Event::Binary(data)))) => assert!(fits && data == noise, "{length}"),
                other => assert!(!fits && other.is_err(), "{length}: {other:?}"),
            }
        }
    }
}
