//! Bytes come as they come: the handshake together with the first frames, in two pieces cut
//! anywhere, or one by one. What is told of them is always the same.

use switchboard::proto::websocket::OpCode;
use switchboard::websocket::Code;

use crate::far::{End, Far, Frame, answer, request};
use crate::served::Served;

/// Frames of all kinds, in messages of one and of several, and the end.
fn stream() -> Vec<Frame> {
    vec![
        Frame::text("h\u{e9}llo"),
        Frame::new(OpCode::Binary, false, [0, 1]),
        Frame::ping("within"),
        Frame::new(OpCode::Continuation, false, ""),
        Frame::new(OpCode::Continuation, true, [2, 255]),
        Frame::text(""),
        Frame::pong("unasked"),
        Frame::text("x".repeat(130)),
        Frame::close(Code(4000), "b\u{fc}e"),
    ]
}

/// What is told of that.
fn told() -> Vec<String> {
    let long = format!("text {}", "x".repeat(130));
    let told = [
        "text h\u{e9}llo",
        "ping within",
        "binary \\x00\\x01\\x02\\xff",
        "text ",
        "pong unasked",
        &long,
    ];
    told.map(str::to_owned).to_vec()
}

/// Everything has been told of this connection, and its close answered.
fn assert_told(served: &mut Served, far: &mut Far, how: &str) {
    let (frames, end) = match far.id {
        id if served.app.opened().contains(&id) => served.read_to_end(far),
        id => {
            served.until("the connection", |app| app.opened().contains(&id));
            served.read_to_end(far)
        }
    };
    let answers = [Frame::pong("within"), Frame::close(Code(4000), "")];
    assert_eq!((&frames[..], end), (&answers[..], End::Fin), "{how}");
    far.stream.shutdown(std::net::Shutdown::Write).ok();
    let id = far.id;
    served.until("the end", |app| app.ended(id).is_some());
    assert_eq!(served.app.of(id), told(), "{how}");
    let ended = served.app.ended(id).unwrap();
    assert_eq!(
        (ended.code, &*ended.reason, ended.clean),
        (4000, "b\u{fc}e", true),
        "{how}"
    );
    served.app.events.clear();
}

/// Plays `data` in these pieces, each of which has been read before the next one is sent.
fn play(served: &mut Served, pieces: &[&[u8]], how: &str) {
    let mut far = served.stranger();
    for piece in pieces {
        served.write(&mut far, piece);
    }
    let (head, behind) = served.read_head(&mut far);
    assert!(head.starts_with("HTTP/1.1 101 "), "{how}: {head}");
    far.hold(&behind);
    assert_told(served, &mut far, how);
}

#[test]
fn w12_a_handshake_and_frames_behind_it_are_the_same_however_they_are_cut() {
    let mut served = Served::quiet();
    let mut far = served.stranger();
    let whole = [request("/ws", ""), far.bytes(&stream())].concat();
    drop(far);
    play(&mut served, &[&whole], "whole");
    let bytes: Vec<&[u8]> = whole.chunks(1).collect();
    play(&mut served, &bytes, "byte by byte");
    for at in 1..whole.len() {
        let (one, two) = whole.split_at(at);
        play(&mut served, &[one, two], &format!("cut at {at}"));
    }
    served.assert_nothing_left();
}

/// The same towards us as a client: the server's answer and its frames.
fn play_answer(served: &mut Served, cut: impl Fn(&[u8]) -> Vec<Vec<u8>>, how: &str) {
    let (mut far, request) = served.dial(|dial| dial);
    let whole = [answer(&request, ""), far.bytes(&stream())].concat();
    for piece in cut(&whole) {
        served.write(&mut far, &piece);
    }
    // A client waits for the server to end the connection below.
    let frames = served.frames(&mut far, 2);
    let answers = [Frame::pong("within"), Frame::close(Code(4000), "")];
    assert_eq!(frames, answers, "{how}");
    assert_told_by_server(served, far, how);
}

fn assert_told_by_server(served: &mut Served, far: Far, how: &str) {
    let id = far.id;
    assert_eq!(served.app.ended(id), None, "{how}");
    drop(far);
    served.until("the end", |app| app.ended(id).is_some());
    assert_eq!(served.app.of(id), told(), "{how}");
    let ended = served.app.ended(id).unwrap();
    assert_eq!((ended.code, ended.clean), (4000, true), "{how}");
    served.app.events.clear();
}

#[test]
fn w12_an_answer_and_frames_behind_it_are_the_same_however_they_are_cut() {
    let mut served = Served::quiet();
    play_answer(&mut served, |whole| vec![whole.to_vec()], "whole");
    let bytes = |whole: &[u8]| whole.chunks(1).map(<[u8]>::to_vec).collect();
    play_answer(&mut served, bytes, "byte by byte");
    let (mut far, request) = served.dial(|dial| dial);
    let length = answer(&request, "").len() + far.bytes(&stream()).len();
    drop(far);
    for at in 1..length {
        let cut = |whole: &[u8]| {
            let (one, two) = whole.split_at(at);
            vec![one.to_vec(), two.to_vec()]
        };
        play_answer(&mut served, cut, &format!("cut at {at}"));
    }
    served.assert_nothing_left();
}

#[test]
fn w12_more_than_one_read_brings_behind_the_handshake_arrives() {
    let mut served = Served::quiet();
    let mut far = served.stranger();
    let large = vec![7; 200_000];
    let frames = [Frame::binary(&large), Frame::text("and this")];
    let whole = [request("/ws", ""), far.bytes(&frames)].concat();
    served.write(&mut far, &whole);
    let id = far.id;
    served.until("both messages", |app| app.of(id).len() == 2);
    assert_eq!(served.app.of(id)[1], "text and this");
    let (_, behind) = served.read_head(&mut far);
    assert_eq!(behind, b"");
}
