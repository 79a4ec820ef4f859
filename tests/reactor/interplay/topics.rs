//! Topics: who is a member, who is left out, and how often a payload is framed.

use std::cell::Cell;
use std::rc::Rc;

use switchboard::{
    CloseReason, ConnId, Driver, Form, Framer, Hub, Kind, Limits, Origin, Overflow, Publish,
    Published,
};

use crate::support::{Rig, World};
use crate::tools::{connect_small, fill, read_now, small_rig};

fn publish(rig: &mut Rig, topic: &str, data: &[u8], except: Option<ConnId>) -> Published {
    rig.reactor.hub().publish(Publish {
        topic,
        data,
        kind: Kind::Text,
        except,
    })
}

fn taken(taken: usize) -> Published {
    Published { taken, missed: 0 }
}

#[test]
fn members_join_once_leave_once_and_hear_only_their_topics() {
    let mut rig = Rig::new();
    let (mut left, first) = rig.connect();
    let (mut right, second) = rig.connect();
    let hub = rig.reactor.hub();
    assert!(hub.subscribe(first, "news") && hub.subscribe(second, "news"));
    assert!(hub.subscribe(first, "sport"));
    assert!(!hub.subscribe(first, "news"), "a member already");
    assert_eq!((hub.subscribers("news"), hub.subscribers("sport")), (2, 1));
    let mut topics: Vec<_> = hub.topics(first).collect();
    topics.sort_unstable();
    assert_eq!(topics, ["news", "sport"]);
    assert_eq!(publish(&mut rig, "news", b"n1 ", None), taken(2));
    assert_eq!(publish(&mut rig, "sport", b"s1 ", None), taken(1));
    assert_eq!(publish(&mut rig, "news", b"n2 ", Some(first)), taken(1));
    assert_eq!(publish(&mut rig, "nothing", b"?", None), taken(0));
    let hub = rig.reactor.hub();
    assert!(hub.unsubscribe(second, "news"));
    assert!(!hub.unsubscribe(second, "news") && !hub.unsubscribe(second, "sport"));
    assert_eq!(publish(&mut rig, "news", b"n3 ", None), taken(1));
    rig.settle();
    assert_eq!(read_now(&mut left), b"n1 s1 n3 ");
    assert_eq!(read_now(&mut right), b"n1 n2 ");
}

#[test]
fn a_member_that_closes_is_one_no_more() {
    let mut rig = Rig::new();
    let (client, id) = rig.connect();
    let (_other, closing) = rig.connect();
    let hub = rig.reactor.hub();
    assert!(hub.subscribe(id, "news") && hub.subscribe(closing, "news"));
    hub.close(closing);
    assert!(!hub.subscribe(closing, "sport"));
    let reached = publish(&mut rig, "news", b"x", None);
    assert_eq!(
        reached,
        Published {
            taken: 1,
            missed: 1
        }
    );
    rig.reactor.hub().abort(closing);
    drop(client);
    rig.until("both closes", |world| world.closed().len() == 2);
    let hub = rig.reactor.hub();
    assert_eq!((hub.subscribers("news"), hub.topics(id).count()), (0, 0));
}

/// Who joins after the call does not hear it, and who leaves after it does, although nothing has
/// left yet.
#[test]
fn a_publish_goes_to_the_members_at_the_call() {
    let mut rig = Rig::new();
    let (mut stays, first) = rig.connect();
    let (mut joins, second) = rig.connect();
    assert!(rig.reactor.hub().subscribe(first, "news"));
    assert_eq!(publish(&mut rig, "news", b"now", None), taken(1));
    let hub = rig.reactor.hub();
    assert!(hub.unsubscribe(first, "news") && hub.subscribe(second, "news"));
    rig.settle();
    assert_eq!(read_now(&mut stays), b"now");
    assert_eq!(read_now(&mut joins), b"");
}

#[test]
fn a_member_with_a_full_backlog_misses_what_the_others_get() {
    let limits = Limits {
        max_backlog: 20_000,
        overflow: Overflow::Drop,
        ..Limits::default()
    };
    let mut rig = small_rig(limits);
    let (_slow, stuck) = connect_small(&mut rig);
    let (mut quick, id) = rig.connect();
    fill(&mut rig, stuck, 20_000);
    let hub = rig.reactor.hub();
    assert!(hub.subscribe(stuck, "news") && hub.subscribe(id, "news"));
    let reached = publish(&mut rig, "news", b"news", None);
    assert_eq!(
        reached,
        Published {
            taken: 1,
            missed: 1
        }
    );
    assert_eq!(rig.read_exactly(&mut quick, 4), b"news");
}

/// Puts brackets around what is published, and counts how often.
struct Bracketing(Rc<Cell<usize>>);

struct Brackets(Rc<Cell<usize>>);

impl Framer for Brackets {
    fn frame(&mut self, data: &[u8], kind: Kind, form: Form, out: &mut Vec<u8>) {
        assert_eq!(kind, Kind::Text);
        self.0.set(self.0.get() + 1);
        let [opening, closing] = [*b"[]", *b"()"][usize::from(form.0)];
        out.push(opening);
        out.extend_from_slice(data);
        out.push(closing);
    }
}

impl Driver<World> for Bracketing {
    fn on_open(&mut self, world: &mut World, hub: &mut Hub, id: ConnId, _: Origin) {
        world.events.push(crate::support::Event::Opened(id));
        assert!(hub.subscribe(id, "news"));
    }

    fn on_data(&mut self, _: &mut World, _: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
        data.len()
    }

    fn on_close(&mut self, _: &mut World, _: &mut Hub, _: ConnId, _: CloseReason) {}

    fn framer(&self) -> Option<Box<dyn Framer>> {
        Some(Box::new(Brackets(Rc::clone(&self.0))))
    }
}

#[test]
fn a_payload_is_framed_once_for_each_driver() {
    let mut rig = Rig::new();
    let (mut plain, id) = rig.connect();
    assert!(rig.reactor.hub().subscribe(id, "news"));
    let framed = Rc::new(Cell::new(0));
    let driver = rig.reactor.add_driver(Bracketing(Rc::clone(&framed)));
    rig.listening = rig.reactor.listen("127.0.0.1:0", driver).unwrap();
    let mut clients: Vec<_> = (0..5).map(|_| rig.connect().0).collect();
    assert_eq!(publish(&mut rig, "news", b"hello", None), taken(6));
    assert_eq!(framed.get(), 1);
    for client in &mut clients {
        assert_eq!(rig.read_exactly(client, 7), b"[hello]");
    }
    assert_eq!(rig.read_exactly(&mut plain, 5), b"hello");
}

#[test]
fn a_payload_is_framed_once_for_each_form() {
    let mut rig = Rig::new();
    let framed = Rc::new(Cell::new(0));
    let driver = rig.reactor.add_driver(Bracketing(Rc::clone(&framed)));
    rig.listening = rig.reactor.listen("127.0.0.1:0", driver).unwrap();
    let mut clients: Vec<_> = (0..4).map(|_| rig.connect()).collect();
    for (_, id) in &clients[2..] {
        rig.reactor.hub().set_form(*id, Form(1));
        assert_eq!(rig.reactor.hub().form(*id), Form(1));
    }
    assert_eq!(publish(&mut rig, "news", b"hello", None), taken(4));
    assert_eq!(framed.get(), 2);
    // To one of them, as if it were published.
    let last = clients[3].1;
    let sent = rig.reactor.hub().send_framed(last, b"you", Kind::Text);
    assert_eq!(sent, switchboard::Sent::Accepted);
    for (at, (client, _)) in clients.iter_mut().enumerate() {
        let expected = if at < 2 { b"[hello]" } else { b"(hello)" };
        assert_eq!(rig.read_exactly(client, 7), expected);
    }
    assert_eq!(rig.read_exactly(&mut clients[3].0, 5), b"(you)");
    // Another driver has forms of its own.
    let plain = rig.driver;
    rig.reactor.hub().hand_over(last, plain);
    rig.settle();
    assert_eq!(rig.reactor.hub().form(last), Form(0));
}
