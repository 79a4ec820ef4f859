//! Connections that come and go, many of them: afterwards everything is where it was.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use switchboard::{Config, Exhaustion, Limits, Listen, Owner};

use crate::alone::alone;
use crate::support::{Rig, client, descriptors, reset, resident};
use crate::util::{Numbers, assert_rests};

const CONNECTIONS: usize = 100_000;
const BATCH: usize = 50;
/// Pages that come and go with whatever else the process does.
const SLACK: usize = 1 << 20;

/// What is there while no connection is.
fn baseline(rig: &mut Rig) -> (usize, usize) {
    assert_rests(rig);
    assert_eq!(rig.reactor.hub().count(rig.driver), 0);
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
    assert_eq!(rig.reactor.hub().subscribers("all"), 0);
    (descriptors(), resident())
}

fn rig() -> Rig {
    let limits = Limits {
        idle_timeout: Some(Duration::from_secs(60)),
        ..Limits::default()
    };
    let mut rig = Rig::with(Config::default(), Listen::tcp("127.0.0.1:0").limits(limits));
    rig.world.on_open = Some(Box::new(|hub, id, ()| {
        hub.subscribe(id, "all");
        hub.set_timer(Owner::Conn(id), Duration::from_secs(60), 1);
    }));
    let mut numbers = Numbers::new(26);
    rig.world.on_data = Some(Box::new(move |hub, id, data| {
        match numbers.below(4) {
            0 => hub.close(id),
            1 => hub.abort(id),
            _ => hub.send(id, data).ignore(),
        }
        // Some of it is never consumed.
        data.len() / 2
    }));
    rig
}

/// Ends a client in one of many ways; few of them leave its port in TIME_WAIT.
fn leave(mut client: TcpStream, way: u64) {
    // It may have been reset by now.
    let mut say = |text: &[u8]| drop(client.write(text));
    match way {
        0 => drop(client),
        1 => {
            say(b"hello");
            drop(client);
        }
        2..=15 => reset(client),
        16..=30 => {
            say(b"hello");
            reset(client);
        }
        _ => {
            say(b"hello");
            let _ = client.shutdown(Shutdown::Write);
            reset(client);
        }
    }
}

fn churn(rig: &mut Rig, numbers: &mut Numbers, connections: usize) {
    for _ in 0..connections / BATCH {
        let address = rig.listening.local_addr.ip().unwrap();
        let clients: Vec<_> = (0..BATCH).map(|_| client(address)).collect();
        if numbers.below(2) == 0 {
            rig.until("the batch", |world| world.opened().len() == BATCH);
        }
        for client in clients {
            leave(client, numbers.below(50));
        }
        rig.until("all to end", |world| world.closed().len() == BATCH);
        rig.world.assert_orderly();
        rig.world.events.clear();
    }
}

#[test]
fn f26_after_many_connections_everything_is_where_it_was() {
    alone(1024, || {
        let mut rig = rig();
        let mut numbers = Numbers::new(1);
        churn(&mut rig, &mut numbers, CONNECTIONS / 10);
        let (descriptors, resident) = baseline(&mut rig);
        churn(&mut rig, &mut numbers, CONNECTIONS);
        let (descriptors_now, resident_now) = baseline(&mut rig);
        assert_eq!(descriptors_now, descriptors);
        let grown = resident_now.saturating_sub(resident);
        assert!(grown <= SLACK, "{grown} bytes more than before");
    });
}

/// A reactor that is dropped takes its connections, listeners and the rest along.
#[test]
fn f26_a_dropped_reactor_leaves_no_descriptor() {
    alone(1024, || {
        let before = descriptors();
        for _ in 0..3 {
            let mut rig = rig();
            let shed = Listen::tcp("127.0.0.1:0").exhaustion(Exhaustion::Shed);
            rig.reactor.listen(shed, rig.driver).unwrap();
            let clients: Vec<_> = (0..10).map(|_| rig.connect()).collect();
            assert!(descriptors() > before + 20);
            drop((rig, clients));
            assert_eq!(descriptors(), before);
        }
    });
}

/// The numbers of the descriptors that are open, and whether a child process would inherit them.
fn inherited() -> BTreeSet<(u32, bool)> {
    let number = |entry: std::io::Result<fs::DirEntry>| {
        entry.ok()?.file_name().to_str()?.parse::<u32>().ok()
    };
    let numbers: Vec<u32> = fs::read_dir("/proc/self/fdinfo")
        .expect("procfs")
        .filter_map(number)
        .collect();
    let of = |number: u32| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let flags = u32::from_str_radix(flags.trim(), 8).ok()?;
        Some((number, flags & libc::O_CLOEXEC as u32 == 0))
    };
    numbers.into_iter().filter_map(of).collect()
}

/// A child process that held one of our connections would keep it open, and its events coming,
/// after our close.
#[test]
fn f36_no_descriptor_of_a_reactor_is_inherited_by_child_processes() {
    alone(1024, || {
        let before = inherited();
        let mut rig = rig();
        let shed = Listen::tcp("127.0.0.1:0").exhaustion(Exhaustion::Shed);
        rig.reactor.listen(shed, rig.driver).unwrap();
        let _clients: Vec<_> = (0..3).map(|_| rig.connect()).collect();
        let after = inherited();
        let new: Vec<_> = after.difference(&before).collect();
        // Poller, its clone, waker, two listeners, reserve, three connections and their clients.
        assert!(new.len() >= 12, "{new:?}");
        let inherited: Vec<_> = new.iter().filter(|(_, inherited)| *inherited).collect();
        assert!(inherited.is_empty(), "{inherited:?}");
    });
}
