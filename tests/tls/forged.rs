//! Records that only somebody who holds the keys can make: what no library lets a peer say.

use std::net::Shutdown;

use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::crypto::ring::cipher_suite::TLS13_AES_256_GCM_SHA384;
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion};
use switchboard::{CloseReason, ConnId, Sent};

use crate::far::{Far, VERSIONS, client_of, post};
use crate::near::{Near, echo};

/// Half of a KeyUpdate, and the whole of it: RFC 8446, section 4.6.3.
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// The far end's keys, to make records with.
struct Forger {
    keys: Box<dyn MessageEncrypter>,
    number: u64,
}

impl Forger {
    /// Of a client that is done with its handshake, and its stream.
    fn of(far: Far) -> (Self, std::net::TcpStream) {
        let secrets = far.tls.dangerous_extract_secrets().unwrap();
        let (number, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else {
            panic!("another cipher suite");
        };
        let suite = TLS13_AES_256_GCM_SHA384.tls13().unwrap();
        let keys = suite.aead_alg.encrypter(key, iv);
        (Self { keys, number }, far.stream)
    }

    fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let plain = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(payload),
        };
        self.number += 1;
        let record = self.keys.encrypt(plain, self.number - 1);
        record.unwrap().encode()
    }
}

/// What came before such a record is answered, if at all, before the alert; and what is left of it
/// is looked at no more.
#[test]
fn tls9_records_against_the_rules_cost_their_connection_only() {
    let twice = [KEY_UPDATE, KEY_UPDATE].concat();
    let cases: [&[(ContentType, &[u8])]; 4] = [
        &[(ContentType::Handshake, &twice)],
        &[
            (ContentType::Handshake, &KEY_UPDATE[..3]),
            (ContentType::ApplicationData, b"between"),
        ],
        &[(ContentType::Handshake, &[99, 0, 0, 0])],
        &[(ContentType::ApplicationData, &[0; 17_000])],
    ];
    let mut near = Near::new();
    near.world.on_data = Some(Box::new(echo));
    let (mut witness, _) = near.client();
    for forged in cases {
        let mut config = client_of(VERSIONS[1], None);
        config.enable_secret_extraction = true;
        let (far, id) = near.open(config);
        let (mut forger, stream) = Forger::of(far);
        let mut records = forger.record(ContentType::ApplicationData, b"hello");
        for (kind, payload) in forged {
            records.append(&mut forger.record(*kind, payload));
        }
        post(&stream, &records);
        near.turns("the end of the connection", |near| {
            let _ = stream.shutdown(Shutdown::Write);
            near.reason(id).is_some()
        });
        assert_eq!(near.reason(id), Some(CloseReason::Tls));
        near.assert_echoes(&mut witness);
    }
}

/// A record that nobody has the keys of, behind one in good order.
fn broken(far: &mut Far) -> Vec<u8> {
    let mut bytes = far.records(b"GET");
    bytes.extend_from_slice(b"\x17\x03\x03\x00\x20");
    bytes.extend_from_slice(&[7; 32]);
    bytes
}

/// The error ends the connection.
fn assert_told(near: &mut Near, far: &Far, id: ConnId) {
    near.rest();
    far.stream.shutdown(Shutdown::Write).unwrap();
    near.turns("the end", |near| near.reason(id).is_some());
    assert_eq!(near.reason(id), Some(CloseReason::Tls));
}

/// They are given to the driver once, and not for as long as there is an error behind them.
#[test]
fn tls9_a_bad_record_behind_bytes_that_wait_for_more_is_told() {
    let mut near = Near::new();
    let mut calls = 0;
    near.world.on_data = Some(Box::new(move |_, _, _| {
        calls += 1;
        assert!(calls < 100, "the loop does not go on");
        0
    }));
    let (mut far, id) = near.client();
    let bytes = broken(&mut far);
    post(&far.stream, &bytes);
    assert_told(&mut near, &far, id);
}

#[test]
fn tls9_a_bad_record_behind_a_pause_is_told_when_that_has_ended() {
    let mut near = Near::new();
    near.world.on_data = Some(Box::new(|hub, id, _| {
        hub.pause(id);
        0
    }));
    let (mut far, id) = near.client();
    let bytes = broken(&mut far);
    post(&far.stream, &bytes);
    near.rest();
    for _ in 0..3 {
        near.hub().resume(id);
        near.rest();
        assert_eq!(near.reason(id), None);
    }
    near.world.on_data = Some(Box::new(|_, _, data| data.len()));
    near.hub().resume(id);
    assert_told(&mut near, &far, id);
}

/// The bytes before it are told, when nothing can be said any more: who sends until it is told not
/// to must not go on for ever.
#[test]
fn tls9_behind_a_bad_record_no_send_is_taken() {
    let mut near = Near::new();
    near.world.on_data = Some(Box::new(|hub, id, data| {
        assert_eq!(hub.send(id, b"an answer"), Sent::Closed);
        assert!(!hub.accepts_sends(id));
        data.len()
    }));
    let (mut far, id) = near.client();
    let bytes = broken(&mut far);
    post(&far.stream, &bytes);
    assert_told(&mut near, &far, id);
}
