//! Certificates that change while a listener listens.

use std::io::ErrorKind;
use std::sync::Arc;

use rustls::HandshakeKind;
use switchboard::tls::{ClientAuth, Server};

use crate::certs::CERTS;
use crate::far::client_config;
use crate::near::{Near, echo, server};

#[test]
fn other_certificates_are_for_further_clients() {
    let mut near = Near::new();
    near.world.on_data = Some(Box::new(echo));
    let config = Arc::new(client_config());
    let (mut old, old_id) = near.open_to(&config, "localhost");
    let mut begun = near.stranger_to(&config, "localhost");
    near.turns("a handshake", |near| near.hub().census().handshakes == 1);

    let renewed = CERTS.authority.sign("renewed", &["localhost"]);
    let other = Server::files(&renewed.cert, &renewed.key).unwrap();
    let listener = near.listening.id;
    near.hub().set_tls(listener, &other).unwrap();
    let (new, _) = near.open_to(&config, "localhost");
    assert_eq!(new.tls.peer_certificates().unwrap(), renewed.chain());
    assert_eq!(new.tls.handshake_kind(), Some(HandshakeKind::Full));
    // What has begun stays as it is.
    near.both(&mut begun, "the handshake", |near, _| {
        near.world.opened().len() == 3
    });
    let shown = begun.tls.peer_certificates().unwrap();
    assert_eq!(shown, CERTS.server.chain());
    near.assert_echoes(&mut old);
    near.assert_echoes(&mut begun);
    assert!(near.hub().is_open(old_id));
}

#[test]
fn options_that_do_not_fit_together_change_nothing() {
    let mut near = Near::new();
    let listener = near.listening.id;
    let bad = server().cipher_suites(&["NO_SUCH_SUITE"]);
    let error = near.hub().set_tls(listener, &bad).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("`NO_SUCH_SUITE`"), "{error}");
    let (far, _) = near.client();
    assert_eq!(far.tls.peer_certificates().unwrap(), CERTS.server.chain());
}

#[test]
fn only_a_listener_that_speaks_tls_takes_certificates() {
    let mut near = Near::new();
    let driver = near.driver;
    let plain = near.reactor.listen("127.0.0.1:0", driver).unwrap();
    let (_far, id) = near.client();
    for id in [plain.id, id] {
        let error = near.hub().set_tls(id, &server()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let expected = format!("{id} is no listener that speaks TLS");
        assert_eq!(error.to_string(), expected);
    }
}

/// Whoever may come in may change, too; tickets of before do not get anybody past that.
#[test]
fn a_ticket_of_before_opens_no_door_that_was_locked() {
    let mut near = Near::new();
    let config = Arc::new(client_config());
    let (mut far, _) = near.open_to(&config, "localhost");
    near.rest_with(&mut far);
    let locked = server()
        .client_auth(&CERTS.authority.pair.cert, ClientAuth::Required)
        .unwrap();
    let listener = near.listening.id;
    near.hub().set_tls(listener, &locked).unwrap();
    let mut far = near.stranger_to(&config, "localhost");
    near.both(&mut far, "an alert", |_, far| far.error.is_some());
    near.rest();
    assert_eq!(near.world.opened().len(), 1);
}
