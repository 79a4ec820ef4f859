//! Compressed messages: what is no such thing is refused, what is too large is not inflated, and
//! what we compress inflates to itself. And how all that is agreed.
//!
//! An input's first byte says which of these it is about.
#![no_main]

use std::alloc::System;

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use switchboard::proto::websocket::deflate::{Deflate, Deflater, Pool};
use switchboard::proto::websocket::{Event, Limits, OpCode, Receiver, Role, write};

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// What inflates takes no more than this.
const INFLATER: usize = 64 * 1024;

/// What comes is a compressed message.
fn inflate(data: &[u8]) {
    let Some((&[size, cut], payload)) = data.split_first_chunk() else {
        return;
    };
    let max_message = [1, 100, 5_000, 1 << 20][usize::from(size % 4)];
    let limits = Limits {
        max_message,
        ..Limits::default()
    };
    let (one, two) = payload.split_at(usize::from(cut).min(payload.len()));
    let mut stream = Vec::new();
    write::compressed(&mut stream, OpCode::Binary, false, one, None);
    write::frame(&mut stream, OpCode::Continuation, true, two, None);
    let mut pool = Pool::default();
    let before = MEMORY.allocated();
    let mut receiver = Receiver::new(Role::Client, limits).inflating(size & 4 != 0);
    let found = receiver.next_inflating(&mut stream, &mut pool);
    let kept = MEMORY.allocated() - before;
    assert!(kept <= 2 * max_message + INFLATER, "{kept} bytes are kept");
    match found {
        Ok((_, Some(Event::Binary(data)))) => assert!(data.len() <= max_message),
        Ok(other) => panic!("{other:?} of a message"),
        Err(_) => {}
    }
}

/// Messages, each as long as its first byte says, are compressed and received.
fn deflate(data: &[u8]) {
    let Some((&[how, level], mut rest)) = data.split_first_chunk() else {
        return;
    };
    let mut pool = Pool::new(u32::from(level % 10));
    let mut deflater: Option<Deflater> = (how & 0x40 == 0).then(|| pool.deflater(9 + how % 7));
    let remembers = how & 0x80 != 0 && deflater.is_some();
    let mut receiver = Receiver::new(Role::Client, Limits::default()).inflating(remembers);
    while let Some((length, more)) = rest.split_first() {
        let (piece, behind) = more.split_at(usize::from(length & 0x3f).min(more.len()));
        rest = behind;
        // Long ones, for which the small windows have to move.
        let mut message = piece.repeat(1 + usize::from(length >> 6));
        if length & 0xc0 == 0xc0 {
            let random = (0..700_u32).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 24) as u8);
            let filling: Vec<u8> = random.collect();
            message = [&message[..], &filling, &message, &filling].concat();
        }
        let (mut payload, mut stream) = (Vec::new(), Vec::new());
        match &mut deflater {
            None => pool.deflate(&message, &mut payload),
            Some(deflater) => {
                if !remembers {
                    deflater.reset();
                }
                deflater.deflate(&message, &mut payload);
            }
        }
        write::compressed(&mut stream, OpCode::Binary, true, &payload, None);
        let length = stream.len();
        let found = receiver.next_inflating(&mut stream, &mut pool);
        assert_eq!(found, Ok((length, Some(Event::Binary(&message)))));
    }
}

/// A client offers this: values of the field, each in a line. And a server answers this.
fn negotiate(data: &[u8]) {
    let Some((flags, data)) = data.split_first() else {
        return;
    };
    let values = || data.split(|byte| *byte == b'\n');
    let wish = Deflate {
        server_no_context_takeover: flags & 1 != 0,
        client_no_context_takeover: flags & 2 != 0,
        ..Deflate::default()
    };
    if let Some(agreed) = Deflate::negotiate(values(), wish) {
        let texts = values().map(|value| std::str::from_utf8(value).unwrap_or_default());
        let mut offers = texts.flat_map(|text| text.split(','));
        let fits = |offer: &str| {
            let offer: Vec<_> = offer.split(';').map(Parameter::of).collect();
            let has = |name: &str| offer.iter().any(|parameter| parameter.name == name);
            let window = offer
                .iter()
                .find(|parameter| parameter.name == "server_max_window_bits")
                .map(|parameter| parameter.value.as_str());
            let bits = agreed.server_max_window_bits.map(|bits| bits.to_string());
            offer[0].name == "permessage-deflate"
                && bits.as_deref() == window
                && agreed.client_max_window_bits.is_none()
                && agreed.server_no_context_takeover
                    == (wish.server_no_context_takeover || has("server_no_context_takeover"))
                && agreed.client_no_context_takeover
                    == (wish.client_no_context_takeover || has("client_no_context_takeover"))
        };
        assert!(offers.any(fits), "{agreed:?} was not offered");
        assert_eq!(wish.agreed([&*written(&agreed)]), Ok(Some(agreed)));
    }
    if let Ok(Some(agreed)) = wish.agreed(values()) {
        assert!(agreed.server_no_context_takeover || !wish.server_no_context_takeover);
        assert!(agreed.client_no_context_takeover || !wish.client_no_context_takeover);
        for bits in [agreed.server_max_window_bits, agreed.client_max_window_bits] {
            assert!(bits.is_none_or(|bits| (8..=15).contains(&bits)));
        }
        assert_eq!(wish.agreed([&*written(&agreed)]), Ok(Some(agreed)));
    }
}

/// A parameter of an extension, or its name.
struct Parameter {
    name: String,
    value: String,
}

impl Parameter {
    fn of(text: &str) -> Self {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Self {
            name: name.trim().to_ascii_lowercase(),
            value: value.trim().trim_matches('"').to_owned(),
        }
    }
}

/// The value of the field that says this.
fn written(agreed: &Deflate) -> Vec<u8> {
    let mut line = Vec::new();
    agreed.write(&mut line);
    let value = line.strip_prefix(b"Sec-WebSocket-Extensions: ");
    let value = value.and_then(|value| value.strip_suffix(b"\r\n"));
    let value = value.expect("a field");
    assert!(!value.contains(&b'\r') && !value.contains(&b'\n'));
    value.to_vec()
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    match kind % 3 {
        0 => inflate(data),
        1 => deflate(data),
        _ => negotiate(data),
    }
});
