//! The receiving half: from bytes to messages.

use core::ops::Range;

use super::deflate::{Inflater, Pool};
use super::{Close, Error, Header, OpCode, Utf8, mask};

/// Which side we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What we receive is masked.
    Server,
    /// What we receive is not.
    Client,
}

/// What a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message. Default 1 MiB; `ws` takes 100 MiB, uWebSockets 16 KiB.
    pub max_message: usize,
    /// Fragments of a message without a byte in them. Default 1,024.
    pub max_empty: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message: 1024 * 1024,
            max_empty: 1024,
        }
    }
}

/// What has arrived. It borrows from the bytes in which it was found, or from what was collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message of text.
    Text(&'a str),
    /// A message of bytes.
    Binary(&'a [u8]),
    /// To be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// An answer to a ping of ours, or a sign of life.
    Pong(&'a [u8]),
    /// The last thing that the peer sends. Whatever follows is ignored.
    Close(Close<'a>),
}

/// Finds messages in bytes.
///
/// A message that arrives whole in one piece is lent where it lies. Of any other, the bytes are
/// taken as they come, unmasked, checked, and collected; an idle receiver owns no buffer.
#[derive(Debug)]
pub struct Receiver {
    role: Role,
    limits: Limits,
    closed: bool,
    inflating: Option<Box<Inflating>>,
    /// The message that is being collected, or was lent last.
    message: Option<Box<Message>>,
}

/// Messages may be compressed.
#[derive(Debug)]
struct Inflating {
    /// They may refer to earlier ones.
    remembers: bool,
    /// What remembers those.
    context: Option<Box<Inflater>>,
}

#[derive(Debug, Default)]
struct Message {
    data: Vec<u8>,
    inflater: Option<Box<Inflater>>,
    is_text: bool,
    utf8: Utf8,
    empty: u32,
    /// Of the present frame: what is still to come, what came, its key, and whether it is the last.
    left: u64,
    came: usize,
    key: Option<[u8; 4]>,
    fin: bool,
    /// It is complete, and was lent.
    lent: bool,
}

/// What a look at some bytes has found.
enum Found {
    Nothing,
    /// A frame, and where its payload is.
    Frame(OpCode, Range<usize>),
    /// The message that was being collected is complete.
    Message,
}

impl Receiver {
    /// Before the first frame.
    pub const fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            limits,
            closed: false,
            inflating: None,
            message: None,
        }
    }

    /// Lets messages be compressed, by [`next_inflating`](Self::next_inflating): with `remembers`,
    /// so that they may refer to earlier ones.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn inflating(mut self, remembers: bool) -> Self {
        self.inflating = Some(Box::new(Inflating {
            remembers,
            context: None,
        }));
        self
    }

    /// Gives back what the message that was lent last was collected in. The next look does that, too;
    /// this is for when none may follow for long.
    pub fn let_go(&mut self) {
        if self.message.as_ref().is_some_and(|message| message.lent) {
            self.message = None;
        }
    }

    /// True if a message has begun and not ended.
    pub fn is_within_message(&self) -> bool {
        self.message.as_ref().is_some_and(|message| !message.lent)
    }

    /// Bytes of the message that is being collected.
    pub fn collected(&self) -> usize {
        let message = self.message.as_ref().filter(|message| !message.lent);
        message.map_or(0, |message| message.data.len())
    }

    /// Takes some of `data`; returns how many bytes that was, and what was found in them. Without an
    /// event more has to come: the next call brings the bytes that were not taken, with more behind
    /// them.
    ///
    /// # Errors
    ///
    /// At the first byte that breaks the protocol. Whatever follows is ignored.
    pub fn next<'a>(&'a mut self, data: &'a mut [u8]) -> Result<(usize, Option<Event<'a>>), Error> {
        self.find(data, None)
    }

    /// The same with messages that may be compressed, if that was [agreed](Self::inflating).
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    #[cfg(feature = "deflate")]
    pub fn next_inflating<'a>(
        &'a mut self,
        data: &'a mut [u8],
        pool: &mut Pool,
    ) -> Result<(usize, Option<Event<'a>>), Error> {
        self.find(data, Some(pool))
    }

    fn find<'a>(
        &'a mut self,
        data: &'a mut [u8],
        pool: Option<&mut Pool>,
    ) -> Result<(usize, Option<Event<'a>>), Error> {
        if self.closed {
            return Ok((data.len(), None));
        }
        self.let_go();
        // Nothing follows an error.
        self.closed = true;
        let (used, found) = match self.short(data) {
            Some(found) => found,
            None => self.look(data, pool)?,
        };
        let event = match found {
            Found::Nothing => None,
            Found::Message => {
                let message = self.message.as_deref_mut().ok_or(Error::BadSequence)?;
                message.lent = true;
                Some(match message.is_text {
                    true => Event::Text(text(&message.data)?),
                    false => Event::Binary(&message.data),
                })
            }
            Found::Frame(opcode, payload) => {
                let payload = &data[payload];
                Some(match opcode {
                    OpCode::Text => Event::Text(text(payload)?),
                    OpCode::Binary | OpCode::Continuation => Event::Binary(payload),
                    OpCode::Ping => Event::Ping(payload),
                    OpCode::Pong => Event::Pong(payload),
                    OpCode::Close => Event::Close(Close::read(payload)?),
                })
            }
        };
        self.closed = matches!(event, Some(Event::Close(_)));
        Ok((used, event))
    }

    /// Takes a frame as most of them are: all of a message, short, and there whole. What anything
    /// else may be is for [`look`](Self::look) to say.
    fn short(&self, data: &mut [u8]) -> Option<(usize, Found)> {
        // The last frame of its message, with no bit reserved.
        let opcode = match data.first()? {
            0x81 => OpCode::Text,
            0x82 => OpCode::Binary,
            _ => return None,
        };
        // 125 bytes at most, behind a key if there must be one.
        let (length, key, from) = match (self.role, &*data) {
            (Role::Server, [_, length @ 0x80..=0xfd, a, b, c, d, ..]) => {
                (length & 0x7f, Some([*a, *b, *c, *d]), 6)
            }
            (Role::Client, [_, length @ ..=125, ..]) => (*length, None, 2),
            _ => return None,
        };
        let length = usize::from(length);
        if self.message.is_some() || length > self.limits.max_message {
            return None;
        }
        let end = from + length;
        let payload = data.get_mut(from..end)?;
        if let Some(key) = key {
            mask::apply(payload, key, 0);
        }
        Some((end, Found::Frame(opcode, from..end)))
    }

    fn look(
        &mut self,
        data: &mut [u8],
        mut pool: Option<&mut Pool>,
    ) -> Result<(usize, Found), Error> {
        let (mut used, max) = (0, self.limits.max_message);
        loop {
            if let Some(message) = &mut self.message {
                if message.left > 0 {
                    used += message.take(&mut data[used..], max)?;
                    if message.left > 0 {
                        return Ok((used, Found::Nothing));
                    }
                    if message.ends(max)? {
                        self.release(pool);
                        return Ok((used, Found::Message));
                    }
                }
            }
            let Some((length, header)) = Header::decode(&data[used..])? else {
                return Ok((used, Found::Nothing));
            };
            let compressed = header.rsv1;
            let may_be = self.inflating.is_some() && pool.is_some();
            if compressed && (!may_be || header.opcode == OpCode::Continuation) {
                return Err(Error::BadReserved);
            }
            if header.key.is_some() != (self.role == Role::Server) {
                return Err(Error::BadMask);
            }
            let payload = usize::try_from(header.length).ok();
            let end = payload.and_then(|payload| (used + length).checked_add(payload));
            let whole = end.and_then(|end| data.get_mut(used + length..end));
            if header.opcode.is_control() {
                // It has 125 bytes at most, and may wait.
                let Some(payload) = whole else {
                    return Ok((used, Found::Nothing));
                };
                if let Some(key) = header.key {
                    mask::apply(payload, key, 0);
                }
                let from = used + length;
                let payload = from..from + payload.len();
                return Ok((payload.end, Found::Frame(header.opcode, payload)));
            }
            self.admit(&header)?;
            used += length;
            if let (Some(payload), true, None) = (whole, header.fin && !compressed, &self.message) {
                if let Some(key) = header.key {
                    mask::apply(payload, key, 0);
                }
                let payload = used..used + payload.len();
                return Ok((payload.end, Found::Frame(header.opcode, payload)));
            }
            let message = self.message.get_or_insert_with(|| {
                Box::new(Message {
                    is_text: header.opcode == OpCode::Text,
                    ..Message::default()
                })
            });
            if let (true, Some(pool), Some(inflating)) =
                (compressed, &mut pool, &mut self.inflating)
            {
                let known = inflating.context.take();
                message.inflater = Some(known.unwrap_or_else(|| pool.inflater()));
            }
            (message.left, message.came) = (header.length, 0);
            (message.key, message.fin) = (header.key, header.fin);
            if message.left == 0 && message.ends(max)? {
                self.release(pool);
                return Ok((used, Found::Message));
            }
        }
    }

    /// A message is complete: what inflated it remembers it, or serves the next connection.
    fn release(&mut self, pool: Option<&mut Pool>) {
        let inflater = self
            .message
            .as_mut()
            .and_then(|message| message.inflater.take());
        match (inflater, &mut self.inflating, pool) {
            (Some(inflater), Some(inflating), _) if inflating.remembers => {
                inflating.context = Some(inflater);
            }
            (Some(inflater), _, Some(pool)) => pool.give_back(inflater),
            _ => {}
        }
    }

    /// Looks whether a frame of a message may come now, before any of its payload is taken.
    fn admit(&mut self, header: &Header) -> Result<(), Error> {
        let continues = header.opcode == OpCode::Continuation;
        let (collected, empty) = match &mut self.message {
            None if continues => return Err(Error::BadSequence),
            None => (0, 0),
            Some(_) if !continues => return Err(Error::BadSequence),
            Some(message) => {
                message.empty += u32::from(header.length == 0);
                (message.data.len() as u64, message.empty)
            }
        };
        let max = self.limits.max_message as u64;
        let begun = self.message.as_ref();
        let fits = match header.rsv1 || begun.is_some_and(|message| message.inflater.is_some()) {
            // What does not shrink takes a little more than it is. What it comes to is looked at
            // while it is inflated.
            true => header.length <= max.saturating_add(max / 8 + 64),
            false => collected.saturating_add(header.length) <= max,
        };
        if !fits {
            return Err(Error::TooLarge);
        }
        if empty > self.limits.max_empty {
            return Err(Error::TooManyEmpty);
        }
        Ok(())
    }
}

impl Message {
    /// Takes what is there of the present frame; returns how many bytes.
    fn take(&mut self, data: &mut [u8], max: usize) -> Result<usize, Error> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let length = data.len().min(most);
        let piece = &mut data[..length];
        if let Some(key) = self.key {
            mask::apply(piece, key, self.came);
        }
        let from = self.data.len();
        match &mut self.inflater {
            None => {
                // Room for as much again as has come: what the head claims may be a lie.
                self.data.reserve(most.min(2 * length));
                self.data.extend_from_slice(piece);
            }
            Some(inflater) => inflater.inflate(piece, &mut self.data, max)?,
        }
        self.check(from)?;
        self.came += length;
        self.left -= length as u64;
        Ok(length)
    }

    /// Looks at what has been added to the message.
    fn check(&mut self, from: usize) -> Result<(), Error> {
        match !self.is_text || self.utf8.push(&self.data[from..]) {
            true => Ok(()),
            false => Err(Error::BadText),
        }
    }

    /// True if the message is complete with the present frame.
    fn ends(&mut self, max: usize) -> Result<bool, Error> {
        if !self.fin {
            return Ok(false);
        }
        let from = self.data.len();
        if let Some(inflater) = &mut self.inflater {
            inflater.finish(&mut self.data, max)?;
            self.check(from)?;
        }
        match self.is_text && !self.utf8.is_complete() {
            true => Err(Error::BadText),
            false => Ok(true),
        }
    }
}

fn text(data: &[u8]) -> Result<&str, Error> {
    simdutf8::basic::from_utf8(data).map_err(|_| Error::BadText)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::websocket::{Code, write};

    const KEY: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);

    /// What a stream means, in words, and the error that ends it.
    fn read(role: Role, pieces: &[&[u8]]) -> (Vec<String>, Option<Error>) {
        let mut receiver = Receiver::new(
            role,
            Limits {
                max_message: 1_000,
                max_empty: 3,
            },
        );
        let (mut events, mut held) = (Vec::new(), Vec::new());
        for piece in pieces {
            held.extend_from_slice(piece);
            loop {
                match receiver.next(&mut held) {
                    Err(error) => return (events, Some(error)),
                    Ok((used, event)) => {
                        let found = event.map(|event| format!("{event:?}"));
                        let go_on = found.is_some();
                        events.extend(found);
                        held.drain(..used);
                        if !go_on {
                            break;
                        }
                    }
                }
            }
            // What is left is the beginning of a head, or of a control frame.
            assert!(held.len() <= 131, "{} bytes are left lying", held.len());
        }
        (events, None)
    }

    /// The same however it arrives.
    fn read_all_ways(role: Role, stream: &[u8]) -> (Vec<String>, Option<Error>) {
        let whole = read(role, &[stream]);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(role, &bytes), whole, "byte by byte");
        for at in 0..=stream.len() {
            let (one, two) = stream.split_at(at);
            assert_eq!(read(role, &[one, two]), whole, "split at {at}");
        }
        whole
    }

    /// What it is, whether it is the last of its message, and its payload.
    type Frame<'a> = (OpCode, bool, &'a [u8]);

    fn frames(frames: &[Frame<'_>], key: Option<[u8; 4]>) -> Vec<u8> {
        let mut out = Vec::new();
        for (opcode, fin, payload) in frames {
            write::frame(&mut out, *opcode, *fin, payload, key);
        }
        out
    }

    use OpCode::{Binary, Close as End, Continuation as More, Ping, Pong, Text};

    #[test]
    fn messages_are_the_same_however_they_arrive() {
        let long = "κόσμε ".repeat(30);
        let stream = [
            (Text, true, "Hello".as_bytes()),
            (Text, true, b""),
            (Text, true, long.as_bytes()),
            (Binary, true, &[0, 255, 1]),
            (Ping, true, b"are you there?"),
            (Text, false, "κ".as_bytes()),
            (Pong, true, b""),
            (More, false, b"\xcf"),
            (Ping, true, b"within"),
            (More, false, b""),
            (More, true, b"\x8c!"),
            (Binary, false, b"a"),
            (More, true, b""),
            (End, true, b"\x03\xe8bye"),
            (Text, true, b"ignored"),
        ];
        let expected = [
            "Text(\"Hello\")".to_owned(),
            "Text(\"\")".to_owned(),
            format!("Text({long:?})"),
            "Binary([0, 255, 1])".to_owned(),
            format!("Ping({:?})", b"are you there?"),
            "Pong([])".to_owned(),
            format!("Ping({:?})", b"within"),
            "Text(\"κό!\")".to_owned(),
            "Binary([97])".to_owned(),
            "Close(Close { code: 1000, reason: \"bye\" })".to_owned(),
        ];
        for (role, key) in [(Role::Server, KEY), (Role::Client, None)] {
            let (events, error) = read_all_ways(role, &frames(&stream, key));
            assert_eq!((events, error), (expected.to_vec(), None));
        }
    }

    #[test]
    fn w18_what_breaks_the_protocol_is_refused() {
        let cases: [(&[Frame<'_>], Error); 9] = [
            (&[(More, true, b"a")], Error::BadSequence),
            (
                &[(Text, false, b"a"), (Text, true, b"b")],
                Error::BadSequence,
            ),
            (
                &[(Text, false, b"a"), (Binary, true, b"b")],
                Error::BadSequence,
            ),
            (
                &[(Text, true, b"a"), (More, true, b"b")],
                Error::BadSequence,
            ),
            (&[(Ping, false, b"a")], Error::BadControl),
            (&[(End, true, b"\x03")], Error::BadClose),
            (&[(End, true, b"\x03\xec")], Error::BadClose),
            (&[(End, true, b"\x03\xe8\xff")], Error::BadText),
            (&[(Ping, true, &[0; 126])], Error::BadControl),
        ];
        for (case, error) in cases {
            let (_, found) = read_all_ways(Role::Server, &frames(case, KEY));
            assert_eq!(found, Some(error), "{case:?}");
        }
        let hello = frames(&[(Text, true, b"Hello")], None);
        assert_eq!(read_all_ways(Role::Server, &hello).1, Some(Error::BadMask));
        let hello = frames(&[(Text, true, b"Hello")], KEY);
        assert_eq!(read_all_ways(Role::Client, &hello).1, Some(Error::BadMask));
        assert_eq!(
            read_all_ways(Role::Client, b"\xc1\x01a").1,
            Some(Error::BadReserved)
        );
    }

    /// A frame of text that promises more, and has no way of keeping the promise.
    #[test]
    fn w17_text_is_refused_at_its_first_bad_byte() {
        let mut stream = Vec::new();
        let header = Header {
            fin: true,
            rsv1: false,
            opcode: Text,
            key: None,
            length: 900,
        };
        header.encode(&mut stream);
        stream.extend_from_slice(b"fine so far \xed\xa0");
        assert_eq!(
            read_all_ways(Role::Client, &stream),
            (vec![], Some(Error::BadText))
        );
        stream.pop();
        assert_eq!(read_all_ways(Role::Client, &stream), (vec![], None));
        let cut = frames(&[(Text, false, b"\xce"), (More, true, b"")], KEY);
        assert_eq!(read_all_ways(Role::Server, &cut).1, Some(Error::BadText));
        let cut = frames(&[(Text, true, b"\xce")], KEY);
        assert_eq!(read_all_ways(Role::Server, &cut).1, Some(Error::BadText));
    }

    #[test]
    fn w04_a_message_has_a_largest_size() {
        for (sizes, fits) in [
            (&[1_000][..], true),
            (&[1_001], false),
            (&[500, 500], true),
            (&[500, 501], false),
            (&[1_000, 0], true),
            (&[1_000, 1], false),
        ] {
            let mut stream = Vec::new();
            for (at, size) in sizes.iter().enumerate() {
                let opcode = if at == 0 { Binary } else { More };
                let payload = vec![b'a'; *size];
                write::frame(&mut stream, opcode, at + 1 == sizes.len(), &payload, KEY);
            }
            let (events, error) = read(Role::Server, &[&stream]);
            assert_eq!(
                (events.len(), error.is_none()),
                (usize::from(fits), fits),
                "{sizes:?}"
            );
        }
    }

    #[test]
    fn w04_a_small_frame_may_be_too_large() {
        let limits = Limits {
            max_message: 5,
            ..Limits::default()
        };
        let mut receiver = Receiver::new(Role::Client, limits);
        let hello = Ok((7, Some(Event::Text("Hello"))));
        assert_eq!(receiver.next(&mut b"\x81\x05Hello".to_owned()), hello);
        let larger = receiver.next(&mut b"\x81\x06Hello!".to_owned()).err();
        assert_eq!(larger, Some(Error::TooLarge));
    }

    /// What is only claimed is refused before any of it has come, and reserves nothing.
    #[test]
    fn w02_a_length_is_refused_on_the_head() {
        for length in [1_001, 1 << 31, 1 << 32, 1 << 53, (1 << 63) - 1] {
            for first in [Text, Binary] {
                let mut stream = Vec::new();
                let header = Header {
                    fin: true,
                    rsv1: false,
                    opcode: first,
                    key: KEY,
                    length,
                };
                header.encode(&mut stream);
                assert_eq!(
                    read_all_ways(Role::Server, &stream).1,
                    Some(Error::TooLarge)
                );
                let mut behind = frames(&[(first, false, b"a")], KEY);
                Header {
                    opcode: More,
                    ..header
                }
                .encode(&mut behind);
                assert_eq!(
                    read_all_ways(Role::Server, &behind).1,
                    Some(Error::TooLarge)
                );
            }
        }
        let mut receiver = Receiver::new(Role::Client, Limits::default());
        let mut head = Vec::new();
        let header = Header {
            fin: true,
            rsv1: false,
            opcode: Binary,
            key: None,
            length: 1 << 20,
        };
        header.encode(&mut head);
        let length = head.len();
        assert_eq!(receiver.next(&mut head), Ok((length, None)));
        let capacity = |receiver: &Receiver| receiver.message.as_ref().unwrap().data.capacity();
        assert_eq!(capacity(&receiver), 0);
        for came in [1_000, 2_000, 3_000] {
            assert_eq!(receiver.next(&mut [0; 1_000]), Ok((1_000, None)));
            assert!(capacity(&receiver) <= 2 * came, "{}", capacity(&receiver));
        }
    }

    #[test]
    fn w05_fragments_pin_no_more_than_their_bytes() {
        let mut stream = frames(&[(Text, false, b"a")], KEY);
        for _ in 0..900 {
            write::frame(&mut stream, More, false, b"a", KEY);
        }
        let mut receiver = Receiver::new(Role::Server, Limits::default());
        let mut rest = &mut stream[..];
        while !rest.is_empty() {
            let (used, event) = receiver.next(rest).unwrap();
            assert_eq!(event, None);
            rest = &mut rest[used..];
        }
        let message = receiver.message.unwrap();
        assert!(
            message.data.capacity() <= 2 * 901,
            "{}",
            message.data.capacity()
        );
        let mut empty = vec![(Text, false, &b""[..])];
        empty.extend([(More, false, &b""[..]); 3]);
        assert_eq!(read_all_ways(Role::Server, &frames(&empty, KEY)).1, None);
        empty.push((More, true, b""));
        let error = read_all_ways(Role::Server, &frames(&empty, KEY)).1;
        assert_eq!(error, Some(Error::TooManyEmpty));
        assert_eq!(Error::TooManyEmpty.code(), Code::POLICY);
    }

    #[test]
    fn an_idle_receiver_owns_nothing() {
        let mut stream = frames(&[(Text, true, &[b'a'; 500])], KEY);
        let mut receiver = Receiver::new(Role::Server, Limits::default());
        let (one, two) = stream.split_at_mut(100);
        assert_eq!(receiver.next(one), Ok((100, None)));
        assert!(receiver.is_within_message());
        assert!(matches!(
            receiver.next(two),
            Ok((408, Some(Event::Text(_))))
        ));
        assert!(!receiver.is_within_message());
        assert_eq!(receiver.next(&mut []), Ok((0, None)));
        assert!(receiver.message.is_none());
        assert!(size_of::<Receiver>() <= 40, "{}", size_of::<Receiver>());
    }

    #[cfg(feature = "deflate")]
    mod compressed {
        use super::*;
        use crate::proto::websocket::deflate::Pool;

        fn receiver(remembers: bool) -> Receiver {
            let limits = Limits {
                max_message: 10_000,
                ..Limits::default()
            };
            Receiver::new(Role::Client, limits).inflating(remembers)
        }

        /// The messages in a stream that is cut at these places.
        fn read(receiver: &mut Receiver, pieces: &[&[u8]]) -> Result<Vec<String>, Error> {
            let (mut pool, mut texts, mut held) = (Pool::default(), Vec::new(), Vec::new());
            for piece in pieces {
                held.extend_from_slice(piece);
                loop {
                    let (used, event) = receiver.next_inflating(&mut held, &mut pool)?;
                    let found = event.map(|event| match event {
                        Event::Text(text) => text.to_owned(),
                        other => format!("{other:?}"),
                    });
                    let go_on = found.is_some();
                    texts.extend(found);
                    held.drain(..used);
                    if !go_on {
                        break;
                    }
                }
            }
            Ok(texts)
        }

        #[test]
        fn d04_messages_are_the_same_however_they_arrive() {
            for remembers in [false, true] {
                let mut pool = Pool::default();
                let mut deflater = pool.deflater(15);
                let (mut stream, mut expected) = (Vec::new(), Vec::new());
                for text in ["", "Hello", "Hello", &"κόσμε ".repeat(40), "plain"] {
                    let mut payload = Vec::new();
                    match remembers {
                        true => deflater.deflate(text.as_bytes(), &mut payload),
                        false => pool.deflate(text.as_bytes(), &mut payload),
                    }
                    let (one, two) = payload.split_at(payload.len() / 2);
                    if text == "plain" {
                        write::text(&mut stream, text, None);
                    } else {
                        write::compressed(&mut stream, Text, false, one, None);
                        write::frame(&mut stream, Ping, true, b"", None);
                        write::frame(&mut stream, More, true, two, None);
                        expected.push("Ping([])".to_owned());
                    }
                    expected.push(text.to_owned());
                }
                assert_eq!(
                    read(&mut receiver(remembers), &[&stream]).as_ref(),
                    Ok(&expected)
                );
                let bytes: Vec<&[u8]> = stream.chunks(1).collect();
                assert_eq!(
                    read(&mut receiver(remembers), &bytes).as_ref(),
                    Ok(&expected)
                );
                for at in 0..stream.len() {
                    let (one, two) = stream.split_at(at);
                    let found = read(&mut receiver(remembers), &[one, two]);
                    assert_eq!(found.as_ref(), Ok(&expected), "split at {at}");
                }
            }
        }

        #[test]
        fn d04_the_bit_is_for_the_first_frame_of_a_message() {
            let mut hello = Vec::new();
            Pool::default().deflate(b"Hello", &mut hello);
            let frame = |opcode, compressed, fin, payload: &[u8]| {
                let mut out = Vec::new();
                match compressed {
                    true => write::compressed(&mut out, opcode, fin, payload, None),
                    false => write::frame(&mut out, opcode, fin, payload, None),
                }
                out
            };
            let message = frame(Text, true, true, &hello);
            let bad = Err(Error::BadReserved);
            assert_eq!(
                read(&mut receiver(false), &[&message]),
                Ok(vec!["Hello".to_owned()])
            );
            let mut plain = Receiver::new(Role::Client, Limits::default());
            assert_eq!(read(&mut plain, &[&message]), bad);
            let (one, two) = (
                frame(Text, true, false, &hello[..2]),
                frame(More, true, true, &hello[2..]),
            );
            assert_eq!(read(&mut receiver(false), &[&one, &two]), bad);
            assert_eq!(
                read(&mut receiver(false), &[&frame(Ping, true, true, b"")]),
                bad
            );
            let nonsense = frame(Text, true, true, &[0xff; 9]);
            assert_eq!(
                read(&mut receiver(false), &[&nonsense]),
                Err(Error::BadData)
            );
        }

        #[test]
        fn w17_text_is_refused_while_it_is_inflated() {
            let (mut payload, mut stream) = (Vec::new(), Vec::new());
            Pool::default().deflate(b"fine \xff and more", &mut payload);
            write::compressed(&mut stream, Text, false, &payload, None);
            assert_eq!(read(&mut receiver(false), &[&stream]), Err(Error::BadText));
        }

        #[test]
        fn d01_a_bomb_is_refused_while_it_is_inflated() {
            let (mut payload, mut stream) = (Vec::new(), Vec::new());
            Pool::default().deflate(&[b'a'; 10_001], &mut payload);
            assert!(payload.len() < 1_000);
            write::compressed(&mut stream, Text, false, &payload, None);
            assert_eq!(read(&mut receiver(false), &[&stream]), Err(Error::TooLarge));
        }
    }

    #[test]
    fn nothing_follows_an_error() {
        let hello = written(|out| write::text(out, "hello", KEY));
        for bad in [
            &b"\x81\x81\x00\x00\x00\x00\xff"[..],
            b"\xf1\x80\x00\x00\x00\x00",
            b"\x88\x81\x00\x00\x00\x00a",
            b"\x81\x01a",
        ] {
            let mut receiver = Receiver::new(Role::Server, Limits::default());
            let mut data = [bad, &hello].concat();
            receiver.next(&mut data).unwrap_err();
            let mut more = hello.clone();
            assert_eq!(
                receiver.next(&mut more),
                Ok((hello.len(), None)),
                "{bad:x?}"
            );
        }
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }
}
