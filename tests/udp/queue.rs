//! What the kernel has no room for waits, within a bound, and leaves in order.

use std::net::UdpSocket;

use switchboard::testing::{Call, Fault};
use switchboard::{Bind, CloseReason, Config, ConnId, Limits, Sent};

use crate::served::{Event, MILLI, Peer, Served};

const FULL: Fault = Fault::Errno(libc::EAGAIN);
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_millis(100);

/// From now on the kernel has no room.
fn jam(served: &mut Served) {
    served.rest();
    served.faults.always(Call::Send, FULL);
}

/// The kernel has room again, and says so: it does when a datagram of the socket has left.
fn unjam(served: &mut Served) {
    served.faults.clear(Call::Send);
    let socket = served.socket;
    let descriptor = served.reactor.hub().descriptor(socket).unwrap();
    let twin = UdpSocket::from(descriptor.try_clone_to_owned().unwrap());
    let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    twin.send_to(b"", sink.local_addr().unwrap()).unwrap();
}

/// Limits that a few datagrams reach.
fn small(max_backlog: usize) -> Served {
    let limits = Limits {
        high_water: 2_000,
        low_water: 500,
        max_backlog,
        ..Limits::default()
    };
    Served::bound(Bind::udp("127.0.0.1:0").limits(limits))
}

fn numbered(number: usize) -> Vec<u8> {
    let mut datagram = vec![0; 200];
    datagram[0] = number as u8;
    datagram
}

/// Sends numbered datagrams of 200 bytes until one is not just accepted. Returns their number, and
/// what became of the last.
fn fill(served: &mut Served, id: ConnId, from: usize) -> (usize, Sent) {
    for number in from..from + 100 {
        match served.hub().send(id, &numbered(number)) {
            Sent::Accepted => {}
            other => return (number - from + 1, other),
        }
    }
    panic!("a hundred datagrams, and the queue has no end");
}

#[test]
fn what_the_kernel_has_no_room_for_leaves_later_in_order() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    let (other_peer, other) = served.meet();
    served.rest();
    // Room for none of it, and for the second again: it must not overtake the first.
    served.faults.next(Call::Send, FULL);
    for text in ["one", "two", "three"] {
        assert_eq!(served.hub().send(id, text.as_bytes()), Sent::Accepted);
        assert_eq!(served.hub().send(other, text.as_bytes()), Sent::Accepted);
    }
    assert_eq!((peer.receive(), other_peer.receive()), (None, None));
    assert!(served.hub().backlog(id) > 6 * 3);
    for text in ["one", "two", "three"] {
        assert_eq!(served.receive(&peer), text.as_bytes());
        assert_eq!(served.receive(&other_peer), text.as_bytes());
    }
    assert_eq!(served.hub().backlog(id), 0);
    assert_eq!(served.hub().info(id).unwrap().bytes_written, 11);
    assert_eq!(served.app.drained(), [], "nobody was told of a backlog");
    served.assert_serves(&peer, id);
}

#[test]
fn a_queue_waits_for_the_kernel_and_not_for_a_timer() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    jam(&mut served);
    for text in ["", "two", ""] {
        assert_eq!(served.hub().send(id, text.as_bytes()), Sent::Accepted);
    }
    served.rest();
    let tries = served.faults.count(Call::Send);
    served.advance(RETRY_AFTER);
    served.rest();
    assert_eq!(served.faults.count(Call::Send), tries, "no room, no try");
    unjam(&mut served);
    for text in ["", "two", ""] {
        assert_eq!(served.receive(&peer), text.as_bytes());
    }
    served.rest();
    // Nor does it go on asking for room, which would wake the loop with every datagram.
    assert!(served.hub().send(id, b"x").is_taken());
    assert_eq!(served.turn().events, 0);
    assert_eq!(served.receive(&peer), b"x");
    served.assert_serves(&peer, id);
}

#[test]
fn a_queue_is_bounded_and_what_does_not_fit_is_dropped_and_counted() {
    let mut served = small(4_000);
    let (peer, id) = served.meet();
    jam(&mut served);
    let mut taken = Vec::new();
    let mut dropped = 0;
    for number in 0..100 {
        match served.hub().send(id, &numbered(number)) {
            Sent::Dropped => dropped += 1,
            sent => {
                assert!(sent.is_taken(), "{sent:?}");
                taken.push(number);
            }
        }
    }
    let backlog = served.hub().backlog(id);
    assert!((4_000..4_300).contains(&backlog), "{backlog} bytes wait");
    assert_eq!((taken.len() + dropped, taken.len() < 20), (100, true));
    assert_eq!(served.hub().totals().dropped, dropped as u64);
    assert_eq!(served.app.closed(), [], "nobody is closed for it");
    unjam(&mut served);
    for number in taken {
        assert_eq!(served.receive(&peer), numbered(number));
    }
    served.rest();
    assert_eq!(peer.receive(), None);
    assert_eq!(served.app.failed(), []);
    served.assert_serves(&peer, id);
}

#[test]
fn whoever_was_told_of_a_backlog_is_told_when_it_has_drained_once() {
    let mut served = small(100_000);
    let (peer, id) = served.meet();
    let (_, modest) = served.meet();
    let (_, gone) = served.meet();
    jam(&mut served);
    assert_eq!(served.hub().send(modest, b"a little"), Sent::Accepted);
    let (first, sent) = fill(&mut served, id, 0);
    assert_eq!(sent, Sent::Backlogged);
    let backlog = served.hub().backlog(id);
    assert!((2_001..2_300).contains(&backlog), "{backlog} bytes wait");
    // It is the socket's backlog, whoever fills it further.
    for number in first..first + 5 {
        let sent = served.hub().send(id, &numbered(number));
        assert_eq!(sent, Sent::Backlogged);
    }
    assert_eq!(served.hub().send(gone, b"farewell"), Sent::Backlogged);
    served.hub().close(gone);
    served.rest();
    assert_eq!(served.app.drained(), []);
    unjam(&mut served);
    for number in 0..first + 5 {
        assert_eq!(served.receive(&peer), numbered(number));
    }
    served.rest();
    assert_eq!(served.app.drained(), [id]);
    // And the next time again.
    jam(&mut served);
    assert_eq!(fill(&mut served, id, 0).1, Sent::Backlogged);
    unjam(&mut served);
    served.rest();
    assert_eq!(served.app.drained(), [id, id]);
}

/// What `on_drain` sends may fill the queue again, for another drain.
#[test]
fn a_drain_may_lead_to_another() {
    let mut served = small(100_000);
    let (peer, id) = served.meet();
    let faults = served.faults.clone();
    let mut rounds = 0;
    served.app.on_drain = Some(Box::new(move |hub, id| {
        rounds += 1;
        if rounds < 3 {
            faults.next(Call::Send, FULL);
            while hub.send(id, &[7; 200]) == Sent::Accepted {}
        }
    }));
    jam(&mut served);
    let (number, _) = fill(&mut served, id, 0);
    unjam(&mut served);
    for _ in 0..3 * number {
        assert_eq!(served.receive(&peer).len(), 200);
    }
    served.rest();
    assert_eq!(served.app.drained(), [id; 3]);
}

/// Its answers would have nowhere to go: while a socket is backlogged it does not receive.
#[test]
fn a_backlogged_socket_does_not_receive() {
    let mut served = small(100_000);
    let (peer, id) = served.meet();
    jam(&mut served);
    assert_eq!(fill(&mut served, id, 0).1, Sent::Backlogged);
    peer.send(b"a question");
    served.rest();
    let before = served.receptions();
    served.rest();
    assert_eq!((served.app.of(id).len(), served.receptions()), (1, before));
    unjam(&mut served);
    served.until("the message", |app| app.of(id).len() == 2);
    let at = |event: &Event| served.app.events.iter().position(|other| other == event);
    let drained = at(&Event::Drained(id)).unwrap();
    let asked = at(&Event::Message(id, b"a question".to_vec())).unwrap();
    assert!(drained < asked, "{:?}", served.app.events);
}

#[test]
fn bare_and_connected_sockets_have_a_queue_too() {
    let mut served = Served::bare("127.0.0.1:0");
    let peer = Peer::of(served.address);
    let (socket, address) = (served.socket, peer.address());
    jam(&mut served);
    let mut number = 0;
    while served.hub().send_to(socket, address, &[7; 2_000]) == Sent::Accepted {
        number += 1;
    }
    assert!((25..=33).contains(&number), "{number} below 64 KiB");
    served.rest();
    assert_eq!(served.app.drained(), []);
    unjam(&mut served);
    for _ in 0..=number {
        assert_eq!(served.receive(&peer).len(), 2_000);
    }
    served.rest();
    assert_eq!(served.app.drained(), [socket]);
}

/// A shortage is not announced when it ends. Nothing is told of it either.
#[test]
fn f34_a_shortage_when_sending_waits_for_a_timer() {
    for errno in [libc::ENOBUFS, libc::ENOMEM] {
        let mut served = Served::new();
        let (peer, id) = served.meet();
        served.rest();
        served.faults.always(Call::Send, Fault::Errno(errno));
        for text in ["one", "two"] {
            assert_eq!(served.hub().send(id, text.as_bytes()), Sent::Accepted);
        }
        for round in 1..=3 {
            served.rest();
            let tries = served.faults.count(Call::Send);
            served.advance(RETRY_AFTER - MILLI);
            served.rest();
            assert_eq!(served.faults.count(Call::Send), tries, "round {round}");
            served.advance(MILLI);
            served.rest();
            assert_eq!(served.faults.count(Call::Send), tries + 1, "round {round}");
        }
        assert_eq!(peer.receive(), None);
        served.faults.clear(Call::Send);
        served.rest();
        assert_eq!(peer.receive(), None);
        served.advance(RETRY_AFTER);
        assert_eq!(served.receive(&peer), b"one");
        assert_eq!(served.receive(&peer), b"two");
        served.rest();
        assert_eq!(
            (served.app.failed(), served.app.drained()),
            (vec![], vec![])
        );
        served.assert_serves(&peer, id);
    }
}

/// One that cannot leave at all is not in the way of those behind it.
#[test]
fn what_fails_in_the_queue_lets_the_others_pass() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    served.rest();
    served.faults.next(Call::Send, FULL);
    served.faults.next(Call::Send, Fault::Errno(libc::EPERM));
    served.faults.next(Call::Send, Fault::Errno(libc::EMSGSIZE));
    for text in ["refused", "too large", "fine"] {
        assert_eq!(served.hub().send(id, text.as_bytes()), Sent::Accepted);
    }
    assert_eq!(served.receive(&peer), b"fine");
    served.rest();
    assert_eq!(served.app.failed(), [(id, Some(libc::EPERM))]);
    assert_eq!(served.hub().totals().dropped, 2);
    assert_eq!(served.hub().backlog(id), 0);
}

/// Even a queue that holds nothing may not leave the socket deaf and dumb.
#[test]
fn a_socket_without_a_queue_recovers() {
    for fault in [FULL, Fault::Errno(libc::ENOBUFS)] {
        let mut served = small(0);
        let (peer, id) = served.meet();
        served.rest();
        served.faults.always(Call::Send, fault);
        for _ in 0..3 {
            served.hub().send(id, b"x").ignore();
        }
        assert!(served.hub().totals().dropped >= 2);
        served.rest();
        unjam(&mut served);
        served.advance(RETRY_AFTER);
        served.rest();
        while peer.receive().is_some() {}
        served.assert_serves(&peer, id);
    }
}

#[test]
fn a_long_queue_leaves_within_the_write_budget() {
    let config = Config {
        write_budget: 3_000,
        ..Config::default()
    };
    let mut served = Served::with(config, "127.0.0.1:0");
    let (peer, id) = served.meet();
    jam(&mut served);
    for _ in 0..20 {
        assert_eq!(served.hub().send(id, &[7; 1_000]), Sent::Accepted);
    }
    unjam(&mut served);
    let mut turns = 0;
    let mut left = 20;
    served.turns("all of them", |served| {
        let before = served.hub().backlog(id);
        while peer.receive().is_some() {
            left -= 1;
        }
        assert!(before == 0 || left > 0);
        turns += 1;
        left == 0
    });
    assert!(turns >= 7, "{turns} turns");
}

/// What was sent before a close is sent, if the kernel takes it then.
#[test]
fn what_waits_leaves_when_its_session_or_its_socket_closes() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    let (other_peer, other) = served.meet();
    jam(&mut served);
    assert_eq!(served.hub().send(id, b"farewell"), Sent::Accepted);
    served.hub().close(id);
    served.rest();
    assert_eq!(served.app.closed(), [(id, CloseReason::Local)]);
    assert_eq!(peer.receive(), None);
    unjam(&mut served);
    assert_eq!(served.receive(&peer), b"farewell");

    served.rest();
    served.faults.next(Call::Send, FULL);
    served.faults.next(Call::Send, FULL);
    assert_eq!(served.hub().send(other, b"one"), Sent::Accepted);
    served.turn();
    assert_eq!(served.hub().send(other, b"two"), Sent::Accepted);
    assert_eq!(other_peer.receive(), None);
    unjam(&mut served);
    let socket = served.socket;
    served.until("nothing", |_| true);
    served.turn();
    served.hub().close(socket);
    assert_eq!(served.receive(&other_peer), b"one");
    assert_eq!(served.receive(&other_peer), b"two");
}
