//! Whatever breaks the protocol ends that connection with the code that says how, and is told once.
//! In both roles, whole and byte by byte.

use switchboard::CloseReason;
use switchboard::proto::websocket::Role;
use switchboard::websocket::Code;

use crate::far::{End, Far, Frame};
use crate::served::Served;

/// What a far end may not send: the first two bytes of a head without the mask bit, what follows
/// the key or its place, and the code. A payload is masked with zeros.
const BROKEN: [(&[u8], &[u8], u16); 48] = [
    // Reserved bits, of data and of control frames.
    (b"\xa1\x00", b"", 1002),
    (b"\x91\x00", b"", 1002),
    (b"\xc1\x01", b"a", 1002),
    (b"\xf1\x00", b"", 1002),
    (b"\xc9\x00", b"", 1002),
    (b"\xc8\x00", b"", 1002),
    (b"\xca\x00", b"", 1002),
    // Kinds that are reserved.
    (b"\x83\x00", b"", 1002),
    (b"\x84\x00", b"", 1002),
    (b"\x85\x00", b"", 1002),
    (b"\x86\x00", b"", 1002),
    (b"\x87\x00", b"", 1002),
    (b"\x8b\x00", b"", 1002),
    (b"\x8c\x00", b"", 1002),
    (b"\x8d\x00", b"", 1002),
    (b"\x8e\x00", b"", 1002),
    (b"\x8f\x00", b"", 1002),
    // Control frames in fragments, and too long ones.
    (b"\x08\x00", b"", 1002),
    (b"\x09\x00", b"", 1002),
    (b"\x0a\x00", b"", 1002),
    (b"\x88\x7e\x00\x7e", b"", 1002),
    (b"\x89\x7e\x00\x7e", b"", 1002),
    (b"\x8a\x7f\x00\x00\x00\x00\x00\x01\x00\x00", b"", 1002),
    // A continuation of nothing.
    (b"\x80\x00", b"", 1002),
    (b"\x00\x01", b"a", 1002),
    // Lengths in more bytes than they need, or with the highest bit.
    (b"\x82\x7e\x00\x7d", b"", 1002),
    (b"\x82\x7e\x00\x00", b"", 1002),
    (b"\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff", b"", 1002),
    (b"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", b"", 1002),
    (b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", b"", 1002),
    // Lengths beyond the limit.
    (b"\x82\x7f\x00\x00\x00\x00\x00\x10\x00\x01", b"", 1009),
    (b"\x02\x7f\x00\x00\x00\x01\x00\x00\x00\x00", b"", 1009),
    (b"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", b"", 1009),
    // Closes.
    (b"\x88\x01", b"\x03", 1002),
    (b"\x88\x02", b"\x00\x00", 1002),
    (b"\x88\x02", b"\x03\xe7", 1002),
    (b"\x88\x02", b"\x03\xec", 1002),
    (b"\x88\x02", b"\x03\xed", 1002),
    (b"\x88\x02", b"\x03\xee", 1002),
    (b"\x88\x02", b"\x03\xf7", 1002),
    (b"\x88\x02", b"\x13\x88", 1002),
    (b"\x88\x02", b"\xff\xff", 1002),
    (b"\x88\x04", b"\x03\xe8\xc3\x28", 1007),
    // Text that is none: whole, at its end, and within a frame that has not ended.
    (b"\x81\x02", b"\xc3\x28", 1007),
    (b"\x81\x01", b"\xc3", 1007),
    (b"\x81\x03", b"\xed\xa0\x80", 1007),
    (b"\x01\x7e\x10\x00", b"\xf4\x90", 1007),
    (b"\x81\x7e\x10\x00", b"fine so far\xc0", 1007),
];

/// Such a frame as this role sends it.
fn frame(role: Role, head: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = head.to_vec();
    if role == Role::Client {
        bytes[1] |= 0x80;
        bytes.extend_from_slice(&[0; 4]);
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// The connection is told this code, ends, and its end is told once.
fn assert_fails(served: &mut Served, mut far: Far, code: u16, how: &str) {
    let id = far.id;
    let (frames, end) = served.read_to_end(&mut far);
    assert_eq!(frames, [Frame::close(Code(code), "")], "{how}");
    assert_eq!(end, End::Fin, "{how}");
    drop(far);
    served.until("the end", |app| app.ended(id).is_some());
    let ended = served.app.ended(id).unwrap();
    assert_eq!(
        (ended.code, ended.clean, ended.by),
        (code, false, CloseReason::Protocol),
        "{how}"
    );
    assert!(!ended.reason.is_empty(), "{how}");
    assert!(served.app.of(id).is_empty(), "{how}");
}

#[test]
fn w16_w18_every_error_of_a_client_is_told_once_and_costs_that_client_only() {
    let mut served = Served::quiet();
    let mut witness = served.client();
    for (head, payload, code) in BROKEN {
        let bytes = frame(Role::Client, head, payload);
        let how = bytes.escape_ascii().to_string();
        let mut far = served.client();
        served.write(&mut far, &bytes);
        assert_fails(&mut served, far, code, &how);
        // However it comes, and whatever comes behind it.
        let mut far = served.client();
        for byte in [&bytes[..], b"\xff\xff\xff\xff"].concat() {
            if served.hub().is_open(far.id) {
                served.write(&mut far, &[byte]);
            }
        }
        assert_fails(&mut served, far, code, &format!("{how} byte by byte"));
        served.app.forget();
    }
    served.assert_serves(&mut witness);
    drop(witness);
    served.assert_nothing_left();
}

#[test]
fn w16_w18_every_error_of_a_server_is_told_once() {
    let mut served = Served::quiet();
    for (head, payload, code) in BROKEN {
        let bytes = frame(Role::Server, head, payload);
        let how = bytes.escape_ascii().to_string();
        let mut far = served.dialled();
        served.write(&mut far, &bytes);
        assert_fails(&mut served, far, code, &how);
    }
    assert_eq!(served.app.closed().len(), BROKEN.len());
    assert!(served.app.failed().is_empty());
    served.assert_nothing_left();
}

#[test]
fn w18_a_client_masks_and_a_server_does_not() {
    let mut served = Served::quiet();
    for frame in [
        Frame::text("a"),
        Frame::ping(""),
        Frame::close(Code::NONE, ""),
    ] {
        let mut far = served.client();
        served.write(&mut far, &frame.bytes(None));
        assert_fails(&mut served, far, 1002, "not masked");
        let mut far = served.dialled();
        served.write(&mut far, &frame.bytes(Some([1, 2, 3, 4])));
        assert_fails(&mut served, far, 1002, "masked");
    }
    served.assert_nothing_left();
}

#[test]
fn w18_messages_do_not_overlap() {
    use switchboard::proto::websocket::OpCode::{Binary, Continuation, Text};
    let mut served = Served::quiet();
    for second in [Text, Binary] {
        let mut far = served.client();
        let frames = [
            Frame::new(Text, false, "one"),
            Frame::new(second, true, "two"),
            Frame::new(Continuation, true, "three"),
        ];
        served.send(&mut far, &frames);
        assert_fails(&mut served, far, 1002, "a message within another");
    }
}

#[test]
fn w17_text_is_refused_where_it_breaks_and_not_where_it_ends() {
    let mut served = Served::quiet();
    let good = "\u{3ba}\u{f3}\u{3c3}\u{3bc}\u{3b5}".as_bytes();
    for bad in [
        &b"\xed\xa0\x80"[..],
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf8\x88\x80\x80\x80",
        b"\xff",
    ] {
        // A frame that promises much more.
        let text = [good, bad].concat();
        let mut far = served.client();
        let whole = Frame::text([&text[..], &[b'x'; 1_000]].concat());
        let whole = whole.bytes(Some([0; 4]));
        // Its head has eight bytes.
        for byte in &whole[..8 + text.len()] {
            if served.hub().is_open(far.id) {
                served.write(&mut far, &[*byte]);
            }
        }
        assert_fails(&mut served, far, 1007, &text.escape_ascii().to_string());
    }
}

#[test]
fn an_error_after_our_close_is_told_like_any_other() {
    let mut served = Served::quiet();
    let mut far = served.client();
    let id = far.id;
    switchboard::websocket::close(served.hub(), id, Code(4000), "");
    assert_eq!(served.frame(&mut far), Frame::close(Code(4000), ""));
    served.write(&mut far, b"\xff\xff");
    // There is no second close.
    assert_eq!(served.read_to_end(&mut far), (vec![], End::Fin));
    drop(far);
    served.until("the end", |app| app.ended(id).is_some());
    let ended = served.app.ended(id).unwrap();
    assert_eq!((ended.clean, ended.by), (false, CloseReason::Protocol));
}

#[test]
fn messages_before_an_error_are_told() {
    let mut served = Served::quiet();
    let mut far = served.client();
    let id = far.id;
    let mut bytes = far.bytes(&[Frame::text("one"), Frame::ping("two")]);
    bytes.extend_from_slice(b"\xff\xff");
    served.write(&mut far, &bytes);
    let (frames, end) = served.read_to_end(&mut far);
    let expected = [Frame::pong("two"), Frame::close(Code::PROTOCOL, "")];
    assert_eq!((&frames[..], end), (&expected[..], End::Fin));
    assert_eq!(served.app.of(id), ["text one", "ping two"]);
}
