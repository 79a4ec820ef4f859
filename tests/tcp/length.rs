//! Messages with their length before them, as the four prefixes write it, in both directions.

use std::io::Write;

use switchboard::tcp::{Cx, Framed, Handler, Length};
use switchboard::{CloseReason, Sent};

use crate::served::{Dice, Served, parrot};
use crate::support::pattern;

/// A prefix as its format says, written here by hand.
type Prefix = fn(usize) -> Vec<u8>;

fn u8_prefix(length: usize) -> Vec<u8> {
    vec![u8::try_from(length).unwrap()]
}

fn u16_prefix(length: usize) -> Vec<u8> {
    u16::try_from(length).unwrap().to_be_bytes().to_vec()
}

fn u16_little(length: usize) -> Vec<u8> {
    u16::try_from(length).unwrap().to_le_bytes().to_vec()
}

fn u32_prefix(length: usize) -> Vec<u8> {
    u32::try_from(length).unwrap().to_be_bytes().to_vec()
}

fn u32_little(length: usize) -> Vec<u8> {
    u32::try_from(length).unwrap().to_le_bytes().to_vec()
}

/// Seven bits a byte, the lowest first; all but the last have the top bit set.
fn varint(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while length > 127 {
        bytes.push(length as u8 | 128);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes
}

fn framed(prefix: Prefix, messages: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        bytes.extend(prefix(message.len()));
        bytes.extend_from_slice(message);
    }
    bytes
}

/// The longest of each prefix, the widths of a varint, and the empty message.
#[test]
fn s2_07_each_prefix_is_read_and_written_as_its_format_says() {
    let prefixes: [(Length, Prefix, &[usize]); 6] = [
        (Length::u8(), u8_prefix, &[0, 1, 127, 128, 255]),
        (Length::u16(), u16_prefix, &[0, 1, 255, 256, 65_535]),
        (
            Length::u16().little_endian(),
            u16_little,
            &[0, 1, 258, 65_535],
        ),
        (Length::u32(), u32_prefix, &[0, 1, 65_536, 100_000]),
        (Length::u32().little_endian(), u32_little, &[0, 1, 66_051]),
        (
            Length::varint(),
            varint,
            &[0, 1, 127, 128, 16_383, 16_384, 100_000],
        ),
    ];
    for (codec, prefix, lengths) in prefixes {
        let all = pattern(100_000);
        let messages: Vec<&[u8]> = lengths.iter().map(|length| &all[..*length]).collect();
        let sent = framed(prefix, &messages);
        let mut served = parrot(codec.clone());
        let (mut client, id) = served.connect();
        let received = served.exchange(&mut client, [&sent[..]]);
        assert!(served.app.of(id) == messages, "{codec:?}: the messages");
        assert!(received == sent, "{codec:?}: the answers");
    }
}

/// Many reads bring one frame, and the first bytes of the next are in the last of them.
#[test]
fn f14_frames_of_a_mebibyte_straddle_reads() {
    let all = pattern(3 << 20);
    let messages: Vec<&[u8]> = all.chunks(1 << 20).collect();
    let sent = framed(u32_prefix, &messages);
    for seed in 0..3 {
        let mut served = parrot(Length::u32());
        let (mut client, id) = served.connect();
        let pieces = Dice::new(seed).cut(&sent, 300_000);
        let received = served.exchange(&mut client, pieces);
        assert!(received == sent, "the answers, seed {seed}");
        assert!(served.app.of(id) == messages, "the messages, seed {seed}");
    }
}

/// Not a byte of the message is waited for: the header alone is its refusal.
#[test]
fn t14_a_frame_over_the_maximum_is_refused_on_its_header() {
    let prefixes: [(Length, Prefix); 4] = [
        (Length::u8().max(100), u8_prefix),
        (Length::u16().max(100), u16_prefix),
        (Length::u32().max(100), u32_prefix),
        (Length::varint().max(100), varint),
    ];
    for (codec, prefix) in prefixes {
        let mut served = parrot(codec.clone());
        let (mut other, _) = served.connect();
        let (mut client, id) = served.connect();
        let longest = framed(prefix, &[&[1; 100], &[2; 99]]);
        client.write_all(&longest).unwrap();
        assert_eq!(served.read(&mut client, longest.len()), longest);

        client.write_all(&prefix(101)).unwrap();
        let answer = served.read_to_end(&mut client);
        let error = served.app.errors.first().cloned().unwrap_or_default();
        assert_eq!(served.app.errors.len(), 1, "{codec:?}");
        assert!(error.contains("100"), "{error}");
        assert_eq!(answer, framed(prefix, &[error.as_bytes()]));
        drop(client);
        served.until("the close", |app| !app.closed.is_empty());
        assert_eq!(served.app.closed, [(id, CloseReason::Protocol)]);

        let hello = framed(prefix, &[b"hello"]);
        other.write_all(&hello).unwrap();
        assert_eq!(served.read(&mut other, hello.len()), hello);
    }
}

/// Four gigabytes claimed cost nothing but the connection.
#[test]
fn t14_the_longest_length_of_all_is_refused_by_default() {
    for (codec, header) in [
        (Length::u32(), vec![255; 4]),
        (Length::varint(), vec![255, 255, 255, 255, 15]),
        (Length::varint(), vec![255, 255, 255, 255, 16]),
        (Length::varint(), vec![128, 0]),
    ] {
        let mut served = parrot(codec);
        let mut client = served.client();
        client.write_all(&header).unwrap();
        served.read_to_end(&mut client);
        assert_eq!(served.app.errors.len(), 1, "{header:?}");
        assert!(served.app.messages.is_empty());
    }
}

/// Answers with what its framing cannot express, and then with how that went.
struct TooMuch;

impl Handler<Length> for TooMuch {
    type Conn = ();

    fn on_open(&mut self, _: &mut Cx<'_, Length>) -> Option<()> {
        Some(())
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Length>, (): &mut (), _: &[u8]) {
        assert_eq!(cx.send(&[1; 255]), Sent::Accepted);
        assert_eq!(cx.send(&[2; 256]), Sent::Dropped);
        assert_eq!(cx.send(b"done"), Sent::Accepted);
    }
}

#[test]
fn s2_07_a_message_that_the_prefix_cannot_express_leaves_no_bytes_behind() {
    let mut served = Served::new(TooMuch, Framed::new(Length::u8()));
    let mut client = served.client();
    let received = served.exchange(&mut client, [&b"\x02go"[..]]);
    assert_eq!(received, framed(u8_prefix, &[&[1; 255], b"done"]));
}
