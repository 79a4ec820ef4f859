//! A panic in a callback costs one connection: nobody else notices, and nothing is left behind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use switchboard::{
    CloseReason, Config, ConnId, Driver, DriverId, Hub, Limits, Listen, Origin, Owner, Reactor,
};

use crate::support::{Event, Rig, client, pattern};
use crate::util::{assert_echoes, assert_rests, echo, has_closed};

const LONG: Duration = Duration::from_secs(60);

/// One connection that is to die, and another that must not notice.
struct Ward {
    rig: Rig,
    other: TcpStream,
    victim: TcpStream,
    id: ConnId,
}

impl Ward {
    fn new() -> Self {
        let limits = Limits {
            high_water: 16 * 1024,
            low_water: 1024,
            ..Limits::default()
        };
        let listen = Listen::tcp("127.0.0.1:0").send_buffer(4096).limits(limits);
        let mut rig = Rig::with(Config::default(), listen);
        rig.world.on_data = Some(Box::new(echo));
        let (other, _) = rig.connect();
        let (victim, id) = rig.connect();
        let hub = rig.reactor.hub();
        hub.subscribe(id, "news");
        hub.set_timer(Owner::Conn(id), LONG, 0);
        Self {
            rig,
            other,
            victim,
            id,
        }
    }

    /// Turns until it is over, and looks at what is left.
    fn assert_only_the_victim_died(mut self, reason: CloseReason) {
        let (rig, id) = (&mut self.rig, self.id);
        rig.until("the close", |world| has_closed(world, id));
        assert_eq!(rig.world.closed(), [(id, reason)]);
        rig.turn();
        let hub = rig.reactor.hub();
        assert_eq!(hub.totals().panics, 1);
        assert_eq!((hub.count(rig.driver), hub.subscribers("news")), (1, 0));
        assert_eq!((hub.backlog(id), hub.pending_timers()), (0, 0));
        assert!(hub.info(id).is_none(), "its slot is still there");
        assert_echoes(rig, &mut self.other);
        let (mut next, _) = rig.connect();
        assert_echoes(rig, &mut next);
        assert_rests(rig);
        rig.world.assert_orderly();
    }
}

#[test]
fn f19_a_panic_in_on_open() {
    let mut ward = Ward::new();
    ward.rig.world.on_open = Some(Box::new(|_, _, ()| panic!("on_open")));
    let _new = client(ward.rig.listening.local_addr.ip().unwrap());
    let rig = &mut ward.rig;
    rig.until("the close", |world| !world.closed().is_empty());
    rig.turn();
    let new = rig.world.opened()[2];
    assert_eq!(rig.world.closed(), [(new, CloseReason::Panicked)]);
    assert_eq!(rig.reactor.hub().count(rig.driver), 2);
    rig.world.on_open = None;
    assert_echoes(rig, &mut ward.other);
    assert_echoes(rig, &mut ward.victim);
}

#[test]
fn f19_a_panic_in_on_data() {
    let mut ward = Ward::new();
    let victim = ward.id;
    ward.rig.world.on_data = Some(Box::new(move |hub, id, data| {
        assert_ne!(id, victim, "on_data");
        echo(hub, id, data)
    }));
    ward.victim.write_all(b"now").unwrap();
    ward.assert_only_the_victim_died(CloseReason::Panicked);
}

/// What was sent before the panic is not worth waiting for, and more input is not looked at.
#[test]
fn f19_a_panic_in_on_data_with_much_in_both_directions() {
    let mut ward = Ward::new();
    let victim = ward.id;
    ward.rig.world.on_data = Some(Box::new(move |hub, id, data| {
        if id == victim {
            hub.send(id, &pattern(800_000)).ignore();
            panic!("on_data");
        }
        echo(hub, id, data)
    }));
    ward.victim.write_all(&pattern(200_000)).unwrap();
    ward.assert_only_the_victim_died(CloseReason::Panicked);
}

#[test]
fn f19_a_panic_in_on_eof() {
    let mut ward = Ward::new();
    ward.rig.world.on_eof = Some(Box::new(|_, _, ()| panic!("on_eof")));
    ward.victim.shutdown(std::net::Shutdown::Write).unwrap();
    ward.assert_only_the_victim_died(CloseReason::Panicked);
}

#[test]
fn f19_a_panic_in_on_drain() {
    let mut ward = Ward::new();
    ward.rig.world.on_drain = Some(Box::new(|_, _, ()| panic!("on_drain")));
    let sent = pattern(900_000);
    ward.rig.reactor.hub().send(ward.id, &sent).ignore();
    let (mut client, id) = (ward.victim.try_clone().unwrap(), ward.id);
    ward.rig.until("the close", |world| {
        let mut buffer = [0; 64 * 1024];
        while client.read(&mut buffer).is_ok_and(|read| read > 0) {}
        has_closed(world, id)
    });
    ward.assert_only_the_victim_died(CloseReason::Panicked);
}

#[test]
fn f19_a_panic_in_on_timer() {
    let mut ward = Ward::new();
    ward.rig.world.on_timer = Some(Box::new(|_, _, _| panic!("on_timer")));
    ward.rig.advance(LONG);
    ward.assert_only_the_victim_died(CloseReason::Panicked);
}

#[test]
fn f19_a_panic_in_on_post() {
    let mut ward = Ward::new();
    ward.rig.world.on_post = Some(Box::new(|_, _, _| panic!("on_post")));
    ward.rig.reactor.hub().post(ward.id, Box::new(()));
    ward.assert_only_the_victim_died(CloseReason::Panicked);
}

#[test]
fn f19_a_panic_in_on_timeout() {
    let mut ward = Ward::new();
    ward.rig.world.on_timeout = Some(Box::new(|_, _, _| panic!("on_timeout")));
    let limits = Limits {
        idle_timeout: Some(LONG / 2),
        ..Limits::default()
    };
    ward.rig.reactor.hub().set_limits(ward.id, limits);
    ward.rig.advance(LONG / 2);
    ward.assert_only_the_victim_died(CloseReason::Panicked);
}

/// The connection has ended already, for the reason it was told.
#[test]
fn f19_a_panic_in_on_close() {
    let mut ward = Ward::new();
    ward.rig.world.on_close = Some(Box::new(|_, _, _| panic!("on_close")));
    ward.rig.reactor.hub().abort(ward.id);
    ward.assert_only_the_victim_died(CloseReason::Aborted);
}

/// Whatever the callback had asked for before: it has panicked, and the driver must know.
#[test]
fn f19_a_panic_after_a_close_in_the_same_callback_is_still_told_as_one() {
    let ends: [fn(&mut Hub, ConnId); 2] = [Hub::close, Hub::abort];
    for end in ends {
        let mut ward = Ward::new();
        let victim = ward.id;
        ward.rig.world.on_data = Some(Box::new(move |hub, id, data| {
            if id == victim {
                end(hub, id);
                panic!("on_data");
            }
            echo(hub, id, data)
        }));
        ward.victim.write_all(b"now").unwrap();
        ward.assert_only_the_victim_died(CloseReason::Panicked);
    }
}

/// A timer of a driver or of the application belongs to no connection, so none is closed.
#[test]
fn f19_a_panic_in_a_timer_without_a_connection_closes_nobody() {
    let mut ward = Ward::new();
    let rig = &mut ward.rig;
    rig.world.on_timer = Some(Box::new(|_, id, _| assert!(id.is_some(), "on_timer")));
    rig.reactor.on_timer(|_, _, _| panic!("on_timer"));
    let hub = rig.reactor.hub();
    hub.set_timer(Owner::App, LONG / 2, 1);
    hub.set_timer(Owner::Driver(rig.driver), LONG / 2, 2);
    rig.advance(LONG / 2);
    rig.turn();
    assert_eq!(rig.reactor.hub().totals().panics, 2);
    assert_eq!(rig.world.closed(), []);
    assert_echoes(rig, &mut ward.victim);
    assert_echoes(rig, &mut ward.other);
    rig.reactor.hub().set_timer(Owner::App, LONG / 4, 1);
    assert_eq!(rig.advance(LONG / 4).panics, 1, "the next one fires too");
}

#[test]
fn f19_a_panic_in_a_remote_job_harms_no_other_job() {
    let ward = Ward::new();
    let remote = ward.rig.reactor.remote();
    let id = ward.id;
    remote.post(|_, _| panic!("a job")).unwrap();
    remote.post(move |_, hub| hub.abort(id)).unwrap();
    ward.assert_only_the_victim_died(CloseReason::Aborted);
    assert_eq!(
        remote.post(|_, _| {}),
        Err(switchboard::RemoteError::Closed)
    );
}

/// A driver that fails to stop.
struct Stubborn;

impl Driver<()> for Stubborn {
    fn on_open(&mut self, (): &mut (), _: &mut Hub, _: ConnId, _: Origin) {}

    fn on_data(&mut self, (): &mut (), _: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
        data.len()
    }

    fn on_stop(&mut self, (): &mut (), _: &mut Hub, _: DriverId) {
        panic!("on_stop");
    }

    fn on_close(&mut self, (): &mut (), _: &mut Hub, _: ConnId, _: CloseReason) {}
}

/// Its connections are reset at the deadline, as those of any driver that takes its time.
#[test]
fn f19_a_panic_in_on_stop_does_not_stop_the_shutdown() {
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let driver = reactor.add_driver(Stubborn);
    let listening = reactor.listen("127.0.0.1:0", driver).unwrap();
    let _client = client(listening.local_addr.ip().unwrap());
    for _ in 0..1_000 {
        if reactor.hub().count(driver) == 1 {
            break;
        }
        let wait = Some(Duration::from_millis(10));
        reactor.turn(&mut (), wait).unwrap();
    }
    reactor.hub().shutdown(Duration::from_millis(1));
    reactor.run(&mut ()).unwrap();
    assert_eq!(reactor.hub().totals().panics, 1);
    assert_eq!(reactor.hub().count(driver), 0);
}

/// Between a panic and its close no other callback sees the connection.
#[test]
fn f19_nothing_comes_between_a_panic_and_the_close() {
    let mut ward = Ward::new();
    let victim = ward.id;
    let limits = Limits {
        lifetime: Some(LONG / 2),
        ..Limits::default()
    };
    ward.rig.reactor.hub().set_limits(victim, limits);
    ward.rig.world.on_post = Some(Box::new(|_, _, _| panic!("on_post")));
    ward.rig.reactor.hub().post(victim, Box::new(()));
    ward.rig.reactor.hub().post(victim, Box::new(()));
    ward.victim.write_all(b"unheard").unwrap();
    ward.rig.advance(LONG);
    assert_eq!(
        ward.rig.world.events[2..],
        [
            Event::Posted(victim),
            Event::Closed(victim, CloseReason::Panicked),
        ]
    );
}
