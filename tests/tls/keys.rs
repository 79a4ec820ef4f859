//! Keys for whoever is to read along: `SSLKEYLOGFILE`. In a process of its own, since that is
//! looked up in the environment.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use switchboard::Dial;

use crate::alone::{command, is_alone};
use crate::certs::CERTS;
use crate::certs::folder;
use crate::far::{VERSIONS, client_of, server_of};
use crate::near::{Near, listen, server, trusting};

const NAME: &str = "keys::keys_are_written_to_the_file_that_is_named_and_only_if_that_is_wanted";

#[test]
fn keys_are_written_to_the_file_that_is_named_and_only_if_that_is_wanted() {
    if is_alone() {
        return speak();
    }
    let path = folder().join("keys.log");
    let output = command(NAME, 1_000)
        .env("SSLKEYLOGFILE", &path)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("1 passed"), "{printed}");
    let written = fs::read_to_string(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "for nobody else");
    let labels: Vec<_> = written
        .lines()
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            assert_eq!(words.len(), 3, "{line}");
            assert!(
                words[1..]
                    .iter()
                    .all(|word| word.bytes().all(|byte| byte.is_ascii_hexdigit()))
            );
            (words[0], words[1])
        })
        .collect();
    // As both versions have them; one random value for each of the four connections.
    let connections: HashSet<_> = labels.iter().map(|(_, random)| random).collect();
    assert_eq!(connections.len(), 4, "{written}");
    let count = |name: &str| labels.iter().filter(|(label, _)| *label == name).count();
    assert_eq!(count("CLIENT_RANDOM"), 2);
    assert_eq!(count("CLIENT_TRAFFIC_SECRET_0"), 2);
    assert_eq!(count("SERVER_TRAFFIC_SECRET_0"), 2);
}

#[test]
fn keys_that_cannot_be_written_are_an_error() {
    const NAME: &str = "keys::keys_that_cannot_be_written_are_an_error";
    if !is_alone() {
        let output = command(NAME, 1_000)
            .env("SSLKEYLOGFILE", folder().join("nowhere/keys.log"))
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        return assert!(printed.contains("1 passed"), "{printed}");
    }
    let mut near = Near::new();
    let (listener, driver) = (listen(server().key_log(true)), near.driver);
    let refused = near.reactor.listen(listener, driver).unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("nowhere/keys.log`, as SSLKEYLOGFILE asks"),
        "{text}"
    );
    let dial = Dial::tcp("127.0.0.1:1").tls(&trusting().key_log(true), "localhost");
    let text = dial.unwrap_err().to_string();
    assert!(
        text.contains("nowhere/keys.log`, as SSLKEYLOGFILE asks"),
        "{text}"
    );
}

/// Four connections with keys that are written, and four without.
fn speak() {
    for on in [true, false] {
        let mut near = Near::with(server().key_log(on));
        let client = trusting().key_log(on);
        for versions in VERSIONS {
            near.open(client_of(versions, None));
            let config = server_of(versions, &CERTS.server);
            let (mut far, id) =
                near.dial_as(config, |dial| dial.tls(&client, "localhost").unwrap());
            near.both(&mut far, "the handshake", |near, _| {
                near.world.opened().contains(&id)
            });
        }
    }
}
