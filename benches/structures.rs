//! What the reactor's own structures cost: the table beside connections, timers, topics, outboxes.
//!
//! ```sh
//! cargo bench --bench structures
//! cargo bench --bench structures -- timers     # those whose name contains this
//! ```
//!
//! All of it is reached as an application reaches it, by the public interface; so a timer that
//! fires has its call in its figure, and a message its check of the connection. Where bytes must
//! leave before the next round, the leaving is not in the figure.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use switchboard::{
    Clock, CloseReason, Config, ConnId, ConnMap, Driver, Hub, Kind, Origin, Owner, Publish, Reactor,
};

/// Entries of a full table, and timers that are pending beside the one in question.
const MANY: u32 = 10_000;

/// Messages queued before they are flushed. With 64 B or 1 KiB each they stay below the mark at
/// which a send flushes by itself.
const BURST: usize = 50;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    conn_map(&mut criterion);
    timers(&mut criterion);
    outbox(&mut criterion);
    publish(&mut criterion);
    criterion.final_summary();
}

/// Ids of the first slots, as of that many connections, in an order that no cache line knows.
fn ids() -> Vec<ConnId> {
    let stride = 7_919;
    (0..MANY)
        .map(|number| number * stride % MANY)
        .filter_map(|slot| ConnId::from_bits(1 << 32 | u64::from(slot)))
        .collect()
}

/// The side table beside the standard hash map, which it is to replace.
fn conn_map(criterion: &mut Criterion) {
    let ids = ids();
    let mut group = criterion.benchmark_group("side table of 10,000");
    group.throughput(Throughput::Elements(u64::from(MANY)));
    group.bench_function("insert/ConnMap", |bencher| {
        bencher.iter_with_large_drop(|| filled(&ids));
    });
    group.bench_function("insert/HashMap", |bencher| {
        bencher.iter_with_large_drop(|| hashed(&ids));
    });

    let (table, map) = (filled(&ids), hashed(&ids));
    group.bench_function("get/ConnMap", |bencher| {
        bencher.iter(|| {
            ids.iter()
                .filter_map(|id| table.get(black_box(*id)))
                .sum::<u64>()
        });
    });
    group.bench_function("get/HashMap", |bencher| {
        bencher.iter(|| {
            ids.iter()
                .filter_map(|id| map.get(black_box(id)))
                .sum::<u64>()
        });
    });
    group.bench_function("remove/ConnMap", |bencher| {
        let remove = |mut table: ConnMap<u64>| {
            for id in &ids {
                black_box(table.remove(*id));
            }
            table
        };
        bencher.iter_batched(|| filled(&ids), remove, BatchSize::LargeInput);
    });
    group.bench_function("remove/HashMap", |bencher| {
        let remove = |mut map: HashMap<ConnId, u64>| {
            for id in &ids {
                black_box(map.remove(id));
            }
            map
        };
        bencher.iter_batched(|| hashed(&ids), remove, BatchSize::LargeInput);
    });
    group.finish();
}

fn filled(ids: &[ConnId]) -> ConnMap<u64> {
    let mut table = ConnMap::new();
    for id in ids {
        table.insert(*id, id.to_bits());
    }
    table
}

fn hashed(ids: &[ConnId]) -> HashMap<ConnId, u64> {
    ids.iter().map(|id| (*id, id.to_bits())).collect()
}

/// Deadlines spread over a minute, as those of many connections are.
fn spread(number: u32) -> Duration {
    Duration::from_millis(1 + u64::from(number) * 7_919 % 60_000)
}

fn timers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timers");
    let mut pairs = Pairs::new(0);
    for number in 0..MANY {
        pairs.hub().set_timer(Owner::App, spread(number), number);
    }
    let mut number = 0;
    group.bench_function("set and cancel among 10,000", |bencher| {
        bencher.iter(|| {
            number = (number + 1) % MANY;
            let timer = pairs.hub().set_timer(Owner::App, spread(number), number);
            timer.is_some_and(|timer| pairs.hub().cancel_timer(timer))
        });
    });

    group.throughput(Throughput::Elements(u64::from(MANY)));
    group.bench_function("set and fire 10,000", |bencher| {
        let mut pairs = Pairs::new(0);
        bencher.iter(|| {
            for number in 0..MANY {
                pairs.hub().set_timer(Owner::App, spread(number), number);
            }
            pairs.clock.advance(Duration::from_secs(60));
            let fired = pairs.turn();
            assert_eq!(fired, MANY as usize);
        });
    });
    group.finish();
}

/// Queueing alone: until the callback returns, that is all a send does.
fn outbox(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbox of one connection");
    group.throughput(Throughput::Elements(BURST as u64));
    for (size, name) in [(64, "64 B"), (1024, "1 KiB")] {
        let data = vec![b'x'; size];
        let mut pairs = Pairs::new(1);
        let id = pairs.ids[0];
        group.bench_function(BenchmarkId::new("send", name), |bencher| {
            bencher.iter_custom(|rounds| {
                pairs.time(rounds, |hub| {
                    for _ in 0..BURST {
                        hub.send(id, black_box(&data)).ignore();
                    }
                })
            });
        });
    }
    // The smallest message that is shared and not copied.
    let shared = Bytes::from(vec![b'x'; 1025]);
    let mut pairs = Pairs::new(1);
    let id = pairs.ids[0];
    group.bench_function(BenchmarkId::new("send_shared", "1 KiB"), |bencher| {
        bencher.iter_custom(|rounds| {
            pairs.time(rounds, |hub| {
                for _ in 0..BURST {
                    hub.send_shared(id, black_box(&shared).clone()).ignore();
                }
            })
        });
    });
    group.finish();
}

/// One message into the outboxes of all members of a topic: copied if it is small, else shared.
fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish");
    for members in [1, 20, 400] {
        let mut pairs = Pairs::new(members);
        group.throughput(Throughput::Elements(members as u64));
        for (size, name) in [(64, "64 B"), (4096, "4 KiB")] {
            let data = vec![b'x'; size];
            group.bench_function(BenchmarkId::new(name, members), |bencher| {
                bencher.iter_custom(|rounds| {
                    pairs.time(rounds, |hub| {
                        let published = hub.publish(Publish {
                            topic: TOPIC,
                            data: black_box(&data),
                            kind: Kind::Binary,
                            except: None,
                        });
                        assert_eq!(published.taken, members);
                    })
                });
            });
        }
    }
    group.finish();
}

const TOPIC: &str = "news";

/// Subscribes whoever comes.
struct Subscribe;

impl Driver<()> for Subscribe {
    fn on_open(&mut self, _: &mut (), hub: &mut Hub, id: ConnId, _: Origin) {
        hub.subscribe(id, TOPIC);
    }

    fn on_data(&mut self, _: &mut (), _: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
        data.len()
    }

    fn on_close(&mut self, _: &mut (), _: &mut Hub, _: ConnId, _: CloseReason) {}
}

/// A reactor on a clock moved by hand, and the other ends of its connections.
struct Pairs {
    reactor: Reactor<()>,
    clock: Clock,
    ids: Vec<ConnId>,
    peers: Vec<UnixStream>,
    buffer: Vec<u8>,
}

impl Pairs {
    fn new(connections: usize) -> Self {
        let clock = Clock::manual();
        let config = Config {
            clock: clock.clone(),
            ..Config::default()
        };
        let mut reactor = Reactor::new(config).expect("a poller");
        reactor.on_timer(|(), _, key| {
            black_box(key);
        });
        let driver = reactor.add_driver(Subscribe);
        let (mut ids, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..connections {
            let (ours, theirs) = UnixStream::pair().expect("two more descriptors");
            theirs.set_nonblocking(true).expect("a flag");
            ids.push(reactor.adopt(ours, driver).expect("a registration"));
            peers.push(theirs);
        }
        let mut pairs = Self {
            reactor,
            clock,
            ids,
            peers,
            buffer: vec![0; 256 * 1024],
        };
        pairs.turn();
        assert_eq!(pairs.hub().subscribers(TOPIC), connections);
        pairs
    }

    fn hub(&mut self) -> &mut Hub {
        self.reactor.hub()
    }

    /// Returns how many timers fired.
    fn turn(&mut self) -> usize {
        let turn = self.reactor.turn(&mut (), Some(Duration::ZERO));
        turn.expect("a turn").timers
    }

    /// The time that `queue` takes in this many rounds. What it queued leaves in between,
    /// unmeasured.
    fn time(&mut self, rounds: u64, mut queue: impl FnMut(&mut Hub)) -> Duration {
        let mut total = Duration::ZERO;
        for _ in 0..rounds {
            let start = Instant::now();
            queue(self.reactor.hub());
            total += start.elapsed();
            self.drain();
        }
        total
    }

    fn drain(&mut self) {
        self.turn();
        for (peer, id) in self.peers.iter_mut().zip(&self.ids) {
            assert_eq!(
                self.reactor.hub().backlog(*id),
                0,
                "all fits into the socket's buffer"
            );
            while peer.read(&mut self.buffer).is_ok_and(|read| read > 0) {}
        }
    }
}
