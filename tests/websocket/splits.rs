//! Compressed messages of which each refers to those before are told the same wherever their bytes
//! are cut, and so is what is wrong with one.

use switchboard::proto::websocket::OpCode::{Binary, Continuation, Ping, Text};
use switchboard::proto::websocket::deflate::Pool;
use switchboard::proto::websocket::write;
use switchboard::websocket::{Code, Compression, Options};

use crate::far::{Far, Frame, answer};
use crate::served::Served;

const WORDS: &str = "k\u{f6}sm\u{3b5}, and words";
const FIELD: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

fn served() -> Served {
    Served::with(Options {
        ping_interval: None,
        deflate: Some(Compression {
            context_takeover: true,
            ..Compression::default()
        }),
        ..Options::default()
    })
}

fn client(served: &mut Served) -> Far {
    served.client_of("/ws", FIELD)
}

fn server(served: &mut Served) -> Far {
    let (mut far, request) = served.dial(|dial| dial);
    served.write(&mut far, &answer(&request, FIELD));
    far
}

/// Messages in two fragments, with something between them and behind them.
fn stream(key: Option<[u8; 4]>) -> Vec<u8> {
    let (mut deflater, mut out) = (Pool::default().deflater(15), Vec::new());
    for (opcode, data) in [(Text, WORDS), (Binary, WORDS), (Text, ""), (Text, WORDS)] {
        let mut payload = Vec::new();
        deflater.deflate(data.as_bytes(), &mut payload);
        let (one, two) = payload.split_at(payload.len() / 2);
        write::compressed(&mut out, opcode, false, one, key);
        write::frame(&mut out, Ping, true, b"between", key);
        write::frame(&mut out, Continuation, true, two, key);
        write::text(&mut out, "as it is", key);
    }
    out
}

fn told() -> Vec<String> {
    let text = format!("text {WORDS}");
    let binary = format!("binary {}", WORDS.as_bytes().escape_ascii());
    let messages = [&text, &binary, "text ", &text];
    let all = messages.map(|message| ["ping between", message, "text as it is"]);
    all.concat().into_iter().map(str::to_owned).collect()
}

/// All ways of cutting a stream in two, and each byte by itself.
fn ways(stream: &[u8]) -> impl Iterator<Item = (String, Vec<&[u8]>)> {
    let in_two = |at| {
        let (one, two) = stream.split_at(at);
        (format!("cut at {at}"), vec![one, two])
    };
    let bytes = stream.chunks(1).collect();
    let ways = (1..stream.len()).map(in_two);
    ways.chain([("byte by byte".to_owned(), bytes)])
}

fn play(served: &mut Served, key: Option<[u8; 4]>, begin: fn(&mut Served) -> Far) {
    for (how, pieces) in ways(&stream(key)) {
        let mut far = begin(served);
        for piece in pieces {
            served.write(&mut far, piece);
        }
        let (id, told) = (far.id, told());
        served.until(&how, |app| app.of(id).len() == told.len());
        assert_eq!(served.app.of(id), told, "{how}");
        drop(far);
        served.until("the end", |app| app.ended(id).is_some());
        served.app.forget();
    }
    served.assert_nothing_left();
}

#[test]
fn d04_a_clients_messages_are_the_same_wherever_they_are_cut() {
    play(&mut served(), Some([1, 2, 3, 4]), client);
}

#[test]
fn d04_a_servers_messages_are_the_same_wherever_they_are_cut() {
    play(&mut served(), None, server);
}

#[test]
fn d04_what_is_wrong_with_a_message_is_so_wherever_it_is_cut() {
    let mut served = served();
    let (mut payload, mut stream) = (Vec::new(), Vec::new());
    Pool::default().deflate(b"fine so far \xed\xa0 and more", &mut payload);
    write::compressed(&mut stream, Text, true, &payload, Some([1, 2, 3, 4]));
    for (how, pieces) in ways(&stream) {
        let mut far = client(&mut served);
        for piece in pieces {
            served.write(&mut far, piece);
        }
        let close = Frame::close(Code::INVALID_DATA, "");
        assert_eq!(served.frame(&mut far), close, "{how}");
        let id = far.id;
        drop(far);
        served.until("the end", |app| app.ended(id).is_some());
        assert_eq!(served.app.of(id), [""; 0], "{how}");
        served.app.forget();
    }
}
