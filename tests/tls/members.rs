//! Row 6: clients that show a certificate, have to, or show one that they should not have.

use std::sync::Arc;

use rustls::{AlertDescription, Error};
use switchboard::tls::{Client, ClientAuth};

use crate::certs::{CERTS, Pair, expire, self_signed, serve_only};
use crate::far::{VERSIONS, client_of};
use crate::near::{Near, server, trusting};

fn near(auth: ClientAuth) -> Near {
    let server = server().client_auth(&CERTS.authority.pair.cert, auth);
    Near::with(server.unwrap())
}

/// A client with this certificate is refused by an alert, and nobody hears of it.
fn assert_refused(near: &mut Near, own: Option<&Pair>) -> Vec<AlertDescription> {
    let alerts = VERSIONS.map(|versions| {
        let before = near.hub().totals().handshakes_failed;
        let mut far = near.stranger(client_of(versions, own));
        near.both(&mut far, "an alert", |_, far| far.error.is_some());
        near.rest();
        assert_eq!(near.hub().totals().handshakes_failed, before + 1);
        assert_eq!(near.world.events, []);
        match far.error {
            Some(Error::AlertReceived(alert)) => alert,
            other => panic!("{other:?}"),
        }
    });
    near.assert_nothing_left();
    alerts.into()
}

fn assert_taken(near: &mut Near, own: Option<&Pair>) {
    for versions in VERSIONS {
        let (_far, id) = near.open(client_of(versions, own));
        let shown = near.hub().tls(id).unwrap().peer_certificates;
        let chain = own.map_or_else(Vec::new, Pair::chain);
        let chain: Vec<_> = chain.iter().map(|one| one.to_vec()).collect();
        assert_eq!(shown, chain);
    }
}

#[test]
fn tls6_a_certificate_that_is_required_has_to_be_shown() {
    let mut near = near(ClientAuth::Required);
    let alerts = assert_refused(&mut near, None);
    assert_eq!(alerts, [AlertDescription::CertificateRequired; 2]);
    assert_taken(&mut near, Some(&CERTS.member));
    assert_taken(&mut near, Some(&CERTS.deputy));
}

#[test]
fn tls6_a_certificate_that_is_optional_need_not_be_shown_but_has_to_be_good() {
    let mut near = near(ClientAuth::Optional);
    let alien = CERTS.stranger.sign("alien-optional", &["member"]);
    assert_eq!(
        assert_refused(&mut near, Some(&alien)),
        [AlertDescription::UnknownCA; 2]
    );
    assert_taken(&mut near, None);
    assert_taken(&mut near, Some(&CERTS.member));
}

#[test]
fn tls6_a_certificate_that_is_not_asked_for_is_not_seen() {
    let mut near = Near::new();
    let (_far, id) = near.open(client_of(VERSIONS[1], Some(&CERTS.member)));
    let info = near.hub().tls(id).unwrap();
    assert_eq!(info.peer_certificates, Vec::<Vec<u8>>::new());
}

#[test]
fn tls6_certificates_of_others_are_refused() {
    let mut near = near(ClientAuth::Required);
    let expired = CERTS
        .authority
        .sign_as("expired-member", &["member"], expire);
    let server_only = CERTS
        .authority
        .sign_as("server-only", &["member"], serve_only);
    for (own, expected) in [
        (
            CERTS.stranger.sign("alien", &["member"]),
            AlertDescription::UnknownCA,
        ),
        (
            self_signed("self-signed-member", &["member"]),
            AlertDescription::UnknownCA,
        ),
        (expired, AlertDescription::CertificateExpired),
        (server_only, AlertDescription::UnsupportedCertificate),
    ] {
        let alerts = assert_refused(&mut near, Some(&own));
        assert_eq!(alerts, [expected; 2], "{own:?}");
    }
}

/// A good certificate with twenty others, or thousands, behind it. The former do no harm, the latter
/// are more than is read.
#[test]
fn tls6_a_chain_that_is_hostile_costs_little() {
    let mut near = near(ClientAuth::Required);
    let long = CERTS.authority.sign_long("long", 20);
    assert_taken(&mut near, Some(&long));
    let near = &mut self::near(ClientAuth::Required);
    let endless = CERTS.authority.sign_long("endless", 5_000);
    for versions in VERSIONS {
        let mut far = near.stranger(client_of(versions, Some(&endless)));
        near.both(&mut far, "the end", |_, far| {
            far.error.is_some() || far.end.is_some()
        });
    }
    near.assert_nothing_left();
    assert_eq!(near.world.events, []);
}

/// The key of somebody else's certificate is needed, too.
#[test]
fn tls6_a_certificate_without_its_key_is_worth_nothing() {
    let mut near = near(ClientAuth::Required);
    let stolen = Pair {
        cert: CERTS.member.cert.clone(),
        key: CERTS.deputy.key.clone(),
    };
    let mut config = client_of(VERSIONS[1], None);
    let key = rustls::crypto::ring::sign::any_supported_type(&stolen.private_key()).unwrap();
    let certified = rustls::sign::CertifiedKey::new(stolen.chain(), key);
    config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    let mut far = near.stranger(config);
    near.both(&mut far, "an alert", |_, far| far.error.is_some());
    let alert = AlertDescription::DecryptError;
    assert_eq!(far.error, Some(Error::AlertReceived(alert)));
    near.assert_nothing_left();
    assert_eq!(near.world.events, []);
}

/// Both sides of it are ours.
#[test]
fn tls6_a_dial_shows_its_identity() {
    let mut near = near(ClientAuth::Required);
    let address = near.address();
    let client: Client = trusting()
        .identity(&CERTS.deputy.cert, &CERTS.deputy.key)
        .unwrap();
    let dial = switchboard::Dial::tcp(address);
    let (id, served) = near.pair(dial.tls(&client, "localhost").unwrap());
    let seen = near.hub().tls(served).unwrap().peer_certificates;
    let shown: Vec<_> = CERTS
        .deputy
        .chain()
        .iter()
        .map(|one| one.to_vec())
        .collect();
    assert_eq!(seen, shown);
    let seen = near.hub().tls(id).unwrap().peer_certificates;
    assert_eq!(seen, [CERTS.server.chain()[0].to_vec()]);
}

/// By 1.3 a client that shows nothing takes itself for connected until it hears the alert.
#[test]
fn tls6_a_dial_without_an_identity_hears_that_it_was_refused() {
    let mut near = near(ClientAuth::Required);
    let address = near.address();
    let dial = switchboard::Dial::tcp(address).tls(&trusting(), "localhost");
    let dialler = near.dialler;
    let id = near.hub().connect(dial.unwrap(), dialler);
    near.turns("the close", |near| near.reason(id).is_some());
    assert_eq!(near.reason(id), Some(switchboard::CloseReason::Tls));
    assert_eq!(near.hub().totals().handshakes_failed, 1);
}
