//! A UDP peer of the load client: a connected socket, and the datagrams that
//! it has in flight.
//!
//! A datagram is its number and then a piece of the pattern at that number, so
//! that one which is lost, doubled, changed or echoed to another peer is seen.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use super::Shape;
use super::connection::{Connection, Tools};
use super::pattern::Pattern;

/// Bytes of a datagram's number.
const NUMBER: usize = size_of::<u64>();

pub struct Udp {
    socket: UdpSocket,
    /// Number of the next datagram; each peer begins in a range of its own.
    next: u64,
    in_flight: Vec<u64>,
    /// Sent again, and not yet come back twice: the first one may have been
    /// late and not lost.
    repeated: Vec<u64>,
}

impl Connection for Udp {
    /// At the most what an IPv4 packet holds beside its two headers.
    const SIZES: RangeInclusive<usize> = NUMBER..=65_507;
    const SILENCE: Duration = Duration::from_secs(1);

    fn open(
        address: SocketAddr,
        _: &Shape,
        registry: &Registry,
        token: Token,
    ) -> anyhow::Result<Self> {
        let any = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let mut socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        // Each datagram that has left is an edge for a writer: not registered
        // for, as it would wake the client once more for each message.
        registry.register(&mut socket, token, Interest::READABLE)?;
        Ok(Self {
            socket,
            next: (token.0 as u64) << 32,
            in_flight: Vec::new(),
            repeated: Vec::new(),
        })
    }

    fn send(&mut self, messages: u64, tools: &mut Tools) -> anyhow::Result<()> {
        for _ in 0..messages {
            self.send_one(self.next, tools)?;
            self.in_flight.push(self.next);
            self.next += 1;
        }
        Ok(())
    }

    fn receive(&mut self, tools: &mut Tools) -> anyhow::Result<u64> {
        let mut complete = 0;
        // With nothing in flight the socket is empty, and whatever arrives
        // later is a new edge.
        while !self.in_flight.is_empty() {
            let read = match self.socket.recv(&mut tools.buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("cannot receive"),
            };
            let number = number(&tools.buffer[..read], tools.size, &tools.pattern)?;
            if take(&mut self.in_flight, number) {
                complete += 1;
            } else if !take(&mut self.repeated, number) {
                bail!("datagram {number:#x} came back twice, or to the wrong peer");
            }
        }
        Ok(complete)
    }

    fn send_again(&mut self, tools: &mut Tools) -> anyhow::Result<u64> {
        for &number in &self.in_flight {
            self.send_one(number, tools)?;
        }
        self.repeated.extend_from_slice(&self.in_flight);
        Ok(self.in_flight.len() as u64)
    }
}

impl Udp {
    /// A datagram that the socket does not take is lost, like one that is lost
    /// on the way.
    fn send_one(&self, number: u64, tools: &mut Tools) -> anyhow::Result<()> {
        let datagram = &mut tools.buffer[..tools.size];
        fill(datagram, number, &tools.pattern);
        match self.socket.send(datagram) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => {
                Err(error).context("cannot send")
            }
            _ => Ok(()),
        }
    }
}

/// Whether the number was there; it is not any more.
fn take(numbers: &mut Vec<u64>, number: u64) -> bool {
    let place = numbers.iter().position(|&other| other == number);
    place.map(|place| numbers.remove(place)).is_some()
}

fn fill(datagram: &mut [u8], number: u64, pattern: &Pattern) {
    let (head, body) = datagram.split_at_mut(NUMBER);
    head.copy_from_slice(&number.to_be_bytes());
    body.copy_from_slice(pattern.at(number, body.len()));
}

/// The number of a datagram whose bytes are right.
fn number(datagram: &[u8], size: usize, pattern: &Pattern) -> anyhow::Result<u64> {
    ensure!(
        datagram.len() == size,
        "{} bytes came back instead of {size}",
        datagram.len()
    );
    let (head, body) = datagram
        .split_first_chunk()
        .context("a datagram came back without its number")?;
    let number = u64::from_be_bytes(*head);
    ensure!(
        body == pattern.at(number, body.len()),
        "wrong bytes came back in datagram {number:#x}"
    );
    Ok(number)
}

#[cfg(test)]
mod tests {
    use std::thread::{self, JoinHandle};

    use super::super::{Load, Run};
    use super::*;

    /// Runs a load against a server that does with each datagram, by its index,
    /// what `answer` says, until the load has ended.
    fn run(
        shape: &Shape,
        messages: u64,
        answer: impl Fn(usize, &mut [u8]) -> usize + Send + 'static,
    ) -> anyhow::Result<Run> {
        let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let serving: JoinHandle<()> = thread::spawn(move || {
            let mut buffer = [0; 1024];
            for index in 0.. {
                let (length, peer) = server.recv_from(&mut buffer).unwrap();
                if length == 0 {
                    return;
                }
                for _ in 0..answer(index, &mut buffer[..length]) {
                    server.send_to(&buffer[..length], peer).unwrap();
                }
            }
        });
        let outcome = Load::<Udp>::connect(address, shape).and_then(|mut load| load.run(messages));
        let last = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        last.send_to(&[], address).unwrap();
        serving.join().unwrap();
        outcome
    }

    const SHAPE: Shape = Shape {
        connections: 3,
        size: 64,
        outstanding: 2,
        deflate: false,
    };

    fn error(outcome: anyhow::Result<Run>) -> String {
        outcome.err().map(|error| error.to_string()).unwrap()
    }

    #[test]
    fn every_message_comes_back() {
        let shape = Shape { size: 8, ..SHAPE };
        assert_eq!(run(&shape, 1000, |_, _| 1).unwrap().lost, 0);
    }

    #[test]
    fn sends_again_what_was_lost() {
        let outcome = run(&SHAPE, 100, |index, _| {
            usize::from(![0, 50].contains(&index))
        });
        assert_eq!(outcome.unwrap().lost, 2);
    }

    #[test]
    fn gives_up_when_much_is_lost() {
        let shape = Shape {
            connections: 20,
            ..SHAPE
        };
        let error = error(run(&shape, 100, |_, _| 0));
        assert!(error.starts_with("no answer for 1s"), "{error}");
    }

    #[test]
    fn sees_a_changed_datagram() {
        let error = error(run(&SHAPE, 100, |_, datagram| {
            datagram[63] ^= 1;
            1
        }));
        assert!(error.starts_with("wrong bytes"), "{error}");
    }

    #[test]
    fn sees_a_doubled_datagram() {
        let error = error(run(&SHAPE, 100, |_, _| 2));
        assert!(error.contains("twice"), "{error}");
    }

    #[test]
    fn a_datagram_that_was_late_may_come_back_twice() {
        let shape = Shape {
            connections: 1,
            ..SHAPE
        };
        let outcome = run(&shape, 100, |index, _| match index {
            0 | 1 => 0,
            2 | 3 => 2,
            _ => 1,
        });
        assert_eq!(outcome.unwrap().lost, 2);
    }
}
