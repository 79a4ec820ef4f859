//! What one message may take, to the byte. Who goes beyond it loses his own connection.

use switchboard::proto::websocket::OpCode::{Binary, Continuation, Text};
use switchboard::websocket::{Code, Options};

use crate::far::{End, Far, Frame};
use crate::served::Served;
use crate::support::resident;

const LIMIT: usize = 1_000;

fn served() -> Served {
    Served::with(Options {
        max_message: LIMIT,
        ..Options::default()
    })
}

fn assert_refused(served: &mut Served, mut far: Far, code: Code, how: &str) {
    let id = far.id;
    let (frames, end) = served.read_to_end(&mut far);
    assert_eq!(frames, [Frame::close(code, "")], "{how}");
    assert_eq!(end, End::Fin, "{how}");
    drop(far);
    served.until("the end", |app| app.ended(id).is_some());
    assert_eq!(served.app.ended(id).unwrap().code, code.0, "{how}");
    assert!(served.app.of(id).is_empty(), "{how}");
}

#[test]
fn w04_a_message_has_as_many_bytes_as_it_may_and_no_more() {
    let mut served = served();
    let mut witness = served.client();
    for length in [LIMIT - 1, LIMIT] {
        let mut far = served.client();
        let id = far.id;
        let text = "x".repeat(length);
        let (one, two) = text.split_at(length / 2);
        let pieces = [
            Frame::text(&text),
            Frame::new(Text, false, one),
            Frame::new(Continuation, true, two),
        ];
        served.send(&mut far, &pieces);
        served.until("both", |app| app.of(id).len() == 2);
        assert_eq!(
            served.app.of(id),
            [format!("text {text}"), format!("text {text}")]
        );
    }
    let mut far = served.client();
    served.send(&mut far, &[Frame::text("x".repeat(LIMIT + 1))]);
    assert_refused(&mut served, far, Code::TOO_LARGE, "in one frame");
    let mut far = served.client();
    let pieces = [
        Frame::new(Binary, false, [0; LIMIT]),
        Frame::new(Continuation, true, [0]),
    ];
    served.send(&mut far, &pieces);
    assert_refused(&mut served, far, Code::TOO_LARGE, "in two frames");
    served.assert_serves(&mut witness);
}

#[test]
fn w04_the_default_is_one_mebibyte() {
    let mut served = Served::new();
    let mut far = served.client();
    let id = far.id;
    served.send(&mut far, &[Frame::binary(vec![0; 1 << 20])]);
    served.until("the message", |app| !app.of(id).is_empty());
    let head = [Frame::binary(vec![0; (1 << 20) + 1]).bytes(Some([0; 4]))[..14].to_vec()];
    served.app.forget();
    served.write(&mut far, &head[0]);
    assert_refused(&mut served, far, Code::TOO_LARGE, "one byte more");
}

/// Bytes of a head with this length, in the shortest form, and a key of zeros.
fn head(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(0x80 | length as u8),
        126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

#[test]
fn w02_w03_lengths_are_refused_on_the_head_and_nothing_is_kept_for_them() {
    let mut served = served();
    let mut witness = served.client();
    let before = resident();
    for length in [
        1_001,
        65_535,
        65_536,
        (1 << 31) - 1,
        1 << 31,
        1 << 32,
        1 << 53,
        (1 << 63) - 1,
        1 << 63,
        u64::MAX,
    ] {
        let code = match length >> 63 {
            0 => Code::TOO_LARGE,
            _ => Code::PROTOCOL,
        };
        let mut far = served.client();
        served.write(&mut far, &head(0x82, length));
        assert_refused(&mut served, far, code, &format!("{length}"));
        // As a continuation, where the sum must not wrap.
        let mut far = served.client();
        let first = Frame::new(Text, false, "x");
        served.send(&mut far, &[first]);
        served.write(&mut far, &head(0x80, length));
        assert_refused(&mut served, far, code, &format!("1 + {length}"));
    }
    let mut far = served.client();
    served.send(&mut far, &[Frame::new(Text, false, "x")]);
    served.write(&mut far, &head(0x80, LIMIT as u64));
    assert_refused(&mut served, far, Code::TOO_LARGE, "1 + 1000");
    let grown = resident().saturating_sub(before);
    // Other tests run beside this one; what is claimed would be beyond all of them.
    assert!(grown < 1 << 30, "{grown} bytes");
    served.assert_serves(&mut witness);
}

#[test]
fn w05_as_many_fragments_as_one_likes_but_not_of_nothing() {
    let mut served = served();
    let mut witness = served.client();
    let mut far = served.client();
    let id = far.id;
    let mut pieces = vec![Frame::new(Text, false, "")];
    pieces.extend((0..LIMIT).map(|_| Frame::new(Continuation, false, "x")));
    pieces.push(Frame::new(Continuation, true, ""));
    served.send(&mut far, &pieces);
    served.until("the message", |app| !app.of(id).is_empty());
    assert_eq!(served.app.of(id), [format!("text {}", "x".repeat(LIMIT))]);
    served.app.forget();

    let mut far = served.client();
    let mut pieces = vec![Frame::new(Text, false, "")];
    pieces.extend((0..2_000).map(|_| Frame::new(Continuation, false, "")));
    let bytes = far.bytes(&pieces);
    served.write(&mut far, &bytes);
    assert_refused(&mut served, far, Code::POLICY, "of nothing");
    served.assert_serves(&mut witness);
}
