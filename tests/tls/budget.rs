//! Row 4: those who are served do not wait for those who would be.

use switchboard::testing::{Call, Fault};
use switchboard::{Config, Turn};

use crate::far::{Far, client_config};
use crate::near::{Near, echo, listen, server};

const WAITING: usize = 200;

fn near(handshake_budget: usize) -> Near {
    let config = Config {
        handshake_budget,
        ..Config::default()
    };
    let mut near = Near::of(config, listen(server()));
    near.world.on_data = Some(Box::new(echo));
    near
}

/// Clients whose first word is here before anybody has looked.
fn crowd(near: &Near, waiting: usize) -> Vec<Far> {
    let strangers = (0..waiting).map(|_| {
        let mut far = near.stranger(client_config());
        far.push();
        far
    });
    strangers.collect()
}

/// Turns that it takes until an echo has come, with what each of them did.
fn turns_of_an_echo(near: &mut Near, far: &mut Far) -> Vec<Turn> {
    let mut turns = Vec::new();
    let from = far.received.len();
    far.say(b"ping");
    far.step();
    while far.received.len() < from + 4 {
        turns.push(near.turn());
        far.step();
        assert!(turns.len() < 1_000, "no echo");
    }
    turns
}

#[test]
fn tls4_an_echo_comes_while_two_hundred_handshakes_wait() {
    let mut near = near(5);
    let (mut far, _) = near.client();
    let mut crowd = crowd(&near, WAITING);
    near.turns("all to be accepted", |near| {
        near.hub().census().handshakes + near.world.opened().len() == WAITING + 1
    });
    let mut most = 0;
    while near.world.opened().len() < WAITING + 1 {
        let turns = turns_of_an_echo(&mut near, &mut far);
        // Loopback may take its time, but not a hundred turns.
        assert!(turns.len() <= 5, "{} turns for an echo", turns.len());
        most = turns
            .iter()
            .map(|turn| turn.handshakes)
            .fold(most, usize::max);
        crowd.iter_mut().for_each(Far::step);
    }
    assert_eq!(most, 5, "the budget is used, and kept to");
    for far in &mut crowd {
        near.assert_echoes(far);
    }
}

/// A handshake that needs many reads gets no more than its share, either.
#[test]
fn tls4_the_budget_holds_for_handshakes_in_many_pieces() {
    let mut near = near(5);
    near.faults.always(Call::Receive, Fault::Short(20));
    let mut crowd = crowd(&near, 50);
    let mut most = 0;
    for _ in 0..100_000 {
        let turn = near.turn();
        most = most.max(turn.handshakes);
        crowd.iter_mut().for_each(Far::step);
        if near.world.opened().len() == 50 {
            break;
        }
    }
    assert_eq!(near.world.opened().len(), 50);
    assert!(most <= 5, "{most} steps in one turn");
}

#[test]
fn tls4_a_budget_of_one_is_enough() {
    let mut near = near(1);
    let mut crowd = crowd(&near, 50);
    near.turns("all of them", |near| {
        crowd.iter_mut().for_each(Far::step);
        let turn = near.turn();
        assert!(turn.handshakes <= 1, "{turn:?}");
        near.world.opened().len() == 50
    });
    near.rest();
}
