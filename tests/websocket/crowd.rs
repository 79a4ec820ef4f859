//! A crowd of which half never reads.

use std::io::Read;

use switchboard::{Kind, Limits, Overflow, Publish};

use crate::alone::alone;
use crate::far::Far;
use crate::served::Served;
use crate::support::{pattern, resident};

const READERS: usize = 1_000;
const SLEEPERS: usize = 1_000;

/// Bytes of a message with its head, and how many of them make a gibibyte in all.
const LENGTH: usize = 16 * 1024;
const ROUNDS: usize = (1 << 30) / (READERS * LENGTH) + 1;

/// Bytes that may wait for a member.
const CAP: usize = 64 * 1024;

#[test]
fn readers_of_a_gibibyte_lose_nothing_beside_members_who_never_read() {
    alone(5_000, || {
        let mut served = Served::limited(Limits {
            max_backlog: CAP,
            overflow: Overflow::Drop,
            ..Limits::default()
        });
        served.app.on_open = Some(Box::new(|cx, _| cx.subscribe("room")));
        let mut readers: Vec<Far> = (0..READERS).map(|_| served.client()).collect();
        let sleepers: Vec<Far> = (0..SLEEPERS).map(|_| served.client()).collect();
        let before = resident();
        let mut most = 0;
        let mut missed = 0;
        let mut frame = vec![0x82, 126, 0, 0];
        frame.extend_from_slice(&pattern(LENGTH - 4));
        frame[2..4].copy_from_slice(&(LENGTH as u16 - 4).to_be_bytes());
        for round in 0..ROUNDS {
            // Each of them another one, so that none can stand for another.
            frame[4..12].copy_from_slice(&(round as u64).to_be_bytes());
            let published = served.hub().publish(Publish {
                topic: "room",
                data: &frame[4..],
                kind: Kind::Binary,
                except: None,
            });
            missed += published.missed;
            assert_eq!(published.taken + published.missed, READERS + SLEEPERS);
            assert!(
                published.missed <= SLEEPERS,
                "a reader missed round {round}"
            );
            let (mut at, mut got, mut buffer) = (0, 0, vec![0; LENGTH]);
            served.turns("all readers to have it", |_| {
                while let Some(reader) = readers.get_mut(at) {
                    match reader.stream.read(&mut buffer[got..]) {
                        Ok(0) => panic!("reader {at} has lost its connection"),
                        Ok(more) => got += more,
                        Err(_) => return false,
                    }
                    if got == LENGTH {
                        assert!(buffer == frame, "reader {at} in round {round}");
                        (at, got) = (at + 1, 0);
                    }
                }
                true
            });
            most = most.max(resident().saturating_sub(before));
        }
        // They were told nothing that did not fit, and are still there.
        assert!(
            missed > SLEEPERS * ROUNDS / 2,
            "{missed} of {ROUNDS} rounds"
        );
        assert_eq!(served.hub().subscribers("room"), READERS + SLEEPERS);
        let bound = SLEEPERS * (CAP + LENGTH);
        assert!(most < bound, "{most} bytes more than {before}");
        drop(sleepers);
        drop(readers);
        served.assert_nothing_left();
    });
}
