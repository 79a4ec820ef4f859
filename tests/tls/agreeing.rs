//! What both sides agree on: version, cipher suite, name, protocol, and a session that goes on.

use std::sync::Arc;

use rustls::{AlertDescription, ClientConfig, Error, HandshakeKind};
use switchboard::{Dial, tls};

use crate::certs::CERTS;
use crate::far::{Far, VERSIONS, client_config, client_of, server_config, server_of};
use crate::near::{Near, server, trusting};

const BOTH: [tls::Version; 2] = [tls::Version::Tls12, tls::Version::Tls13];

/// The alert by which a client is refused.
fn refusal(near: &mut Near, config: ClientConfig) -> Error {
    let mut far = near.stranger(config);
    near.both(&mut far, "an alert", |_, far| far.error.is_some());
    near.assert_nothing_left();
    assert_eq!(near.world.events, []);
    far.error.unwrap()
}

#[test]
fn both_versions_are_spoken_and_known_on_both_sides() {
    let mut near = Near::new();
    for (versions, expected) in VERSIONS.into_iter().zip(BOTH) {
        let (far, id) = near.open(client_of(versions, None));
        let info = near.hub().tls(id).unwrap();
        let suite = far.tls.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(info.version, expected);
        assert_eq!(Some(&*info.cipher_suite), suite.as_str());
        assert_eq!(info.server_name.as_deref(), Some("localhost"));
        assert_eq!((info.alpn, info.peer_certificates.len()), (None, 0));

        let (far, id) = near.dialled(server_of(versions, &CERTS.server));
        let info = near.hub().tls(id).unwrap();
        let suite = far.tls.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(info.version, expected);
        assert_eq!(Some(&*info.cipher_suite), suite.as_str());
        assert_eq!(info.server_name.as_deref(), Some("localhost"));
        assert_eq!(info.alpn, None);
        assert_eq!(info.peer_certificates, [CERTS.server.chain()[0].to_vec()]);
    }
}

#[test]
fn a_connection_without_tls_knows_nothing_of_it() {
    let mut near = Near::new();
    let driver = near.driver;
    let listening = near.reactor.listen("127.0.0.1:0", driver).unwrap();
    let _client = crate::support::client(listening.local_addr.ip().unwrap());
    near.turns("the connection", |near| !near.world.opened().is_empty());
    let id = near.world.opened()[0];
    assert_eq!(near.hub().tls(id), None);
}

#[test]
fn a_version_below_the_lowest_is_refused() {
    let mut near = Near::with(server().min_version(tls::Version::Tls13));
    let alert = AlertDescription::ProtocolVersion;
    let error = refusal(&mut near, client_of(VERSIONS[0], None));
    assert_eq!(error, Error::AlertReceived(alert));
    near.open(client_of(VERSIONS[1], None));

    let client = trusting().min_version(tls::Version::Tls13);
    let config = server_of(VERSIONS[0], &CERTS.server);
    let (mut far, id) = near.dial_as(config, |dial| dial.tls(&client, "localhost").unwrap());
    let failure = near.failure_with(&mut far, id);
    assert!(failure.text.contains("ProtocolVersion"), "{failure:?}");
}

#[test]
fn only_suites_that_were_named_are_taken() {
    for suite in ["TLS13_AES_128_GCM_SHA256", "TLS13_CHACHA20_POLY1305_SHA256"] {
        let mut near = Near::with(server().cipher_suites(&[suite]));
        let (_far, id) = near.client();
        assert_eq!(near.hub().tls(id).unwrap().cipher_suite, suite);
        let error = refusal_of_1_2(&mut near);
        assert!(matches!(error, Error::AlertReceived(_)), "{error:?}");

        let client = trusting().cipher_suites(&[suite]);
        let (mut far, id) = near.dial_as(server_config(), |dial| {
            dial.tls(&client, "localhost").unwrap()
        });
        near.both(&mut far, "the handshake", |near, _| {
            near.world.opened().contains(&id)
        });
        assert_eq!(near.hub().tls(id).unwrap().cipher_suite, suite);
    }
}

/// Suites of 1.3 are none for a client of 1.2.
fn refusal_of_1_2(near: &mut Near) -> Error {
    let mut far = near.stranger(client_of(VERSIONS[0], None));
    near.both(&mut far, "an alert", |_, far| far.error.is_some());
    far.error.unwrap()
}

#[test]
fn the_name_that_is_asked_for_chooses_the_certificate() {
    let signed = |name: &str| CERTS.authority.sign(&name.replace('*', "wild"), &[name]);
    let (wild, exact) = (signed("*.example.org"), signed("www.example.org"));
    let server = server()
        .name("*.Example.ORG", &wild.cert, &wild.key)
        .unwrap()
        .name("WWW.example.org", &exact.cert, &exact.key)
        .unwrap();
    let mut near = Near::with(server);
    let mut anybody = client_config();
    anybody
        .dangerous()
        .set_certificate_verifier(Arc::new(Anybody));
    let anybody = Arc::new(anybody);
    for (name, expected) in [
        ("www.example.org", &exact),
        ("a.example.org", &wild),
        ("WwW.eXample.org", &exact),
        ("localhost", &CERTS.server),
        // For these there is none, so they get the usual one.
        ("a.b.example.org", &CERTS.server),
        ("example.org", &CERTS.server),
        ("org", &CERTS.server),
        ("other.example", &CERTS.server),
        ("127.0.0.1", &CERTS.server),
    ] {
        let (far, id) = near.open_to(&anybody, name);
        let shown = far.tls.peer_certificates().unwrap();
        assert_eq!(shown, expected.chain(), "{name}");
        let asked = near.hub().tls(id).unwrap().server_name;
        let is_name = name.parse::<std::net::IpAddr>().is_err();
        let expected = is_name.then(|| name.to_ascii_lowercase());
        assert_eq!(asked, expected);
    }
}

/// For the far end to look at certificates itself.
#[derive(Debug)]
struct Anybody;

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        let provider = rustls::crypto::ring::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn speaking(protocols: &[&str]) -> ClientConfig {
    let mut config = client_config();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().into())
        .collect();
    config
}

#[test]
fn a_protocol_is_agreed_on_or_the_client_refused() {
    let mut near = Near::with(server().alpn(&["h2", "http/1.1"]));
    for (offered, expected) in [
        (&["http/1.1", "h2"][..], Some("h2")),
        (&["ftp", "http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let (far, id) = near.open(speaking(offered));
        let expected = expected.map(str::as_bytes);
        assert_eq!(far.tls.alpn_protocol(), expected);
        assert_eq!(near.hub().tls(id).unwrap().alpn.as_deref(), expected);
    }
    let mut near = Near::with(server().alpn(&["h2"]));
    let alert = AlertDescription::NoApplicationProtocol;
    let error = refusal(&mut near, speaking(&["ftp"]));
    assert_eq!(error, Error::AlertReceived(alert));
    // A server that names none does not care.
    let mut near = Near::new();
    let (_far, id) = near.open(speaking(&["ftp"]));
    assert_eq!(near.hub().tls(id).unwrap().alpn, None);
}

#[test]
fn a_dial_offers_protocols() {
    let mut near = Near::new();
    let client = trusting().alpn(&["a", "b"]);
    let mut config = server_config();
    config.alpn_protocols = vec![b"b".to_vec()];
    let (mut far, id) = near.dial_as(config, |dial| dial.tls(&client, "localhost").unwrap());
    near.both(&mut far, "the handshake", |near, _| {
        near.world.opened().contains(&id)
    });
    let agreed = near.hub().tls(id).unwrap().alpn;
    assert_eq!(agreed.as_deref(), Some(&b"b"[..]));
}

/// Hears the ticket that follows a handshake.
fn hear(near: &mut Near, far: &mut Far) {
    near.rest_with(far);
}

#[test]
fn a_session_goes_on_with_a_ticket() {
    for versions in VERSIONS {
        let mut near = Near::new();
        let config = Arc::new(client_of(versions, None));
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let (mut far, id) = near.open_to(&config, "localhost");
            hear(&mut near, &mut far);
            kinds.extend(far.tls.handshake_kind());
            assert!(near.hub().info(id).unwrap().secure);
            let info = near.hub().tls(id).unwrap();
            assert_eq!(info.server_name.as_deref(), Some("localhost"));
            assert_eq!(info.resumed, kinds.len() > 1);
        }
        let resumed = HandshakeKind::Resumed;
        assert_eq!(kinds, [HandshakeKind::Full, resumed, resumed]);
    }
}

#[test]
fn dials_of_one_client_share_their_sessions() {
    for versions in VERSIONS {
        let mut near = Near::new();
        let mut config = server_of(versions, &CERTS.server);
        config.send_tls13_tickets = 2;
        let (config, client) = (Arc::new(config), trusting());
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let (mut far, id) = near.dial_as(Arc::unwrap_or_clone(Arc::clone(&config)), |dial| {
                dial.tls(&client, "localhost").unwrap()
            });
            near.both(&mut far, "the handshake", |near, _| {
                near.world.opened().contains(&id)
            });
            hear(&mut near, &mut far);
            kinds.extend(far.tls.handshake_kind());
            let info = near.hub().tls(id).unwrap();
            let seen = info.peer_certificates;
            assert_eq!(seen, [CERTS.server.chain()[0].to_vec()], "resumed or not");
            assert_eq!(info.resumed, kinds.len() > 1);
        }
        let resumed = HandshakeKind::Resumed;
        assert_eq!(kinds, [HandshakeKind::Full, resumed, resumed]);
    }
}

/// A ticket of another client's would be shown to a server by which it could be traced.
#[test]
fn a_client_that_was_changed_shares_nothing_with_what_it_was() {
    let mut near = Near::new();
    let config = server_config();
    let client = trusting();
    for client in [client.clone(), client.alpn(&["x"])] {
        let (mut far, id) = near.dial_as(config.clone(), |dial| {
            dial.tls(&client, "localhost").unwrap()
        });
        near.both(&mut far, "the handshake", |near, _| {
            near.world.opened().contains(&id)
        });
        hear(&mut near, &mut far);
        assert_eq!(far.tls.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[test]
fn both_of_our_own_sides_agree() {
    let mut near = Near::with(server().alpn(&["x"]));
    let address = near.address();
    let dial = Dial::tcp(address).tls(&trusting().alpn(&["y", "x"]), "localhost");
    let (id, served) = near.pair(dial.unwrap());
    let (ours, theirs) = (near.hub().tls(id).unwrap(), near.hub().tls(served).unwrap());
    assert_eq!(
        (ours.version, ours.cipher_suite),
        (theirs.version, theirs.cipher_suite)
    );
    assert_eq!(ours.alpn.as_deref(), Some(&b"x"[..]));
    assert_eq!(
        (ours.alpn, ours.server_name),
        (theirs.alpn, theirs.server_name)
    );
}
