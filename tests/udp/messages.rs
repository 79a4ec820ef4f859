//! Datagrams come and go as they are: whole, of any length from none at all, in their order.

use switchboard::{Bind, Config, Dial, Sent};

use crate::served::{Event, Peer, Served};
use crate::support::{own_address, pattern};

/// The largest there is over IPv4.
const LARGEST: usize = 65_507;

#[test]
fn f30_an_empty_datagram_is_a_message_and_no_end() {
    let mut served = Served::new();
    let peer = Peer::of(served.address);
    for text in ["", "", "not the end", ""] {
        peer.send(text.as_bytes());
    }
    served.until_arrived(4);
    let id = served.app.opened()[0];
    assert_eq!(served.app.of(id), [&b""[..], b"", b"not the end", b""]);
    assert_eq!(
        (served.app.opened().len(), served.app.closed().len()),
        (1, 0)
    );
    assert!(served.hub().send(id, b"").is_taken());
    assert_eq!(served.receive(&peer), b"");
    served.assert_serves(&peer, id);
}

#[test]
fn f30_an_empty_datagram_is_one_to_bare_and_connected_sockets_too() {
    let mut served = Served::bare("127.0.0.1:0");
    let peer = Peer::of(served.address);
    peer.send(b"");
    peer.send(b"x");
    served.until_arrived(2);
    assert_eq!(served.app.arrived(), [&b""[..], b"x"]);
    let (socket, own) = (served.socket, served.address);
    assert!(served.hub().send_to(socket, peer.address(), b"").is_taken());
    assert_eq!(served.receive(&peer), b"");

    let dial = Dial::udp(peer.address());
    let sessions = served.sessions;
    let id = served.hub().connect(dial, sessions);
    served.until("the socket", |app| app.opened() == [id]);
    let dialled = served.hub().info(id).unwrap().local_addr.unwrap();
    assert_ne!(dialled, own);
    peer.socket.connect(dialled).unwrap();
    peer.send(b"");
    peer.send(b"y");
    served.until_arrived(4);
    assert_eq!(served.app.of(id), [&b""[..], b"y"]);
    assert!(served.hub().send(id, b"").is_taken());
    assert_eq!(served.receive(&peer), b"");
    assert!(served.app.closed().iter().all(|(closed, _)| *closed != id));
}

#[test]
fn f32_the_largest_datagram_arrives_whole_both_ways() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    let large = pattern(LARGEST);
    for _ in 0..3 {
        peer.send(&large);
        served.until("the message", |app| app.arrived().len() > 1);
        assert_eq!(served.app.of(id)[1], large);
        served.app.events.truncate(2);
        assert_eq!(served.hub().send(id, &large), Sent::Accepted);
        assert_eq!(served.receive(&peer), large);
    }
    let socket = served.socket;
    let sent = served.hub().send_to(socket, peer.address(), &large);
    assert_eq!(sent, Sent::Accepted);
    assert_eq!(served.receive(&peer), large);
}

/// The loop's buffer is for streams to choose: a datagram that it cuts would be lost.
#[test]
fn f32_a_small_read_buffer_cuts_no_datagram() {
    let config = Config {
        read_buffer: 100,
        read_budget: 100,
        ..Config::default()
    };
    let mut served = Served::with(config, "127.0.0.1:0");
    let peer = Peer::of(served.address);
    let lengths = [99, 100, 101, 5_000, LARGEST, 1];
    for (number, length) in lengths.into_iter().enumerate() {
        peer.send(&pattern(length));
        served.until_arrived(number + 1);
    }
    let id = served.app.opened()[0];
    for (message, length) in served.app.of(id).into_iter().zip(lengths) {
        assert_eq!(message, pattern(length));
    }
    assert_eq!(served.hub().totals().oversize, 0);
}

/// One byte more than can be is the sender's mistake, told by the send and by nothing else.
#[test]
fn f32_a_datagram_that_cannot_be_is_refused_to_its_sender() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    let socket = served.socket;
    let sessions = served.sessions;
    let dialled = served.hub().connect(Dial::udp(peer.address()), sessions);
    served.until("the socket", |app| app.opened().contains(&dialled));
    let address = peer.address();
    for too_large in [LARGEST + 1, 65_536, 200_000] {
        let data = pattern(too_large);
        let hub = served.hub();
        let before = hub.totals().dropped;
        assert_eq!(hub.send(id, &data), Sent::TooLarge);
        assert_eq!(hub.send(dialled, &data), Sent::TooLarge);
        assert_eq!(hub.send_to(socket, address, &data), Sent::TooLarge);
        assert_eq!(hub.totals().dropped - before, 3);
        assert_eq!(hub.backlog(id), 0);
    }
    served.rest();
    assert_eq!(served.app.failed(), []);
    assert_eq!(served.hub().info(id).unwrap().bytes_written, 0);
    served.assert_serves(&peer, id);
}

/// Larger ones are dropped and counted, by whomever they come; those of the very size are not.
#[test]
fn f32_datagrams_above_the_maximum_are_dropped_and_counted() {
    let mut served = Served::bound(Bind::udp("127.0.0.1:0").max_datagram(1_000));
    let (peer, id) = served.meet();
    for length in [1_000, 1_001, LARGEST, 1, 0] {
        peer.send(&pattern(length));
    }
    served.until_arrived(4);
    let lengths = |message: &&[u8]| message.len();
    let arrived: Vec<_> = served.app.of(id).iter().map(lengths).collect();
    assert_eq!(arrived, [5, 1_000, 1, 0]);
    assert_eq!(served.hub().totals().oversize, 2);
    // A stranger's opens nothing.
    let stranger = Peer::of(served.address);
    stranger.send(&pattern(1_001));
    served.turns("the drop", |served| served.hub().totals().oversize == 3);
    assert_eq!(served.app.opened(), [id]);
    // It is about what comes, not about what goes.
    assert!(served.hub().send(id, &pattern(1_001)).is_taken());
    assert_eq!(served.receive(&peer).len(), 1_001);
}

#[test]
fn datagrams_of_all_lengths_keep_their_order_and_content() {
    let mut served = Served::new();
    served.app.on_message = Some(Box::new(|cx, message| {
        assert_eq!(cx.send(message), Sent::Accepted);
    }));
    let peer = Peer::of(served.address);
    let all = pattern(40_000);
    let datagram = |number: usize| {
        let start = number * 7;
        &all[start..start + number * 31 % 3_000]
    };
    for batch in 0..100 {
        let numbers = batch * 10..batch * 10 + 10;
        for number in numbers.clone() {
            peer.send(datagram(number));
        }
        served.until_arrived(numbers.end);
        for number in numbers {
            assert_eq!(served.receive(&peer), datagram(number), "{number}");
        }
    }
    let id = served.app.opened()[0];
    let messages = served.app.of(id);
    for (number, message) in messages.iter().enumerate() {
        assert_eq!(*message, datagram(number), "{number}");
    }
    assert_eq!(messages.len(), 1_000);
}

/// Nothing is coalesced and nothing is queued: the kernel has it when the call returns.
#[test]
fn a_datagram_leaves_at_the_call() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    served.turn();
    for text in ["one", "two"] {
        assert_eq!(served.hub().send(id, text.as_bytes()), Sent::Accepted);
    }
    assert_eq!(served.hub().backlog(id), 0);
    assert_eq!(served.turn().writes, 2);
    assert_eq!(served.receive(&peer), b"one");
    assert_eq!(served.receive(&peer), b"two");
}

/// A session may be used to send to others than its peer.
#[test]
fn a_session_sends_to_others_by_its_socket() {
    let mut served = Served::new();
    let (_, id) = served.meet();
    let other = Peer::at(own_address(), served.address);
    let sent = served.hub().send_to(id, other.address(), b"from afar");
    assert!(sent.is_taken());
    assert_eq!(served.receive(&other), b"from afar");
    assert!(!served.app.events.contains(&Event::Drained(id)));
}
