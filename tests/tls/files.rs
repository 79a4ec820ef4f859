//! What is said of files that are not what they should be.

use std::io::{Error, ErrorKind};
use std::path::Path;

use switchboard::Dial;
use switchboard::tls::{Client, ClientAuth, Server};

use crate::certs::{CERTS, file, folder, self_signed};
use crate::near::{server, trusting};

/// As PKCS #8 has it, and as OpenSSL once had it.
const ENCRYPTED: [&str; 2] = [
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAg=\n-----END ENCRYPTED PRIVATE KEY-----\n",
    "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A0B0C0D0E0F0A0B0C0D0E0F0A0B0C0D\n\nMIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAg=\n-----END EC PRIVATE KEY-----\n",
];

/// The error begins with the path and says this.
fn assert_says(result: Result<(), Error>, path: &Path, words: &[&str]) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

/// Each way by which a chain and its key are read.
fn with_pair(cert: &Path, key: &Path) -> [Result<(), Error>; 3] {
    [
        Server::files(cert, key).map(drop),
        server().name("a.example", cert, key).map(drop),
        trusting().identity(cert, key).map(drop),
    ]
}

/// Each way by which authorities are read.
fn with_authorities(path: &Path) -> [Result<(), Error>; 2] {
    [
        Client::authorities(path).map(drop),
        server().client_auth(path, ClientAuth::Optional).map(drop),
    ]
}

#[test]
fn a_file_that_is_missing_is_named() {
    let missing = folder().join("missing.pem");
    let (cert, key) = (&CERTS.server.cert, &CERTS.server.key);
    let results = with_pair(&missing, key)
        .into_iter()
        .chain(with_pair(cert, &missing))
        .chain(with_authorities(&missing));
    for result in results {
        let kind = result.as_ref().unwrap_err().kind();
        assert_eq!(kind, ErrorKind::NotFound);
        assert_says(result, &missing, &["cannot read"]);
    }
    for result in with_authorities(&folder()) {
        assert_says(result, &folder(), &["cannot read"]);
    }
}

#[test]
fn a_file_without_certificates_is_named_and_what_is_wanted() {
    let empty = file("empty.pem", "");
    let wrong = file("no-certificate.pem", "hello\n");
    for path in [&empty, &wrong, &CERTS.server.key] {
        let results = with_pair(path, &CERTS.server.key);
        for result in results.into_iter().chain(with_authorities(path)) {
            assert_says(result, path, &["has no certificate", "BEGIN CERTIFICATE"]);
        }
    }
}

#[test]
fn a_file_that_is_no_pem_is_named() {
    let broken = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    let broken = file("broken.pem", broken);
    let cut = "-----BEGIN CERTIFICATE-----\nMIHs\n";
    let cut = file("cut.pem", cut);
    for path in [&broken, &cut] {
        for result in with_authorities(path) {
            assert_says(result, path, &["is no PEM file"]);
        }
    }
    // Proper PEM of what is no certificate.
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let nonsense = file("nonsense.pem", nonsense);
    for result in with_authorities(&nonsense) {
        assert_says(result, &nonsense, &["certificate"]);
    }
    let server = Server::files(&nonsense, &CERTS.server.key);
    assert_says(server.map(drop), &nonsense, &[]);
}

#[test]
fn a_file_without_a_key_is_named_and_what_is_wanted() {
    let empty = file("empty.key", "");
    for path in [&empty, &CERTS.server.cert] {
        for result in with_pair(&CERTS.server.cert, path) {
            assert_says(result, path, &["has no private key", "BEGIN PRIVATE KEY"]);
        }
    }
}

#[test]
fn a_key_that_is_encrypted_is_named_and_how_it_is_decrypted() {
    for (number, text) in ENCRYPTED.into_iter().enumerate() {
        let path = file(&format!("encrypted-{number}.key"), text);
        for result in with_pair(&CERTS.server.cert, &path) {
            let command = format!("openssl pkey -in {}", path.display());
            assert_says(result, &path, &["is encrypted", &command]);
        }
    }
}

#[test]
fn a_key_of_another_certificate_is_named_with_both_files() {
    let (cert, key) = (&CERTS.server.cert, &CERTS.member.key);
    for result in with_pair(cert, key) {
        let cert = cert.display().to_string();
        assert_says(result, key, &["does not go with", &cert]);
    }
}

/// What does not fit together is told where it is put together, and not by the first client.
#[test]
fn cipher_suites_that_there_are_not_are_named() {
    let name = "TLS_RSA_WITH_RC4_128_MD5";
    let mut near = crate::near::Near::new();
    let driver = near.driver;
    let listen = crate::near::listen(server().cipher_suites(&[name]));
    let error = near.reactor.listen(listen, driver).unwrap_err();
    let expected = format!("`{name}` is no cipher suite; there are TLS13_AES_256_GCM_SHA384, ");
    assert!(error.to_string().starts_with(&expected), "{error}");
    let client = trusting().cipher_suites(&[name]);
    let error = Dial::tcp("127.0.0.1:1").tls(&client, "a").unwrap_err();
    assert!(error.to_string().starts_with(&expected), "{error}");
    // A suite of one version, where only the other one is spoken.
    let server = server()
        .min_version(switchboard::tls::Version::Tls13)
        .cipher_suites(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]);
    let listen = crate::near::listen(server);
    let error = near.reactor.listen(listen, driver).unwrap_err();
    assert!(error.to_string().starts_with("TLS: "), "{error}");
}

/// Whatever is in front of a certificate does not matter, as OpenSSL writes it out in words.
#[test]
fn words_around_a_certificate_are_ignored() {
    let pair = self_signed("worded", &["localhost"]);
    let pem = std::fs::read_to_string(&pair.cert).unwrap();
    let worded = file(
        "words.pem",
        &format!("Certificate:\n    Data:\n{pem}\nbye\n"),
    );
    Server::files(&worded, &pair.key).unwrap();
    Client::authorities(&worded).unwrap();
}
