//! Lines: what ends them, how long they may be, and what becomes of the last one.

use std::io::Write;
use std::net::Shutdown;

use switchboard::CloseReason;
use switchboard::tcp::Lines;

use crate::served::{Parrot, Served, parrot};

/// What comes back when `sent` is all that the client says, and the messages that were seen.
fn said(served: &mut Served<Parrot>, sent: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut client, id) = served.connect();
    let received = served.exchange(&mut client, [sent]);
    let messages = served.app.of(id).into_iter().map(<[u8]>::to_vec).collect();
    (received, messages)
}

#[test]
fn s2_07_lines_end_with_lf_or_crlf() {
    let (received, messages) = said(&mut parrot(Lines::default()), b"a\nb\r\n\r\n\nc\rd\n");
    assert_eq!(messages, [&b"a"[..], b"b", b"", b"", b"c\rd"]);
    assert_eq!(received, b"a\nb\n\n\nc\rd\n");
}

#[test]
fn s2_07_with_crlf_either_alone_is_part_of_the_line() {
    let codec = Lines::default().crlf();
    let (received, messages) = said(&mut parrot(codec), b"a\nb\r\n\r\r\n\r\n");
    assert_eq!(messages, [&b"a\nb"[..], b"\r", b""]);
    assert_eq!(received, b"a\nb\r\n\r\r\n\r\n");
}

#[test]
fn s2_07_another_delimiter_leaves_line_ends_alone() {
    let codec = Lines::default().delimiter(0);
    let (received, messages) = said(&mut parrot(codec), b"a\nb\r\n\0\0c\0");
    assert_eq!(messages, [&b"a\nb\r\n"[..], b"", b"c"]);
    assert_eq!(received, b"a\nb\r\n\0\0c\0");
}

#[test]
fn s2_07_the_last_line_needs_no_end() {
    let (received, messages) = said(&mut parrot(Lines::default()), b"first\nlast");
    assert_eq!(messages, [b"first".to_vec(), b"last".to_vec()]);
    assert_eq!(received, b"first\nlast\n");
}

/// The answers to what was within the limit precede the last word, and nobody else notices.
#[test]
fn t14_a_line_over_the_maximum_ends_its_connection_alone() {
    let mut served = parrot(Lines::default().max(8));
    let (mut other, _) = served.connect();
    assert_eq!(exchange_line(&mut served, &mut other), b"hello\n");

    let (mut client, id) = served.connect();
    client
        .write_all(b"1234567\n12345678\r\n123456789\nnever read\n")
        .unwrap();
    let received = served.read_to_end(&mut client);
    assert_eq!(
        received.escape_ascii().to_string(),
        "1234567\\n12345678\\nline longer than 8 bytes\\n"
    );
    drop(client);
    served.until("the close", |app| !app.closed.is_empty());
    assert_eq!(served.app.closed, [(id, CloseReason::Protocol)]);
    assert_eq!(served.app.errors, ["line longer than 8 bytes"]);
    assert_eq!(exchange_line(&mut served, &mut other), b"hello\n");
}

/// No end of the line is needed to know that it is too long; and one byte less is no fault yet.
#[test]
fn t14_a_line_is_refused_as_soon_as_it_is_too_long() {
    let mut served = parrot(Lines::default().max(8).delimiter(b'\n'));
    let (mut client, id) = served.connect();
    client.write_all(b"12345678").unwrap();
    served.until_received(8);
    assert!(served.app.errors.is_empty() && served.reactor.hub().is_open(id));
    client.write_all(b"9").unwrap();
    assert_eq!(
        served.read_to_end(&mut client),
        b"line longer than 8 bytes\n"
    );
    assert!(served.app.messages.is_empty());
}

#[test]
fn t14_the_last_line_has_the_same_maximum() {
    for (sent, answer) in [
        (&b"12345678"[..], &b"12345678\n"[..]),
        (b"123456789", b"line longer than 8 bytes\n"),
    ] {
        let mut served = parrot(Lines::default().max(8));
        let mut client = served.client();
        client.write_all(sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(served.read_to_end(&mut client), answer);
    }
}

/// Longer than the reactor's buffer, so it is collected from several reads.
#[test]
fn f14_a_line_longer_than_the_read_buffer_arrives_whole() {
    let line = vec![b'x'; 1_000_000];
    let mut served = parrot(Lines::default().max(1_000_000));
    let (mut client, id) = served.connect();
    let received = served.exchange(&mut client, [&line[..], b"\nshort\n"]);
    assert_eq!(received.len(), 1_000_007);
    assert_eq!(served.app.of(id), [&line[..], b"short"]);
}

fn exchange_line(served: &mut Served<Parrot>, client: &mut std::net::TcpStream) -> Vec<u8> {
    client.write_all(b"hello\n").unwrap();
    served.read(client, 6)
}
