//! Signals as events of the loop, in a process of their own: who is not listened to would end it.

use std::io;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use signal_hook::low_level::raise;
use switchboard::signals::{self, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use switchboard::{CloseReason, Config, ConnId, Driver, DriverId, Hub, Origin, Owner, Reactor};

use crate::child::{Running, child, run, say};

fn send(running: &Running, signal: &str) {
    let kill = format!("kill -s {signal} {}", running.id());
    let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(status.success(), "{kill}");
}

fn reactor() -> Reactor<()> {
    Reactor::new(Config::default()).unwrap()
}

fn told(signal: i32) -> String {
    format!("signal {signal}")
}

/// The loop sleeps, with nothing else to wake it.
#[test]
fn each_signal_is_an_event_and_ends_nothing_by_itself() {
    let mut command = child(|| {
        let mut reactor = reactor();
        let all = [SIGHUP, SIGINT, SIGTERM, SIGUSR1];
        signals::on(&mut reactor, &all, |(), hub, signal| {
            say(&told(signal));
            if signal == SIGUSR1 {
                hub.stop();
            }
        })
        .unwrap();
        say("ready");
        reactor.run(&mut ()).unwrap();
    });
    let mut running = Running::start(&mut command);
    running.expect(&["ready"]);
    for (name, signal) in [
        ("TERM", SIGTERM),
        ("INT", SIGINT),
        ("HUP", SIGHUP),
        ("TERM", SIGTERM),
        ("TERM", SIGTERM),
        ("USR1", SIGUSR1),
    ] {
        send(&running, name);
        running.expect(&[&told(signal)]);
    }
    assert!(running.end().success());
}

/// A connection that never ends, whatever it is told.
struct Stubborn;

impl Driver<()> for Stubborn {
    fn on_open(&mut self, (): &mut (), _: &mut Hub, _: ConnId, _: Origin) {}

    fn on_data(&mut self, (): &mut (), _: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
        data.len()
    }

    fn on_stop(&mut self, (): &mut (), _: &mut Hub, _: DriverId) {
        say("stopping");
    }

    fn on_close(&mut self, (): &mut (), _: &mut Hub, _: ConnId, reason: CloseReason) {
        say(&format!("close {reason:?}"));
    }
}

#[test]
fn f24_a_second_signal_is_heard_during_a_shutdown() {
    let mut command = child(|| {
        let mut reactor = reactor();
        let driver = reactor.add_driver(Stubborn);
        let (near, _far) = UnixStream::pair().unwrap();
        reactor.adopt(near, driver).unwrap();
        let mut times = 0;
        signals::on(&mut reactor, &[SIGTERM], move |(), hub, signal| {
            say(&told(signal));
            times += 1;
            match times {
                1 => hub.shutdown(Duration::from_secs(3_600)),
                _ => hub.shutdown(Duration::ZERO),
            }
        })
        .unwrap();
        say("ready");
        reactor.run(&mut ()).unwrap();
    });
    let mut running = Running::start(&mut command);
    running.expect(&["ready"]);
    send(&running, "TERM");
    running.expect(&["signal 15", "stopping"]);
    send(&running, "TERM");
    running.expect(&["signal 15", "stopping", "close Shutdown"]);
    assert!(running.end().success());
}

/// With nothing else open `run` returns long before the deadline.
#[test]
fn f24_a_shutdown_does_not_wait_for_the_listening_to_signals() {
    let mut command = child(|| {
        let mut reactor = reactor();
        signals::on(&mut reactor, &[SIGTERM], |(), hub, _| {
            hub.shutdown(Duration::from_secs(3_600));
            hub.set_timer(Owner::App, Duration::from_secs(30), 0);
        })
        .unwrap();
        reactor.on_timer(|(), hub, _| {
            say("it waits");
            hub.stop();
        });
        say("ready");
        reactor.run(&mut ()).unwrap();
    });
    let mut running = Running::start(&mut command);
    running.expect(&["ready"]);
    send(&running, "TERM");
    assert!(running.end().success());
}

/// They arrive in the middle of a callback, and are told after it.
#[test]
fn a_signal_interrupts_no_callback_and_counts_once_until_it_is_told() {
    let said = run(&mut child(|| {
        let mut reactor = reactor();
        signals::on(&mut reactor, &[SIGUSR1, SIGUSR2], |(), hub, signal| {
            say(&told(signal));
            if signal == SIGUSR2 {
                hub.stop();
            }
        })
        .unwrap();
        reactor.on_timer(|(), hub, key| {
            for _ in 0..1_000 {
                raise(SIGUSR1).unwrap();
            }
            say("the callback ends");
            if key > 0 {
                hub.set_timer(Owner::App, Duration::ZERO, key - 1);
            } else {
                raise(SIGUSR2).unwrap();
            }
        });
        reactor.hub().set_timer(Owner::App, Duration::ZERO, 2);
        reactor.run(&mut ()).unwrap();
    }));
    let (ends, usr1, usr2) = ("the callback ends", told(SIGUSR1), told(SIGUSR2));
    assert_eq!(said, [ends, &usr1, ends, &usr1, ends, &usr1, &usr2]);
}

#[test]
fn two_who_listen_to_a_signal_both_hear_it() {
    let mut said = run(&mut child(|| {
        let mut reactor = reactor();
        for name in ["first", "second"] {
            let mut other = Some(name);
            signals::on(&mut reactor, &[SIGUSR1], move |(), hub, _| {
                say(other.take().unwrap());
                hub.set_timer(Owner::App, Duration::ZERO, 0);
            })
            .unwrap();
        }
        let mut heard = 0;
        reactor.on_timer(move |(), hub, _| {
            heard += 1;
            if heard == 2 {
                hub.stop();
            }
        });
        raise(SIGUSR1).unwrap();
        reactor.run(&mut ()).unwrap();
    }));
    said.sort();
    assert_eq!(said, ["first", "second"]);
}

/// Nobody is told any more, and the process lives on, as is documented.
#[test]
fn who_has_closed_hears_nothing_and_the_default_action_stays_off() {
    let mut command = child(|| {
        let mut reactor = reactor();
        let id = signals::on(&mut reactor, &[SIGTERM], |(), _, _| say("never")).unwrap();
        signals::on(&mut reactor, &[SIGUSR1], |(), hub, _| hub.stop()).unwrap();
        reactor.hub().close(id);
        reactor.turn(&mut (), Some(Duration::ZERO)).unwrap();
        say("ready");
        reactor.run(&mut ()).unwrap();
        say("stopped");
    });
    let mut running = Running::start(&mut command);
    running.expect(&["ready"]);
    send(&running, "TERM");
    send(&running, "TERM");
    send(&running, "USR1");
    running.expect(&["stopped"]);
    assert!(running.end().success());
}

/// A flood of signals from outside, while the loop polls, reads and writes.
#[test]
fn f06_signals_disturb_nothing() {
    const ROUNDS: usize = 2_000;
    /// Sends on what it hears until it has come round often enough.
    struct Relay(usize);
    impl Driver<()> for Relay {
        fn on_open(&mut self, (): &mut (), hub: &mut Hub, id: ConnId, _: Origin) {
            hub.send(id, b"x").ignore();
        }
        fn on_data(&mut self, (): &mut (), hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
            self.0 += data.len();
            if self.0 >= ROUNDS {
                hub.stop();
            }
            hub.send(id, data).ignore();
            data.len()
        }
        fn on_close(&mut self, (): &mut (), _: &mut Hub, _: ConnId, reason: CloseReason) {
            panic!("{reason:?}");
        }
    }
    let said = run(&mut child(|| {
        let mut reactor = reactor();
        signals::on(&mut reactor, &[SIGUSR1], |(), _, _| {}).unwrap();
        let driver = reactor.add_driver(Relay(0));
        let (one, other) = UnixStream::pair().unwrap();
        reactor.adopt(one, driver).unwrap();
        reactor.adopt(other, driver).unwrap();
        let kill = format!("while kill -s USR1 {}; do :; done", std::process::id());
        let mut sender = Command::new("sh").args(["-c", &kill]).spawn().unwrap();
        let ran = reactor.run(&mut ());
        sender.kill().unwrap();
        sender.wait().unwrap();
        ran.unwrap();
        say("all came round");
    }));
    assert_eq!(said, ["all came round"]);
}

#[test]
fn what_is_no_signal_is_an_error() {
    let said = run(&mut child(|| {
        let mut reactor = reactor();
        let error: io::Error = signals::on(&mut reactor, &[12_345], |(), _, _| {}).unwrap_err();
        say(&format!("{:?}", error.kind()));
    }));
    assert_eq!(said, ["InvalidInput"]);
}

/// With none of the others caught by then.
#[test]
fn a_signal_that_cannot_be_caught_is_an_error() {
    for bad in [9, 19, 11, 12_345, -1] {
        let mut reactor = reactor();
        let error = signals::on(&mut reactor, &[SIGTERM, bad], |(), _, _| {}).unwrap_err();
        assert_eq!(error.to_string(), format!("signal {bad} cannot be caught"));
    }
    let mut command = child(|| {
        let mut reactor = reactor();
        assert!(signals::on(&mut reactor, &[SIGTERM, 12_345], |(), _, _| {}).is_err());
        raise(SIGTERM).unwrap();
        say("survived");
    });
    assert!(!Running::start(&mut command).end().success());
}

#[test]
fn f19_a_panic_about_one_signal_leaves_the_others_heard() {
    let mut command = child(|| {
        let mut reactor = reactor();
        signals::on(&mut reactor, &[SIGUSR1, SIGUSR2], |(), _, signal| {
            if signal == SIGUSR1 {
                panic!("in a callback of a test");
            }
            say("heard");
        })
        .unwrap();
        for signal in [SIGUSR1, SIGUSR2] {
            raise(signal).unwrap();
            for _ in 0..10 {
                reactor
                    .turn(&mut (), Some(Duration::from_millis(1)))
                    .unwrap();
            }
        }
    });
    assert_eq!(run(&mut command), ["heard"]);
}
