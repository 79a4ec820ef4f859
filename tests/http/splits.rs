//! However its bytes are cut into pieces, a request has the same answer.

use std::net::{Shutdown, TcpStream};

use crate::answer::{Answer, answers_to};
use crate::corpus::WHOLE;
use crate::served::{End, Served};

/// Sends pieces, each of which the server has seen before the next one comes.
fn send<'a>(
    served: &mut Served,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    heads: &[usize],
) -> Vec<Answer> {
    served.app.taken.clear();
    let mut client: TcpStream = served.connect();
    for piece in pieces {
        served.write(&mut client, piece);
    }
    client.shutdown(Shutdown::Write).expect("to finish");
    let (received, end) = served.read_to_end(&mut client);
    assert_eq!(end, End::Fin);
    answers_to(&received, heads)
}

#[test]
fn h10_byte_by_byte_and_in_two_at_every_place() {
    let mut served = Served::new();
    for (text, heads) in WHOLE {
        let bytes = text.as_bytes();
        let whole = send(&mut served, [bytes], heads);
        assert!(!whole.is_empty(), "{text}");
        assert_eq!(
            send(&mut served, bytes.chunks(1), heads),
            whole,
            "byte by byte: {text}"
        );
        for at in 1..bytes.len() {
            let (one, two) = bytes.split_at(at);
            assert_eq!(
                send(&mut served, [one, two], heads),
                whole,
                "split at {at}: {text}"
            );
        }
    }
    served.assert_nothing_left();
}

#[test]
fn h10_in_three_at_many_places() {
    let mut served = Served::new();
    for (text, heads) in WHOLE {
        let bytes = text.as_bytes();
        let whole = send(&mut served, [bytes], heads);
        for one in (1..bytes.len() - 1).step_by(5) {
            for two in (one + 1..bytes.len()).step_by(11) {
                let pieces = [&bytes[..one], &bytes[one..two], &bytes[two..]];
                assert_eq!(
                    send(&mut served, pieces, heads),
                    whole,
                    "{one}, {two}: {text}"
                );
            }
        }
    }
    served.assert_nothing_left();
}

#[test]
fn h10_the_corpus_is_answered_as_it_should_be() {
    let mut served = Served::new();
    let expected: [&[u16]; 13] = [
        &[200],
        &[200],
        &[200, 200],
        &[200],
        &[200],
        &[200],
        &[200],
        &[200],
        &[200],
        &[200, 200, 200, 200, 200],
        &[200, 400],
        &[400],
        &[204, 501],
    ];
    for ((text, heads), expected) in WHOLE.into_iter().zip(expected) {
        let answers = send(&mut served, [text.as_bytes()], heads);
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, expected, "{text}");
    }
}
