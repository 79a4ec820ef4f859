//! The least there is: an echo between our own two sides.

use std::fs;
use std::time::Duration;

use switchboard::{CloseReason, Config, ConnId, Dial, Driver, Hub, Listen, Origin, Reactor, tls};

#[derive(Default)]
struct World {
    opened: Vec<ConnId>,
    data: Vec<u8>,
    closed: Vec<CloseReason>,
    failed: Vec<String>,
}

struct Echo(bool);

impl Driver<World> for Echo {
    fn on_open(&mut self, world: &mut World, hub: &mut Hub, id: ConnId, _: Origin) {
        world.opened.push(id);
        if !self.0 {
            hub.send(id, b"hello").ignore();
        }
    }
    fn on_data(&mut self, world: &mut World, hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
        if self.0 {
            hub.send(id, data).ignore();
        } else {
            world.data.extend_from_slice(data);
            if world.data.ends_with(b"hello") {
                hub.close(id);
            }
        }
        data.len()
    }
    fn on_close(&mut self, world: &mut World, _: &mut Hub, _: ConnId, reason: CloseReason) {
        world.closed.push(reason);
    }
    fn on_dial_failed(
        &mut self,
        world: &mut World,
        _: &mut Hub,
        _: ConnId,
        _: Option<Box<dyn std::any::Any>>,
        error: std::io::Error,
    ) {
        world.failed.push(error.to_string());
    }
}

#[test]
fn what_is_sent_comes_back_and_both_sides_close_in_order() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = std::env::temp_dir().join(format!("tls-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (c, k) = (folder.join("cert.pem"), folder.join("key.pem"));
    fs::write(&c, cert.pem()).unwrap();
    fs::write(&k, signing_key.serialize_pem()).unwrap();
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let echo = reactor.add_driver(Echo(true));
    let client = reactor.add_driver(Echo(false));
    let server = tls::Server::files(&c, &k).unwrap();
    let at = reactor
        .listen(Listen::tcp("127.0.0.1:0").tls(server), echo)
        .unwrap()
        .local_addr
        .ip()
        .unwrap();
    let trusting = tls::Client::authorities(&c).unwrap();
    let mut world = World::default();
    reactor
        .hub()
        .connect(Dial::tcp(at).tls(&trusting, "localhost").unwrap(), client);
    for _ in 0..200 {
        reactor
            .turn(&mut world, Some(Duration::from_millis(10)))
            .unwrap();
        if world.closed.len() == 2 {
            break;
        }
    }
    assert_eq!(world.failed, Vec::<String>::new());
    assert_eq!(world.opened.len(), 2);
    assert_eq!(world.data, b"hello");
    assert_eq!(world.closed, [CloseReason::Peer, CloseReason::Local]);
}
