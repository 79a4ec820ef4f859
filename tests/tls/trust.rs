//! Whom a dial takes for a server, and what it says about others.

use std::io::ErrorKind;

use rustls::ServerConfig;
use switchboard::{Dial, tls};

use crate::certs::{CERTS, Pair, expire, self_signed};
use crate::far::{VERSIONS, server_of};
use crate::near::{Near, trusting};

/// Dials a server with this certificate by this name; the error that comes of it.
fn refusal(config: ServerConfig, client: &tls::Client, name: &str) -> String {
    let mut near = Near::new();
    let (mut far, id) = near.dial_as(config, |dial| dial.tls(client, name).unwrap());
    let failure = near.failure_with(&mut far, id);
    assert_eq!(near.world.events, []);
    assert_eq!(failure.kind, ErrorKind::InvalidData);
    assert!(
        failure.text.starts_with("no TLS with tcp 127.0.0.1:"),
        "{failure:?}"
    );
    near.both(&mut far, "an alert", |_, far| far.error.is_some());
    near.assert_nothing_left();
    failure.text
}

fn assert_refused(pair: &Pair, name: &str, expected: &str) {
    for versions in VERSIONS {
        let text = refusal(server_of(versions, pair), &trusting(), name);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_certificate_that_has_expired_is_refused() {
    let expired = CERTS.authority.sign_as("expired", &["localhost"], expire);
    assert_refused(&expired, "localhost", "certificate expired");
}

#[test]
fn a_certificate_of_nobody_we_trust_is_refused() {
    let alien = CERTS.stranger.sign("alien-server", &["localhost"]);
    assert_refused(&alien, "localhost", "UnknownIssuer");
    let own = self_signed("self-signed-server", &["localhost"]);
    assert_refused(&own, "localhost", "UnknownIssuer");
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    assert_refused(&CERTS.server, "example.org", "example.org");
    assert_refused(&CERTS.server, "127.0.0.2", "certificate not valid for");
}

#[test]
fn those_who_are_built_in_do_not_vouch_for_our_own() {
    let config = || server_of(VERSIONS[1], &CERTS.server);
    let text = refusal(config(), &tls::Client::webpki(), "localhost");
    assert!(text.contains("UnknownIssuer"), "{text}");
}

#[test]
fn whoever_trusts_anybody_takes_all_of_them() {
    let expired = CERTS
        .stranger
        .sign_as("expired-alien", &["example.org"], expire);
    let own = self_signed("self-signed-anybody", &["example.org"]);
    let anybody = tls::Client::dangerously_trusting_anybody();
    for pair in [&expired, &own, &CERTS.server] {
        for versions in VERSIONS {
            let mut near = Near::new();
            let (mut far, id) = near.dial_as(server_of(versions, pair), |dial| {
                dial.tls(&anybody, "localhost").unwrap()
            });
            near.both(&mut far, "the handshake", |near, _| {
                near.world.opened().contains(&id)
            });
            let seen = near.hub().tls(id).unwrap().peer_certificates;
            assert_eq!(seen, [pair.chain()[0].to_vec()]);
        }
    }
}

#[test]
fn an_address_is_a_name_like_any_other() {
    for name in ["127.0.0.1", "localhost"] {
        let mut near = Near::new();
        let address = near.address();
        let dial = Dial::tcp(address).tls(&trusting(), name).unwrap();
        let (id, served) = near.pair(dial);
        assert_eq!(
            near.hub().tls(id).unwrap().server_name.as_deref(),
            Some(name)
        );
        // An address is not asked for by SNI: RFC 6066, section 3.
        let asked = near.hub().tls(served).unwrap().server_name;
        assert_eq!(
            asked.as_deref(),
            Some(name).filter(|name| *name == "localhost")
        );
    }
}

#[test]
fn what_is_no_name_is_refused_before_anybody_is_dialled() {
    for name in ["", "a b", "a/b", "*", "-", "\u{e4}.example", "a:443"] {
        let error = Dial::tcp("127.0.0.1:1").tls(&trusting(), name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let text = error.to_string();
        let shown = name.escape_debug();
        assert!(text.starts_with(&format!("`{shown}` is no name")), "{text}");
    }
}

/// Whoever the system trusts is asked for once. A system may have nobody; then it is said.
#[test]
fn a_system_says_whom_it_trusts_or_that_it_trusts_nobody() {
    match tls::Client::platform() {
        Ok(client) => {
            let text = refusal(server_of(VERSIONS[1], &CERTS.server), &client, "localhost");
            assert!(text.contains("UnknownIssuer"), "{text}");
        }
        Err(error) => assert!(
            error.to_string().starts_with("the system has no"),
            "{error}"
        ),
    }
}
