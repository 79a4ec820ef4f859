//! Files that change while they are served.

use std::fs;
use std::io::Write;

use crate::mounts::Site;
use crate::served::{End, request};
use crate::support::pattern;

const LARGE: u64 = 64 << 20;

#[test]
fn files_come_and_go_between_requests() {
    let mut site = Site::new();
    for text in ["one", "two and more", ""] {
        assert_eq!(site.status("/files/a/b.txt"), 404);
        site.folder.file("a/b.txt", text);
        assert_eq!(site.get("/files/a/b.txt", "").text(), text);
        fs::remove_dir_all(site.folder.path("a")).unwrap();
    }
    assert_eq!(site.status("/files/a/b.txt"), 404);
}

#[test]
fn a_folder_that_has_gone_altogether_is_nothing() {
    let mut site = Site::new();
    site.folder.file("a.txt", "x");
    fs::remove_dir_all(site.folder.path("")).unwrap();
    assert_eq!(site.status("/files/a.txt"), 404);
    assert_eq!(site.status("/files/"), 404);
}

/// Its length has been told: that this is not all of it, only a reset can say.
#[test]
fn a_file_that_shrinks_on_its_way_is_cut_off_and_others_are_not() {
    let mut site = Site::new();
    let file = site.folder.zeros("large", LARGE);
    site.folder.file("other", pattern(16 << 20));
    let (mut client, _) = site.slow("/files/large");
    let (mut bystander, _) = site.slow("/files/other");
    file.set_len(1 << 20).unwrap();
    let (received, end) = site.served.read_to_end(&mut client);
    assert_eq!(end, End::Reset);
    assert!((received.len() as u64) < LARGE);
    let aborted = site.served.app.aborted;
    assert_eq!(aborted, 1);
    let other = site.served.read_answer(&mut bystander);
    assert!(other.body == pattern(16 << 20));
    assert_eq!(site.get("/files/other", "").status, 200);
    let now = site.head("/files/large", "");
    assert_eq!(now.field("content-length"), Some("1048576"));
}

#[test]
fn of_a_file_that_grows_what_was_promised_comes() {
    let mut site = Site::new();
    let length = 16 << 20;
    let mut file = site.folder.zeros("growing", length);
    site.folder.file("next", "next");
    let (mut client, _) = site.slow("/files/growing");
    file.write_all(&pattern(1_000)).unwrap();
    file.set_len(2 * length).unwrap();
    let first = site.served.read_answer(&mut client);
    assert_eq!(first.body.len() as u64, length);
    // And the connection goes on.
    site.served
        .write(&mut client, &request("GET /files/next", "", ""));
    assert_eq!(site.served.read_answer(&mut client).text(), "next");
}

#[test]
fn a_file_that_is_replaced_comes_as_it_was() {
    let mut site = Site::new();
    let old = pattern(16 << 20);
    site.folder.file("a", &old);
    let (mut client, _) = site.slow("/files/a");
    site.folder.file("b", "new");
    fs::rename(site.folder.path("b"), site.folder.path("a")).unwrap();
    assert_eq!(site.get("/files/a", "").text(), "new");
    assert!(site.served.read_answer(&mut client).body == old);
    let (mut client, _) = site.slow_of(&old);
    fs::remove_file(site.folder.path("a")).unwrap();
    assert_eq!(site.status("/files/a"), 404);
    assert!(site.served.read_answer(&mut client).body == old);
}

impl Site {
    /// A client that takes its time over `/files/a`, whose content is put there first.
    fn slow_of(&mut self, content: &[u8]) -> (std::net::TcpStream, switchboard::ConnId) {
        self.folder.file("a", content);
        self.slow("/files/a")
    }
}
