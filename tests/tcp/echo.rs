//! Bytes as they come: nothing is lost, doubled or put out of order, whatever their number and
//! however soon the peer finishes.

use std::net::TcpStream;

use switchboard::{CloseReason, tcp};

use crate::served::{Dice, Served};
use crate::support::pattern;

/// Sends back what comes, and counts it.
#[derive(Default)]
struct Echo {
    received: usize,
    closed: Vec<CloseReason>,
}

impl tcp::Handler for Echo {
    type Conn = ();

    fn on_open(&mut self, _: &mut tcp::Cx<'_, tcp::Raw>) -> Option<()> {
        Some(())
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, (): &mut (), message: &[u8]) {
        self.received += message.len();
        assert!(cx.send(message).is_taken());
    }

    fn on_close(&mut self, _: &mut tcp::Cx<'_, tcp::Raw>, (): (), reason: CloseReason) {
        self.closed.push(reason);
    }
}

fn echo() -> Served<Echo> {
    Served::new(Echo::default(), tcp::Framed::raw())
}

/// Fails without printing megabytes.
fn assert_same(received: &[u8], sent: &[u8]) {
    let differ = received.iter().zip(sent).position(|(a, b)| a != b);
    assert_eq!(differ, None, "the first byte that differs");
    assert_eq!(received.len(), sent.len());
}

/// `sendall` of the first lesson on sockets: all of it, up to a FIN right behind the last byte.
#[test]
fn s0_09_echo_is_byte_exact_from_one_byte_to_sixteen_mebibytes() {
    const KIB: usize = 1024;
    let sizes = [
        1,
        2,
        1000,
        64 * KIB - 1,
        64 * KIB,
        64 * KIB + 1,
        1024 * KIB,
        16 * 1024 * KIB,
    ];
    let all = pattern(16 * 1024 * KIB);
    let mut served = echo();
    for size in sizes {
        let mut client = served.client();
        let received = served.exchange(&mut client, [&all[..size]]);
        assert_same(&received, &all[..size]);
    }
    served.until("all to be closed", |app| app.closed.len() == sizes.len());
    assert_eq!(served.app.closed, [CloseReason::Peer; 8]);
}

/// All of it is in the receive queue, FIN included, before the server looks for the first time.
#[test]
fn f11_what_precedes_an_early_fin_is_echoed() {
    let mut served = echo();
    for size in [1, 1000, 50_000] {
        let (mut client, sent) = (served.client(), pattern(size));
        let mut writer = &client;
        std::io::Write::write_all(&mut writer, &sent).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_same(&served.read_to_end(&mut client), &sent);
    }
    served.until("all to be closed", |app| app.closed.len() == 3);
    assert_eq!(served.app.received, 51_001);
}

#[test]
fn f14_echo_is_byte_exact_however_the_bytes_are_cut() {
    let sent = pattern(300_000);
    let mut served = echo();
    for seed in 0..12 {
        let mut dice = Dice::new(seed);
        let most = [1_000, 10_000, 100_000][seed as usize % 3];
        let pieces = dice.cut(&sent, most);
        let mut client = served.client();
        assert_same(&served.exchange(&mut client, pieces), &sent);
    }
}

/// The bytes of one connection never turn up on another.
#[test]
fn s0_24_many_connections_at_once_each_have_their_own_bytes() {
    let mut served = echo();
    let mut clients: Vec<TcpStream> = (0..50).map(|_| served.client()).collect();
    let sent: Vec<Vec<u8>> = (0..50_u8).map(|number| vec![number; 3_000]).collect();
    for half in [..1_500, ..1_500] {
        for (client, own) in clients.iter_mut().zip(&sent) {
            served.write(client, &own[half]);
        }
    }
    for (client, own) in clients.iter_mut().zip(&sent) {
        assert_eq!(served.read(client, 3_000), *own);
    }
    drop(clients);
    served.until("all to be closed", |app| app.closed.len() == 50);
}

/// Keeps quiet until the peer has finished, and then says what it has counted.
struct AtTheEnd;

impl tcp::Handler for AtTheEnd {
    type Conn = usize;

    fn on_open(&mut self, _: &mut tcp::Cx<'_, tcp::Raw>) -> Option<usize> {
        Some(0)
    }

    fn on_message(&mut self, _: &mut tcp::Cx<'_, tcp::Raw>, count: &mut usize, message: &[u8]) {
        *count += message.len();
    }

    /// Without a close here our side stays open.
    fn on_eof(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, count: &mut usize) {
        cx.send(format!("{count} bytes").as_bytes()).ignore();
        assert!(cx.set_timer(std::time::Duration::from_secs(1), 0).is_some());
    }

    fn on_timer(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, _: &mut usize, _: u32) {
        cx.send(b", and goodbye").ignore();
        cx.close();
    }
}

#[test]
fn s1_19_our_side_can_stay_open_behind_the_peers_fin() {
    let mut served = Served::new(AtTheEnd, tcp::Framed::raw());
    let (mut client, id) = served.connect();
    served.write(&mut client, &pattern(70_000));
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(served.read(&mut client, 11), b"70000 bytes");
    assert!(served.reactor.hub().is_open(id));
    served.advance(std::time::Duration::from_secs(1));
    assert_eq!(served.read_to_end(&mut client), b", and goodbye");
}
