//! Any calls in any callbacks, in any order: each connection still opens and closes once, each turn
//! ends, and nothing is left behind.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use switchboard::{
    CloseReason, Config, ConnId, DriverId, Hub, Kind, Limits, Overflow, Owner, Publish,
};

use crate::alone::alone;
use crate::support::{Event, Hook, Recorder, Rig, World, client, pattern, reset};
use crate::util::{Numbers, ready};

const TOPICS: [&str; 3] = ["one", "two", "three"];

/// What callbacks choose from: shared by all hooks.
struct Chaos {
    numbers: Numbers,
    drivers: [DriverId; 2],
    /// All ids ever seen, so that calls meet the living and the dead.
    ids: Vec<ConnId>,
    big: Vec<u8>,
    panics: usize,
}

type Shared = Rc<RefCell<Chaos>>;

impl Chaos {
    fn pick(&mut self, own: ConnId) -> ConnId {
        match self.numbers.below(2) {
            0 => own,
            _ => self.ids[self.numbers.below(self.ids.len() as u64) as usize],
        }
    }

    fn topic(&mut self) -> &'static str {
        TOPICS[self.numbers.below(3) as usize]
    }

    /// A few random calls.
    fn act(&mut self, hub: &mut Hub, own: ConnId) {
        for _ in 0..self.numbers.below(4) {
            let id = self.pick(own);
            self.call(hub, id);
        }
    }

    fn call(&mut self, hub: &mut Hub, id: ConnId) {
        match self.numbers.below(20) {
            0 => hub.close(id),
            1 => hub.abort(id),
            2 => hub.close_for(id, CloseReason::Protocol),
            3 => hub.pause(id),
            4 | 5 => hub.resume(id),
            6 => hub.shutdown_write(id),
            7 => hub.flush(id),
            8 => hub.send(id, b"small").ignore(),
            9 => hub.send(id, &self.big).ignore(),
            10 => hub.send_shared(id, self.big.clone().into()).ignore(),
            11 => drop(hub.try_write(id, b"at once")),
            12 => drop(hub.subscribe(id, self.topic())),
            13 => drop(hub.unsubscribe(id, self.topic())),
            14 => self.publish(hub, id),
            15 => self.set_timer(hub, id),
            16 => hub.post(id, Box::new(())),
            17 => hub.hand_over(id, self.drivers[self.numbers.below(2) as usize]),
            18 => self.set_limits(hub, id),
            _ => {
                for other in hub.ids(self.drivers[0]) {
                    hub.send(other, b"all").ignore();
                }
            }
        }
    }

    fn publish(&mut self, hub: &mut Hub, except: ConnId) {
        hub.publish(Publish {
            topic: self.topic(),
            data: b"news",
            kind: Kind::Text,
            except: Some(except),
        });
    }

    fn set_timer(&mut self, hub: &mut Hub, id: ConnId) {
        let owner = match self.numbers.below(3) {
            0 => Owner::Driver(self.drivers[0]),
            _ => Owner::Conn(id),
        };
        let after = Duration::from_millis(self.numbers.below(5));
        if let Some(timer) = hub.set_timer(owner, after, 0) {
            if self.numbers.below(3) == 0 {
                assert!(hub.cancel_timer(timer));
            }
        }
    }

    fn set_limits(&mut self, hub: &mut Hub, id: ConnId) {
        let overflow = match self.numbers.below(2) {
            0 => Overflow::Close,
            _ => Overflow::Drop,
        };
        let limits = Limits {
            overflow,
            idle_timeout: Some(Duration::from_millis(5)),
            max_backlog: 32 * 1024,
            high_water: 16 * 1024,
            low_water: 4 * 1024,
            ..Limits::default()
        };
        hub.set_limits(id, limits);
    }

    /// Now and then a callback fails after what it has done.
    fn fail_at_times(&mut self) {
        if self.numbers.below(40) == 0 {
            self.panics += 1;
            panic!("at random");
        }
    }
}

fn hook<T: 'static>(chaos: &Shared) -> Hook<T> {
    let chaos = Rc::clone(chaos);
    Some(Box::new(move |hub, id, _| {
        let mut chaos = chaos.borrow_mut();
        chaos.act(hub, id);
        chaos.fail_at_times();
    }))
}

/// A rig whose callbacks do random things, with two drivers between which connections are handed to
/// and fro.
fn chaotic(seed: u64) -> (Rig, Shared) {
    let limits = Limits {
        high_water: 32 * 1024,
        max_backlog: 128 * 1024,
        linger: Duration::from_millis(20),
        ..Limits::default()
    };
    let config = Config {
        read_buffer: 512,
        read_budget: 1_024,
        write_budget: 8 * 1_024,
        limits,
        ..Config::default()
    };
    let mut rig = Rig::with(config, "127.0.0.1:0");
    let second = rig.reactor.add_driver(Recorder);
    let chaos = Rc::new(RefCell::new(Chaos {
        numbers: Numbers::new(seed),
        drivers: [rig.driver, second],
        ids: Vec::new(),
        big: pattern(20_000),
        panics: 0,
    }));
    let opened = Rc::clone(&chaos);
    rig.world.on_open = Some(Box::new(move |hub, id, ()| {
        let mut chaos = opened.borrow_mut();
        chaos.ids.push(id);
        chaos.act(hub, id);
        chaos.fail_at_times();
    }));
    let data = Rc::clone(&chaos);
    rig.world.on_data = Some(Box::new(move |hub, id, bytes| {
        let mut chaos = data.borrow_mut();
        chaos.act(hub, id);
        chaos.fail_at_times();
        chaos.numbers.below(bytes.len() as u64 + 1) as usize
    }));
    let timer = Rc::clone(&chaos);
    rig.world.on_timer = Some(Box::new(move |hub, id, _| {
        let mut chaos = timer.borrow_mut();
        if let Some(own) = id.or_else(|| chaos.ids.last().copied()) {
            chaos.act(hub, own);
        }
    }));
    rig.world.on_eof = hook(&chaos);
    rig.world.on_drain = hook(&chaos);
    rig.world.on_timeout = hook(&chaos);
    rig.world.on_post = hook(&chaos);
    rig.world.on_close = hook(&chaos);
    (rig, chaos)
}

/// What the peers do meanwhile.
fn clients_act(numbers: &mut Numbers, rig: &Rig, clients: &mut Vec<TcpStream>) {
    let mut buffer = [0; 8 * 1024];
    if clients.len() < 8 {
        clients.push(client(rig.listening.local_addr.ip().unwrap()));
    }
    let at = numbers.below(clients.len() as u64) as usize;
    // They may have been closed or reset: that is none of the clients' business.
    match numbers.below(8) {
        0 => drop(clients.swap_remove(at)),
        1 => reset(clients.swap_remove(at)),
        2 => drop(clients[at].shutdown(std::net::Shutdown::Write)),
        3 | 4 => drop(clients[at].write(&buffer[..3_000])),
        5 => drop(clients[at].write(b"x")),
        _ => drop(clients[at].read(&mut buffer)),
    }
}

/// A hand-over is a close at one driver and an open at the next: left out, the rest is in order.
fn assert_orderly(world: &World) {
    let mut events = world.events.clone();
    while let Some(at) = events
        .iter()
        .position(|event| matches!(event, Event::Closed(_, CloseReason::HandedOver)))
    {
        let Event::Closed(id, _) = events[at] else {
            unreachable!("just found")
        };
        assert_eq!(events.get(at + 1), Some(&Event::Opened(id)));
        events.drain(at..at + 2);
    }
    let world = World {
        events,
        ..World::default()
    };
    world.assert_orderly();
    assert_eq!(world.opened().len(), world.closed().len());
}

/// Everybody leaves, and time passes.
fn wind_down(rig: &mut Rig, clients: Vec<TcpStream>, drivers: [DriverId; 2]) {
    let World { events, .. } = std::mem::take(&mut rig.world);
    rig.world.events = events;
    drop(clients);
    rig.settle();
    for driver in drivers {
        for id in rig.reactor.hub().ids(driver) {
            rig.reactor.hub().close(id);
        }
    }
    rig.settle();
    for _ in 0..20 {
        rig.advance(Duration::from_millis(5));
    }
    rig.settle();
}

fn run(seed: u64) -> usize {
    let (mut rig, chaos) = chaotic(seed);
    let mut numbers = Numbers::new(seed + 1_000_000);
    let mut clients = Vec::new();
    for _ in 0..150 {
        clients_act(&mut numbers, &rig, &mut clients);
        if numbers.below(4) == 0 {
            rig.clock.advance(Duration::from_millis(numbers.below(4)));
        }
        // Each call returns, so each turn ends.
        rig.turn();
    }
    let drivers = chaos.borrow().drivers;
    wind_down(&mut rig, clients, drivers);
    assert_orderly(&rig.world);
    let hub = rig.reactor.hub();
    assert_eq!((hub.count(drivers[0]), hub.count(drivers[1])), (0, 0));
    assert_eq!(hub.pending_timers(), 0);
    assert!(TOPICS.iter().all(|topic| hub.subscribers(topic) == 0));
    assert_eq!(ready(&mut rig.reactor), 0);
    let panics = chaos.borrow().panics;
    assert_eq!(rig.reactor.hub().totals().panics, panics as u64);
    rig.world.events.len()
}

/// In a process of its own for its output: the panics in there are part of the test.
#[test]
fn f20_random_calls_in_random_callbacks_leave_everything_in_order() {
    alone(1024, || {
        std::panic::set_hook(Box::new(|info| {
            let meant = info.payload().downcast_ref::<&str>() == Some(&"at random");
            if !meant {
                eprintln!("{info}");
            }
        }));
        let mut events = 0;
        for seed in 0..200 {
            println!("seed {seed}");
            events += run(seed);
        }
        assert!(events > 20_000, "{events} events: hardly anything happened");
    });
}
