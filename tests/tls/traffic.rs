//! What is said by TLS arrives, however much it is and however slowly it is taken.

use switchboard::{CloseReason, Config, ConnId, Limits, Publish, Sent};

use crate::far::{Far, VERSIONS, client_config, client_of, server_config};
use crate::near::{Near, echo, listen, server};
use crate::support::{Event, pattern};

/// Numbers without a pattern, the same ones in each run.
struct Numbers(u64);

impl Numbers {
    const fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

/// Says `total` bytes and reads them again, in pieces of a size up to `most` each way.
fn assert_echoes_all(total: usize, most: usize) {
    let mut near = Near::new();
    near.world.on_data = Some(Box::new(echo));
    let (mut far, id) = near.client();
    // As long as no power of two, so that a piece that is lost or doubled shows.
    let said = pattern(999_983);
    let (mut numbers, mut buffer) = (Numbers(7), vec![0; most]);
    let (mut spoken, mut heard) = (0, 0);
    near.turns("all of it", |near| {
        // The record of what was delivered would be as large.
        near.world
            .events
            .retain(|event| !matches!(event, Event::Data(..)));
        for _ in 0..1_000 {
            if far.unsent() == 0 && !far.tls.wants_write() && spoken < total {
                let from = spoken % said.len();
                let length = (numbers.below(100_000) + 1)
                    .min(said.len() - from)
                    .min(total - spoken);
                far.say(&said[from..from + length]);
                spoken += length;
            }
            let sent = far.push_some(numbers.below(most) + 1);
            let read = far.pull_into(&mut buffer[..numbers.below(most) + 1]);
            if sent == 0 && !read {
                break;
            }
        }
        assert_eq!((&far.error, far.end), (&None, None));
        while !far.received.is_empty() {
            let from = heard % said.len();
            let length = far.received.len().min(said.len() - from);
            assert!(far.received[..length] == said[from..from + length]);
            heard += length;
            far.received.drain(..length);
        }
        heard == total
    });
    assert!(near.hub().backlog(id) == 0);
}

#[test]
fn sixty_four_mebibytes_come_back_as_they_were() {
    assert_echoes_all(64 << 20, 100_000);
}

#[test]
fn a_peer_may_read_and_write_byte_by_byte() {
    assert_echoes_all(64 << 10, 1);
}

#[test]
fn keys_may_be_renewed_at_any_time() {
    let mut near = Near::new();
    near.world.on_data = Some(Box::new(echo));
    let (mut far, id) = near.open(client_of(VERSIONS[1], None));
    for _ in 0..10 {
        near.assert_echoes(&mut far);
        far.tls.refresh_traffic_keys().unwrap();
    }
    // With data before and behind it in the same segment.
    far.received.clear();
    let mut records = far.records(b"one, ");
    far.tls.refresh_traffic_keys().unwrap();
    records.append(&mut far.records(b"two, "));
    far.tls.refresh_traffic_keys().unwrap();
    records.append(&mut far.records(b"three"));
    crate::far::post(&far.stream, &records);
    near.both(&mut far, "all of it", |_, far| {
        far.received == b"one, two, three"
    });
    let (mut dialled, _) = near.dialled(server_config());
    dialled.tls.refresh_traffic_keys().unwrap();
    near.assert_echoes(&mut dialled);
    assert!(near.hub().is_open(id));
}

/// Each request to renew keys asks for an answer. They are not to pile up for a peer that does not
/// read.
#[test]
fn requests_for_new_keys_do_not_pile_up() {
    let mut near = Near::new();
    let (mut far, id) = near.open(client_of(VERSIONS[1], None));
    for _ in 0..1_000 {
        far.tls.refresh_traffic_keys().unwrap();
        far.push();
        if near.reason(id).is_some() {
            break;
        }
        near.turn();
        let backlog = near.hub().backlog(id);
        assert!(backlog < 4096, "{backlog} bytes of answers");
    }
}

/// A listener whose connections have small buffers in the kernel, and a client with such.
fn small(limits: Limits) -> (Near, Far, ConnId) {
    let listen = listen(server()).limits(limits);
    let listen = listen.send_buffer(4096).receive_buffer(64 * 1024);
    let mut near = Near::of(Config::default(), listen);
    let (mut far, id) = near.client();
    near.rest_with(&mut far);
    let socket = socket2::SockRef::from(&far.stream);
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.set_send_buffer_size(64 * 1024).unwrap();
    (near, far, id)
}

fn drains(near: &Near) -> usize {
    let drains = |event: &&Event| matches!(event, Event::Drained(_));
    near.world.events.iter().filter(drains).count()
}

#[test]
fn a_slow_reader_is_waited_for_and_costs_little() {
    let (mut near, mut far, id) = small(Limits::default());
    let piece = pattern(10_000);
    let (mut sent, mut backlogged) = (0, 0);
    for _ in 0..20 {
        // Until it says that this is enough.
        loop {
            match near.hub().send(id, &piece) {
                Sent::Accepted => sent += 1,
                Sent::Backlogged => break sent += 1,
                other => panic!("{other:?}"),
            }
            assert!(sent < 100_000, "it takes everything");
        }
        backlogged += 1;
        let backlog = near.hub().backlog(id);
        let most = 64 * 1024 + 2 * piece.len();
        assert!(backlog > 64 * 1024 && backlog < most, "{backlog}");
        near.both(&mut far, "the drain", |near, _| drains(near) >= backlogged);
        assert_eq!(drains(&near), backlogged, "once for each time");
    }
    near.both(&mut far, "all of it", |_, far| {
        far.received.len() == sent * piece.len()
    });
    assert!(far.received.chunks(piece.len()).all(|got| got == piece));
    assert_eq!(near.hub().backlog(id), 0);
}

#[test]
fn a_reader_that_never_reads_is_given_up() {
    let limits = Limits {
        max_backlog: 256 * 1024,
        ..Limits::default()
    };
    let (mut near, far, id) = small(limits);
    let piece = pattern(10_000);
    let mut most = 0;
    while near.hub().send(id, &piece) != Sent::Closed {
        most = most.max(near.hub().backlog(id));
        near.turn();
    }
    assert!(most <= 256 * 1024 + 20_000, "{most} bytes were kept");
    near.rest();
    assert_eq!(near.reason(id), Some(CloseReason::Overflow));
    drop(far);
    near.assert_nothing_left();
}

/// Its requests wait until it takes its answers: what it sends is not read meanwhile.
#[test]
fn a_peer_that_does_not_read_is_not_read_from() {
    let (mut near, mut far, id) = small(Limits::default());
    near.world.on_data = Some(Box::new(echo));
    let said = pattern(2 << 20);
    far.say(&said);
    loop {
        let before = far.unsent();
        far.push();
        near.rest();
        far.push();
        if far.unsent() == before {
            break;
        }
    }
    assert!(
        far.unsent() > 0,
        "so much that the kernel does not take it all"
    );
    let backlog = near.hub().backlog(id);
    assert!(backlog < 256 * 1024, "{backlog} bytes are kept");
    near.both(&mut far, "all of it", |_, far| {
        far.received.len() == said.len()
    });
    assert!(far.received == said);
}

#[test]
fn a_write_that_is_tried_says_how_much_was_taken() {
    let (mut near, mut far, id) = small(Limits::default());
    let said = pattern(4 << 20);
    let mut written = 0;
    loop {
        let taken = near.hub().try_write(id, &said[written..]).unwrap();
        written += taken;
        if taken == 0 {
            break;
        }
    }
    assert!(0 < written && written < said.len(), "{written}");
    // At most what was encrypted and could not be taken back is kept.
    let backlog = near.hub().backlog(id);
    assert!(backlog < 80 * 1024, "{backlog}");
    near.both(&mut far, "the rest", |near, far| {
        written += near.hub().try_write(id, &said[written..]).unwrap();
        written == said.len() && far.received.len() == said.len()
    });
    assert!(far.received == said, "no byte twice and none left out");
    near.hub().close(id);
    assert_eq!(near.hub().try_write(id, b"x"), None);
}

#[test]
fn what_is_published_reaches_members_with_and_without_tls() {
    let mut near = Near::new();
    near.world.on_open = Some(Box::new(|hub, id, ()| {
        assert!(hub.subscribe(id, "news"));
    }));
    let driver = near.driver;
    let plain = near.reactor.listen("127.0.0.1:0", driver).unwrap();
    let mut reader = crate::support::client(plain.local_addr.ip().unwrap());
    let mut members: Vec<(Far, ConnId)> = VERSIONS
        .map(|versions| near.open(client_of(versions, None)))
        .into();
    members.push(near.client());
    near.turns("the plain one", |near| near.world.opened().len() == 4);
    // Small ones are copied, large ones shared.
    let (small, large) = (pattern(100), pattern(100_000));
    for data in [&small, &large, &small] {
        let publish = Publish {
            topic: "news",
            data,
            kind: switchboard::Kind::Binary,
            except: None,
        };
        assert_eq!(near.hub().publish(publish).taken, 4);
    }
    let expected = [&small[..], &large, &small].concat();
    for (far, _) in &mut members {
        near.both(far, "the news", |_, far| {
            far.received.len() == expected.len()
        });
        assert!(far.received == expected);
    }
    assert_eq!(near.read_exactly(&mut reader, expected.len()), expected);
}

/// However little the kernel takes at a time.
#[test]
fn short_reads_and_writes_change_nothing() {
    use switchboard::testing::{Call, Fault};
    let mut near = Near::new();
    near.world.on_data = Some(Box::new(echo));
    near.faults.always(Call::Receive, Fault::Short(7));
    let mut far = near.stranger(client_config());
    near.both(&mut far, "the handshake", |near, _| {
        !near.world.opened().is_empty()
    });
    let said = pattern(20_000);
    far.say(&said);
    near.both(&mut far, "the echo", |_, far| {
        far.received.len() == said.len()
    });
    assert!(far.received == said);
}
