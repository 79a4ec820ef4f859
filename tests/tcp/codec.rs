//! A protocol of one's own, by a codec of one's own: a store with text commands and binary values.
//!
//! ```text
//! PUT <key> <bytes>\n<value>     GET <key>\n     QUIT\n
//! ```

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::str::from_utf8;

use switchboard::tcp::{Codec, Cx, Framed, Handler};
use switchboard::{CloseReason, Hub, Kind, Publish};

use crate::served::{Dice, Served};

const MAX_HEAD: usize = 32;
const MAX_VALUE: usize = 1_000;

#[derive(Clone, Default)]
struct Store {
    /// The head that has been read already, while its value is still coming: where the value
    /// begins, and how many bytes it has. Each connection must have its own.
    awaiting: Option<(usize, usize)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Command<'a> {
    Put(&'a str, &'a [u8]),
    Get(&'a str),
    Quit,
}

enum Reply<'a> {
    Ok,
    Value(&'a [u8]),
    Error(Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Error {
    Syntax,
    TooLong,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "syntax",
            Self::TooLong => "too long",
        })
    }
}

impl Store {
    /// Where the head ends, if its end is there.
    fn head(data: &[u8]) -> Result<Option<usize>, Error> {
        match data.iter().position(|&byte| byte == b'\n') {
            Some(end) if end < MAX_HEAD => Ok(Some(end)),
            None if data.len() < MAX_HEAD => Ok(None),
            _ => Err(Error::TooLong),
        }
    }
}

impl Codec for Store {
    type In<'a> = Command<'a>;
    type Out<'a> = Reply<'a>;
    type Error = Error;

    fn decode<'a>(&mut self, data: &'a mut [u8]) -> Result<Option<(usize, Command<'a>)>, Error> {
        let data = &*data;
        let Some(end) = Self::head(data)? else {
            return Ok(None);
        };
        let head = from_utf8(&data[..end]).map_err(|_| Error::Syntax)?;
        let words: Vec<&str> = head.split(' ').collect();
        match words[..] {
            ["QUIT"] => Ok(Some((end + 1, Command::Quit))),
            ["GET", key] => Ok(Some((end + 1, Command::Get(key)))),
            ["PUT", key, length] => {
                let length = length.parse().map_err(|_| Error::Syntax)?;
                if length > MAX_VALUE {
                    return Err(Error::TooLong);
                }
                let (from, length) = *self.awaiting.get_or_insert((end + 1, length));
                let Some(value) = data.get(from..from + length) else {
                    return Ok(None);
                };
                self.awaiting = None;
                Ok(Some((from + length, Command::Put(key, value))))
            }
            _ => Err(Error::Syntax),
        }
    }

    /// A command that is cut off is an error here, and not dropped in silence.
    fn decode_eof<'a>(&mut self, data: &'a mut [u8]) -> Result<Option<Command<'a>>, Error> {
        if data.is_empty() {
            Ok(None)
        } else {
            Err(Error::Syntax)
        }
    }

    fn encode(&self, reply: &Reply<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        match reply {
            Reply::Ok => out.extend_from_slice(b"OK\n"),
            Reply::Error(error) => out.extend_from_slice(format!("ERROR {error}\n").as_bytes()),
            Reply::Value(value) => {
                out.extend_from_slice(format!("VALUE {}\n", value.len()).as_bytes());
                out.extend_from_slice(value);
            }
        }
        Ok(())
    }

    fn publish(&self, data: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"NEWS ");
        out.extend_from_slice(data);
        out.push(b'\n');
    }

    fn max_undecoded(&self) -> usize {
        MAX_HEAD + MAX_VALUE
    }
}

/// One store for all connections; each counts its own commands.
#[derive(Default)]
struct Keeper {
    values: HashMap<String, Vec<u8>>,
    commands: Vec<usize>,
    reasons: Vec<CloseReason>,
}

impl Handler<Store> for Keeper {
    type Conn = usize;

    fn on_open(&mut self, cx: &mut Cx<'_, Store>) -> Option<usize> {
        cx.subscribe("news").then_some(0)
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Store>, commands: &mut usize, command: Command<'_>) {
        *commands += 1;
        let reply = match command {
            Command::Put(key, value) => {
                self.values.insert(key.into(), value.into());
                Reply::Ok
            }
            Command::Get(key) => Reply::Value(self.values.get(key).map_or(b"", Vec::as_slice)),
            Command::Quit => return cx.close(),
        };
        assert!(cx.send(&reply).is_taken());
    }

    fn on_error(&mut self, cx: &mut Cx<'_, Store>, _: &mut usize, error: Error) {
        assert!(cx.send(&Reply::Error(error)).is_taken());
    }

    fn on_close(&mut self, _: &mut Cx<'_, Store>, commands: usize, reason: CloseReason) {
        self.commands.push(commands);
        self.reasons.push(reason);
    }
}

fn keeper() -> Served<Keeper> {
    Served::new(Keeper::default(), Framed::new(Store::default()))
}

#[test]
fn s0_16_a_codec_of_ones_own_frames_both_directions() {
    let mut served = keeper();
    let mut client = served.client();
    let sent = b"PUT a 5\nx\ny\0zGET a\nGET b\nPUT b 0\nQUIT\nGET a\n";
    client.write_all(sent).unwrap();
    let received = served.read_to_end(&mut client);
    assert_eq!(received, b"OK\nVALUE 5\nx\ny\0zVALUE 0\nOK\n");
    drop(client);
    served.until("the close", |app| !app.reasons.is_empty());
    assert_eq!(served.app.reasons, [CloseReason::Local]);
    assert_eq!(
        served.app.commands,
        [5],
        "nothing behind QUIT was looked at"
    );
}

/// What a codec remembers of an unfinished command belongs to that connection alone.
#[test]
fn s0_16_each_connection_has_a_codec_of_its_own() {
    let mut served = keeper();
    let (mut first, _) = served.connect();
    let (mut second, _) = served.connect();
    first.write_all(b"PUT first 10\n01234").unwrap();
    served.until_received(18);
    second.write_all(b"PUT 2nd 3\nab").unwrap();
    served.until_received(30);
    first.write_all(b"56789GET first\n").unwrap();
    assert_eq!(served.read(&mut first, 22), b"OK\nVALUE 10\n0123456789");
    second.write_all(b"cGET 2nd\n").unwrap();
    assert_eq!(served.read(&mut second, 14), b"OK\nVALUE 3\nabc");
}

#[test]
fn f14_commands_are_the_same_however_the_bytes_are_cut() {
    let mut sent = format!("PUT a {MAX_VALUE}\n").into_bytes();
    sent.extend(crate::support::pattern(MAX_VALUE));
    sent.extend(b"GET a\nPUT b 1\nxGET b\n");
    let mut served = keeper();
    let mut answers = Vec::new();
    for seed in 0..30 {
        let mut client = served.client();
        let pieces = Dice::new(seed).cut(&sent, 1 + seed as usize * 40);
        answers.push(served.exchange(&mut client, pieces));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(answers[0].len(), 3 + 11 + MAX_VALUE + 3 + 9);
}

#[test]
fn s0_16_what_the_codec_refuses_is_told_once_and_closes() {
    for (sent, received) in [
        (
            &b"GET a\nNONSENSE\nGET a\n"[..],
            &b"VALUE 0\nERROR syntax\n"[..],
        ),
        (b"PUT a 1001\n", b"ERROR too long\n"),
        (&[b'x'; MAX_HEAD], b"ERROR too long\n"),
        (b"PUT a 3\nab", b"ERROR syntax\n"),
    ] {
        let mut served = keeper();
        let mut client = served.client();
        assert_eq!(served.exchange(&mut client, [sent]), received);
        drop(client);
        served.until("the close", |app| !app.reasons.is_empty());
        assert_eq!(served.app.reasons, [CloseReason::Protocol]);
    }
}

#[test]
fn s4_02_what_is_published_is_framed_as_the_codec_says() {
    let mut served = keeper();
    let (mut first, _) = served.connect();
    let (mut second, _) = served.connect();
    let publish = |hub: &mut Hub| {
        hub.publish(Publish {
            topic: "news",
            data: b"rain",
            kind: Kind::Text,
            except: None,
        })
    };
    assert_eq!(publish(served.reactor.hub()).taken, 2);
    for client in [&mut first, &mut second] {
        assert_eq!(served.read(client, 10), b"NEWS rain\n");
    }
}
