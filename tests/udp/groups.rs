//! One datagram for many: broadcast and multicast, on the loopback interface.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::SockRef;
use switchboard::{Bind, Bound, Interface, Sent};

use crate::served::{Event, Served};

const LOOPBACK: Interface = Interface::Address(Ipv4Addr::LOCALHOST);

/// A group of this test run, so that two runs do not hear each other.
fn group(row: u8) -> Ipv4Addr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(239, row, high, low)
}

/// Anybody who hears everything that comes to his port.
fn listener() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let patience = Duration::from_secs(20);
    socket.set_read_timeout(Some(patience)).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

fn heard(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).expect("a datagram");
    buffer[..length].to_vec()
}

#[test]
fn a_broadcast_leaves_with_permission_only() {
    let mut served = Served::bare(Bind::udp("127.0.0.1:0").broadcast(true));
    let without = served.reactor.bind("127.0.0.1:0", served.bare).unwrap();
    let (all, port) = listener();
    let everybody = SocketAddr::from(([127, 255, 255, 255], port));
    let socket = served.socket;
    let hub = served.hub();
    assert_eq!(hub.send_to(without.id, everybody, b"?"), Sent::Dropped);
    assert_eq!(hub.send_to(socket, everybody, b"to all"), Sent::Accepted);
    assert_eq!(heard(&all), b"to all");
    served.rest();
    assert_eq!(served.app.failed(), [(without.id, Some(libc::EACCES))]);
    let hub = served.hub();
    assert!(hub.is_open(without.id));
    // For everything else it has no need of permission.
    let one = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(hub.send_to(without.id, one, b"to one"), Sent::Accepted);
    assert_eq!(heard(&all), b"to one");
}

#[test]
fn a_broadcast_is_received_and_answered() {
    let mut served = Served::bound("0.0.0.0:0");
    served.app.on_message = Some(Box::new(|cx, _| {
        assert_eq!(cx.send(b"here"), Sent::Accepted);
    }));
    let (seeker, _) = listener();
    seeker.set_broadcast(true).unwrap();
    let port = served.address.port();
    let everybody = SocketAddr::from(([127, 255, 255, 255], port));
    seeker.send_to(b"who is there?", everybody).unwrap();
    served.until_arrived(1);
    assert_eq!(heard(&seeker), b"here");
}

/// Two sockets of bare datagrams that share a port, and a third that sends to groups.
struct Room {
    served: Served,
    one: Bound,
    other: Bound,
}

impl Room {
    fn new(joined: Ipv4Addr) -> Self {
        let sender = Bind::udp("127.0.0.1:0")
            .multicast_interface(LOOPBACK)
            .multicast_loop(true);
        let mut served = Served::bare(sender);
        let bare = served.bare;
        let bind = Bind::udp("0.0.0.0:0")
            .reuse_address(true)
            .join(joined, LOOPBACK);
        let one = served.reactor.bind(bind, bare).unwrap();
        let bind = Bind::from(one.local_addr).reuse_address(true);
        let other = served.reactor.bind(bind, bare).unwrap();
        Self { served, one, other }
    }

    /// Who of the two hears what is sent to a group.
    fn hear(&mut self, group: Ipv4Addr) -> (bool, bool) {
        let served = &mut self.served;
        served.app.events.clear();
        let socket = served.socket;
        let port = self.one.local_addr.port();
        let sent = served.hub().send_to(socket, (group, port).into(), b"psst");
        assert_eq!(sent, Sent::Accepted);
        served.rest();
        let sender = served.address;
        let [one, other] = [self.one.id, self.other.id].map(|id| {
            let event = Event::Datagram(id, sender, b"psst".to_vec());
            served
                .app
                .events
                .iter()
                .filter(|told| **told == event)
                .count()
        });
        assert!(one <= 1 && other <= 1, "{:?}", served.app.events);
        assert_eq!(one + other, served.app.events.len());
        (one == 1, other == 1)
    }
}

#[test]
fn a_multicast_reaches_the_members_of_its_group_only() {
    let (first, second) = (group(1), group(2));
    let mut room = Room::new(first);
    assert_eq!(room.hear(first), (true, false));
    assert_eq!(room.hear(second), (false, false));
    let (one, other) = (room.one.id, room.other.id);
    let hub = room.served.hub();
    hub.join(other, first.into(), LOOPBACK).unwrap();
    hub.join(other, second.into(), LOOPBACK).unwrap();
    assert_eq!(room.hear(first), (true, true));
    assert_eq!(room.hear(second), (false, true));
    room.served
        .hub()
        .leave(one, first.into(), LOOPBACK)
        .unwrap();
    assert_eq!(room.hear(first), (false, true));
    assert_eq!(room.hear(second), (false, true));
    let hub = room.served.hub();
    hub.leave(other, second.into(), LOOPBACK).unwrap();
    assert_eq!(room.hear(second), (false, false));
    assert_eq!(room.hear(first), (false, true));
}

#[test]
fn joining_and_leaving_say_what_is_wrong() {
    let (first, second) = (group(3), group(4));
    let mut room = Room::new(first);
    let (one, bound) = (room.one.id, room.served.sessions);
    let peers = room.served.reactor.bind("127.0.0.1:0", bound).unwrap();
    let hub = room.served.hub();
    let twice = hub.join(one, first.into(), LOOPBACK).unwrap_err();
    assert!(twice.to_string().contains(&first.to_string()), "{twice}");
    hub.leave(one, second.into(), LOOPBACK).unwrap_err();
    let no_group = IpAddr::from([127, 0, 0, 1]);
    hub.join(one, no_group, LOOPBACK).unwrap_err();
    let six = IpAddr::from(Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0x77));
    hub.join(one, six, Interface::Index(1)).unwrap_err();
    let session = hub
        .open_session(peers.id, ([127, 0, 0, 1], 1).into())
        .unwrap();
    let is_none = |result: std::io::Result<()>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected, "{error}");
    };
    is_none(hub.join(session, second.into(), LOOPBACK));
    hub.close(one);
    room.served.turn();
    let hub = room.served.hub();
    is_none(hub.join(one, second.into(), LOOPBACK));
    is_none(hub.leave(one, first.into(), LOOPBACK));
}

/// A server of sessions hears the group as it hears anybody, and answers the sender alone.
#[test]
fn a_multicast_opens_a_session_with_its_sender() {
    let group = group(5);
    let bind = Bind::udp("0.0.0.0:0").join(group, LOOPBACK);
    let mut served = Served::bound(bind);
    let (seeker, _) = listener();
    let socket = SockRef::from(&seeker);
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    let port = served.address.port();
    seeker.send_to(b"who is there?", (group, port)).unwrap();
    served.until_arrived(1);
    let id = served.app.opened()[0];
    assert!(served.hub().send(id, b"here").is_taken());
    assert_eq!(heard(&seeker), b"here");
}

/// A group that does not leave this host, and an interface by which the system delivers to it.
fn v6_interface() -> Result<u32, String> {
    let table = std::fs::read_to_string("/proc/net/if_inet6").map_err(|error| error.to_string())?;
    let index = |line: &str| u32::from_str_radix(line.split_whitespace().nth(1)?, 16).ok();
    let mut indices: Vec<_> = table.lines().filter_map(index).collect();
    indices.dedup();
    let mut last = "no interface has an IPv6 address".to_owned();
    for index in indices {
        match try_v6(index) {
            Ok(()) => return Ok(index),
            Err(error) => last = format!("interface {index}: {error}"),
        }
    }
    Err(last)
}

const V6_GROUP: Ipv6Addr = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0x5b, 0x6d);

fn try_v6(index: u32) -> std::io::Result<()> {
    let member = UdpSocket::bind("[::]:0")?;
    member.join_multicast_v6(&V6_GROUP, index)?;
    member.set_read_timeout(Some(Duration::from_millis(500)))?;
    let sender = UdpSocket::bind("[::]:0")?;
    SockRef::from(&sender).set_multicast_if_v6(index)?;
    let port = member.local_addr()?.port();
    sender.send_to(b"anybody?", (V6_GROUP, port))?;
    member.recv(&mut [0; 64]).map(drop)
}

#[test]
fn a_multicast_of_ipv6_reaches_members_until_they_leave() {
    let index = match v6_interface() {
        Ok(index) => index,
        Err(why) => return println!("skipped: no multicast by IPv6 here: {why}"),
    };
    let interface = Interface::Index(index);
    let sender = Bind::udp("[::]:0").multicast_interface(interface);
    let mut served = Served::bare(sender);
    let bind = Bind::udp("[::]:0").join(V6_GROUP, interface);
    let member = served.reactor.bind(bind, served.bare).unwrap();
    let (socket, to) = (served.socket, (V6_GROUP, member.local_addr.port()).into());
    let send = |served: &mut Served| {
        assert_eq!(served.hub().send_to(socket, to, b"psst"), Sent::Accepted);
        served.rest();
        served.app.arrived().len()
    };
    assert_eq!(send(&mut served), 1);
    let group = IpAddr::from(V6_GROUP);
    served.hub().leave(member.id, group, interface).unwrap();
    assert_eq!(send(&mut served), 1);
    served.hub().join(member.id, group, interface).unwrap();
    assert_eq!(send(&mut served), 2);
    let by_address = served.hub().join(member.id, group, LOOPBACK);
    assert_eq!(by_address.unwrap_err().kind(), ErrorKind::InvalidInput);
}
