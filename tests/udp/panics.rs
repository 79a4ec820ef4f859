//! A panic in a callback costs one session, or one stranger's datagram: the socket and everybody
//! else on it are served as before.

use switchboard::{Bind, CloseReason, ConnId, Dial};

use crate::served::{Event, Peer, SECOND, Served};

/// One session that is to die, and another that must not notice.
struct Ward {
    served: Served,
    other: (Peer, ConnId),
    victim: (Peer, ConnId),
}

impl Ward {
    fn new() -> Self {
        let mut served = Served::new();
        let (other, victim) = (served.meet(), served.meet());
        Self {
            served,
            other,
            victim,
        }
    }

    /// Turns until it is over, and looks at what is left. The application has not heard of the
    /// end: what a panic leaves of a session's state is for nobody's eyes.
    fn assert_only_the_victim_died(&mut self) {
        let (served, id) = (&mut self.served, self.victim.1);
        served.turns("the panic", |served| served.hub().totals().panics > 0);
        served.rest();
        assert_eq!(served.hub().totals().panics, 1);
        assert!(served.hub().info(id).is_none(), "its slot is still there");
        assert_eq!(served.app.closed(), []);
        self.assert_others_are_served();
        let served = &mut self.served;
        served.app.on_message = None;
        self.victim.0.send(b"a new beginning");
        let known = served.app.opened().len();
        served.until("another session", |app| app.opened().len() > known);
        let again = served.app.opened()[known];
        served.assert_serves(&self.victim.0, again);
    }

    fn assert_others_are_served(&mut self) {
        let (peer, id) = &self.other;
        self.served.assert_serves(peer, *id);
    }
}

#[test]
fn a_panic_in_on_message_closes_that_session_only() {
    let mut ward = Ward::new();
    ward.served.app.on_message = Some(Box::new(|_, message| assert_ne!(message, b"now")));
    ward.victim.0.send(b"now");
    ward.assert_only_the_victim_died();
}

#[test]
fn a_panic_about_the_first_message_closes_the_new_session_only() {
    let mut ward = Ward::new();
    ward.served.app.on_message = Some(Box::new(|_, message| assert_ne!(message, b"now")));
    let id = ward.victim.1;
    ward.served.hub().close(id);
    ward.served.rest();
    ward.served
        .app
        .events
        .retain(|event| !matches!(event, Event::Closed(..)));
    ward.victim.0.send(b"now");
    ward.assert_only_the_victim_died();
}

/// Whatever it had asked for before, the application does not hear of it again.
#[test]
fn a_panic_after_a_close_in_the_same_callback_is_still_one() {
    let mut ward = Ward::new();
    ward.served.app.on_message = Some(Box::new(|cx, message| {
        if message == b"now" {
            cx.close();
            panic!("on_message");
        }
    }));
    ward.victim.0.send(b"now");
    ward.assert_only_the_victim_died();

    // About the first message of a session, too.
    let stranger = Peer::of(ward.served.address);
    ward.served.app.on_message = Some(Box::new(|cx, message| {
        if message == b"first" {
            cx.close();
            panic!("on_message");
        }
    }));
    stranger.send(b"first");
    let served = &mut ward.served;
    served.turns("the panic", |served| served.hub().totals().panics > 1);
    served.rest();
    assert_eq!(served.app.closed(), []);
}

#[test]
fn a_panic_in_on_open_costs_the_stranger_his_datagram() {
    let mut ward = Ward::new();
    ward.served.app.on_open = Some(Box::new(|_| panic!("on_open")));
    assert_costs_a_stranger_his_datagram(&mut ward);
}

#[test]
fn a_panic_in_admit_costs_the_stranger_his_datagram() {
    let mut ward = Ward::new();
    ward.served.app.admit = Some(Box::new(|_, _| panic!("admit")));
    assert_costs_a_stranger_his_datagram(&mut ward);
}

fn assert_costs_a_stranger_his_datagram(ward: &mut Ward) {
    let stranger = Peer::of(ward.served.address);
    for panics in 1..=3 {
        stranger.send(b"hello");
        let served = &mut ward.served;
        served.turns("the panic", |served| served.hub().totals().panics == panics);
        served.rest();
        ward.assert_others_are_served();
    }
    let served = &mut ward.served;
    let (socket, sessions) = (served.socket, served.sessions);
    let hub = served.hub();
    assert_eq!((hub.sessions(socket), hub.count(sessions)), (2, 3));
    assert_eq!(hub.pending_timers(), 2);
    assert_eq!(served.app.closed(), []);
    (served.app.on_open, served.app.admit) = (None, None);
    stranger.send(b"hello");
    served.until("the session", |app| app.opened().len() == 3);
    let id = served.app.opened()[2];
    served.assert_serves(&stranger, id);
}

/// A panic of the socket's own, after somebody has been let in, is not the newcomer's.
#[test]
fn a_panic_costs_nobody_who_was_let_in_before() {
    let mut ward = Ward::new();
    let mut newcomers = Vec::new();
    for _ in 0..3 {
        newcomers.push(ward.served.meet());
        ward.served.app.admit = Some(Box::new(|_, _| panic!("admit")));
        Peer::of(ward.served.address).send(b"hello");
        ward.served.rest();
        ward.served.app.admit = None;
    }
    assert_eq!(ward.served.hub().totals().panics, 3);
    for (peer, id) in &newcomers {
        ward.served.assert_serves(peer, *id);
    }
}

#[test]
fn a_panic_in_on_timer() {
    let mut ward = Ward::new();
    ward.served.app.on_timer = Some(Box::new(|_, _| panic!("on_timer")));
    let owner = switchboard::Owner::Conn(ward.victim.1);
    ward.served.hub().set_timer(owner, SECOND, 1);
    ward.served.advance(SECOND);
    ward.assert_only_the_victim_died();
}

#[test]
fn a_panic_in_on_timeout() {
    let mut ward = Ward::new();
    ward.served.app.on_timeout = Some(Box::new(|_| panic!("on_timeout")));
    ward.served.advance(30 * SECOND);
    ward.assert_others_are_served();
    ward.served.advance(30 * SECOND);
    ward.assert_only_the_victim_died();
}

#[test]
fn a_panic_in_on_post() {
    let mut ward = Ward::new();
    ward.served.app.on_post = Some(Box::new(|_| panic!("on_post")));
    let id = ward.victim.1;
    ward.served.hub().post(id, Box::new("now"));
    ward.assert_only_the_victim_died();
}

#[test]
fn a_panic_in_on_error() {
    use switchboard::testing::{Call, Fault};
    let mut ward = Ward::new();
    ward.served.app.on_error = Some(Box::new(|_, _| panic!("on_error")));
    ward.served
        .faults
        .next(Call::Send, Fault::Errno(libc::EPERM));
    let id = ward.victim.1;
    assert!(!ward.served.hub().send(id, b"x").is_taken());
    ward.assert_only_the_victim_died();
}

#[test]
fn a_panic_in_on_close_harms_nobody() {
    let mut ward = Ward::new();
    ward.served.app.on_close = Some(Box::new(|_, _| panic!("on_close")));
    let id = ward.victim.1;
    ward.served.hub().close(id);
    ward.served.rest();
    assert_eq!(ward.served.app.closed(), [(id, CloseReason::Local)]);
    ward.assert_others_are_served();
}

/// One datagram must not end the service for all others.
#[test]
fn a_panic_about_a_bare_datagram_leaves_the_socket_open() {
    let mut served = Served::bare("127.0.0.1:0");
    served.app.on_datagram = Some(Box::new(|_, _, _, datagram| assert_ne!(datagram, b"now")));
    let peer = Peer::of(served.address);
    for text in ["before", "now", "after"] {
        peer.send(text.as_bytes());
    }
    served.until_arrived(3);
    served.rest();
    assert_eq!(served.hub().totals().panics, 1);
    let socket = served.socket;
    assert!(served.hub().is_open(socket));
    assert_eq!(served.app.closed(), []);
}

/// A connected socket is for one peer, as a session is.
#[test]
fn a_panic_about_a_connected_socket_closes_it() {
    for in_open in [true, false] {
        let mut served = Served::new();
        let peer = Peer::of(served.address);
        let sessions = served.sessions;
        served.app.on_open = Some(Box::new(move |_| {
            assert!(!in_open, "on_open");
            true
        }));
        served.app.on_message = Some(Box::new(|_, _| panic!("on_message")));
        let id = served.hub().connect(Dial::udp(peer.address()), sessions);
        let local = served.hub().info(id).unwrap().local_addr.unwrap();
        peer.socket.connect(local).unwrap();
        peer.send(b"x");
        served.turns("the panic", |served| served.hub().totals().panics > 0);
        served.rest();
        assert!(served.hub().info(id).is_none());
        assert_eq!(served.app.closed(), []);
        assert_eq!(served.hub().totals().panics, 1);
    }
}

/// Evicted by a stranger whose own callback panics: each has an end of its own.
#[test]
fn a_panic_about_a_newcomer_does_not_bring_back_who_made_room() {
    let mut served = Served::bound(Bind::udp("127.0.0.1:0").max_sessions(1));
    let (peer, evicted) = served.meet();
    served.app.on_open = Some(Box::new(|_| panic!("on_open")));
    Peer::of(served.address).send(b"hello");
    served.until("the eviction", |app| !app.closed().is_empty());
    assert_eq!(served.app.closed(), [(evicted, CloseReason::Evicted)]);
    let (socket, sessions) = (served.socket, served.sessions);
    assert_eq!(served.hub().sessions(socket), 0);
    served.rest();
    assert_eq!(served.hub().count(sessions), 1);
    served.app.on_open = None;
    peer.send(b"me again");
    served.until("another session", |app| app.opened().len() == 2);
}
