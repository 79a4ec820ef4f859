//! Clients that take their time.

use crate::alone::alone;
use crate::mounts::Site;
use crate::served::{SECOND, request};
use crate::support::{pattern, resident};

/// What may wait for one client: what is read at a time, behind what may be left of the last before
/// the client counts as slow.
const MOST: usize = (128 + 64) * 1024;

#[test]
fn a_slow_client_has_one_piece_waiting_and_gets_all() {
    let mut site = Site::new();
    let content = pattern(16 << 20);
    site.folder.file("large", &content);
    let (mut client, id) = site.slow("/files/large");
    let (mut most, mut received) = (0, Vec::new());
    let mut buffer = vec![0; 64 * 1024];
    site.served.turns("all of it", |served| {
        use std::io::Read;
        most = most.max(served.hub().backlog(id));
        if let Ok(read) = client.read(&mut buffer) {
            received.extend_from_slice(&buffer[..read]);
        }
        received.ends_with(&content[content.len() - 64..]) && received.len() > content.len()
    });
    assert!(received.ends_with(&content));
    assert!(most <= MOST, "{most} bytes waited");
}

#[test]
fn many_slow_clients_of_a_large_file_take_little_memory() {
    alone(256, || {
        let mut site = Site::new();
        site.folder.zeros("large", 1 << 30);
        site.folder.file("small", "small");
        let before = resident();
        let clients: Vec<_> = (0..24).map(|_| site.slow("/files/large")).collect();
        for _ in 0..20 {
            site.served.rest();
            for (_, id) in &clients {
                let backlog = site.served.hub().backlog(*id);
                assert!(backlog <= MOST, "{backlog} bytes wait");
            }
        }
        let more = resident().saturating_sub(before);
        assert!(more < 24 * 2 * MOST + (8 << 20), "{more} bytes more");
        // They keep nobody else waiting.
        assert_eq!(site.get("/files/small", "").text(), "small");
    });
}

#[test]
fn a_client_that_takes_nothing_is_reset_in_time() {
    let mut site = Site::new();
    site.folder.zeros("large", 64 << 20);
    let (_client, id) = site.slow("/files/large");
    let mut seconds = 0;
    while site.served.hub().is_open(id) {
        site.served.advance(SECOND);
        seconds += 1;
        assert!(seconds <= 21, "it is still there");
    }
    // What the kernel takes counts as taken in the first window.
    assert!(seconds >= 10, "after {seconds} s");
    assert_eq!(site.served.app.aborted, 1);
    site.served.assert_nothing_left();
}

#[test]
fn files_asked_for_in_a_row_come_in_their_order() {
    let mut site = Site::new();
    let large = pattern(1 << 20);
    site.folder.file("large", &large);
    site.folder.file("small", "small");
    let mut asked = Vec::new();
    for line in [
        "GET /files/large",
        "GET /files/small",
        "HEAD /files/large",
        "GET /files/none",
        "GET /files/large",
        "HEAD /files/small",
        "GET /files/small",
    ] {
        asked.extend(request(line, "", ""));
    }
    let received = site.served.ask_raw(asked);
    let answers = crate::answer::answers_to(&received, &[2, 5]);
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 200, 404, 200, 200, 200]);
    assert!(answers[0].body == large && answers[4].body == large);
    assert_eq!((answers[1].text(), answers[6].text()), ("small", "small"));
    site.served.assert_nothing_left();
}
