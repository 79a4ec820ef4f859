//! How a file on its way ends: by its client, by its end, or by that of the server.

use std::net::Shutdown;

use switchboard::Hub;

use crate::alone::alone;
use crate::mounts::Site;
use crate::served::{End, SECOND, request};
use crate::support::{descriptors, pattern, reset};

/// The body of what was received, which is one answer of a file.
fn body(received: &[u8]) -> &[u8] {
    let head = received.windows(4).position(|end| end == b"\r\n\r\n");
    &received[head.unwrap() + 4..]
}

#[test]
fn a_client_that_goes_frees_the_file() {
    alone(256, || {
        let mut site = Site::new();
        site.folder.zeros("large", 1 << 30);
        let free = |site: &mut Site, expected| {
            let text = format!("{expected} descriptors");
            site.served.turns(&text, |_| descriptors() == expected);
        };
        let before = descriptors();
        for leave in [drop, reset] {
            let clients: Vec<_> = (0..10).map(|_| site.slow("/files/large").0).collect();
            // Each has two sockets here, and its file.
            free(&mut site, before + 30);
            clients.into_iter().for_each(leave);
            free(&mut site, before);
            site.served.assert_nothing_left();
        }
        assert_eq!(site.served.app.aborted, 20);
    });
}

#[test]
fn a_client_that_goes_before_its_file_is_found_frees_it() {
    alone(256, || {
        let mut site = Site::new();
        site.folder.zeros("large", 1 << 30);
        let before = descriptors();
        for round in 0..50 {
            let mut client = site.served.connect();
            site.served
                .write(&mut client, &request("GET /files/large", "", ""));
            match round % 2 {
                0 => drop(client),
                _ => reset(client),
            }
            site.served.turn();
        }
        site.served.assert_nothing_left();
        site.served
            .turns("the descriptors to be free", |_| descriptors() <= before);
    });
}

#[test]
fn a_client_that_has_finished_sending_gets_its_file() {
    let mut site = Site::new();
    let content = pattern(16 << 20);
    site.folder.file("large", &content);
    let (mut client, _) = site.slow("/files/large");
    client.shutdown(Shutdown::Write).unwrap();
    site.served.rest();
    let (received, end) = site.served.read_to_end(&mut client);
    assert_eq!(end, End::Fin);
    assert!(body(&received) == content);
    site.served.assert_nothing_left();
    assert_eq!(site.served.app.aborted, 0);
}

#[test]
fn a_file_on_its_way_arrives_though_the_server_stops() {
    let mut site = Site::new();
    let content = pattern(16 << 20);
    site.folder.file("large", &content);
    let (mut client, id) = site.slow("/files/large");
    let mut idle = site.served.connect();
    Hub::shutdown(site.served.hub(), 10 * SECOND);
    site.served.rest();
    assert_eq!(site.served.peek(&mut idle), (Vec::new(), Some(End::Fin)));
    assert!(site.served.hub().is_open(id));
    let (received, end) = site.served.read_to_end(&mut client);
    assert_eq!(end, End::Fin);
    assert!(body(&received) == content);
    drop((client, idle));
    site.served.assert_nothing_left();
}

#[test]
fn a_file_that_is_being_looked_for_arrives_though_the_server_stops() {
    let mut site = Site::new();
    site.folder.file("small", "small");
    let mut client = site.served.connect();
    site.served
        .write(&mut client, &request("GET /files/small", "", ""));
    Hub::shutdown(site.served.hub(), 10 * SECOND);
    let answer = site.served.read_answer_and_end(&mut client);
    assert_eq!((answer.status, answer.text()), (200, "small"));
}

#[test]
fn a_file_that_takes_longer_than_the_server_has_is_cut_off() {
    let mut site = Site::new();
    site.folder.zeros("large", 64 << 20);
    let (mut client, _) = site.slow("/files/large");
    Hub::shutdown(site.served.hub(), 2 * SECOND);
    site.served.rest();
    site.served.advance(3 * SECOND);
    let (received, end) = site.served.read_to_end(&mut client);
    assert_eq!(end, End::Reset);
    assert!(body(&received).len() < 64 << 20);
    assert_eq!(site.served.app.aborted, 1);
}
