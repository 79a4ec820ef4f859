//! Asking for what one has already.

use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::answer::Answer;
use crate::mounts::Site;
use crate::support::pattern;

/// 6 November 1994, 08:49:37, and some of the second that follows.
fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_250)
}

/// A file from then.
fn site(name: &str, length: usize) -> Site {
    let site = Site::new();
    site.folder.file(name, pattern(length));
    File::options()
        .write(true)
        .open(site.folder.path(name))
        .and_then(|file| file.set_modified(at()))
        .unwrap();
    site
}

fn statuses(site: &mut Site, path: &str, conditions: &[(String, u16)]) {
    for (fields, status) in conditions {
        let answer = site.get(path, &format!("{fields}\r\n"));
        assert_eq!(answer.status, *status, "{fields}");
        if *status == 304 {
            assert_nothing_but(&answer);
        }
    }
}

/// Of a 304, what a cache needs and no more.
fn assert_nothing_but(answer: &Answer) {
    assert!(answer.body.is_empty());
    let names = answer.fields.iter().map(|(name, _)| &name[..]);
    let unexpected: Vec<_> = names
        .filter(|name| {
            !matches!(
                *name,
                "etag" | "last-modified" | "vary" | "connection" | "content-length"
            )
        })
        .collect();
    assert_eq!(unexpected, [""; 0]);
    assert!(answer.field("etag").is_some());
}

#[test]
fn a_known_tag_is_not_sent_again() {
    for (name, length) in [("a.bin", 10), ("a.txt", 10), ("a.bin", 200_000)] {
        let mut site = site(name, length);
        let path = format!("/files/{name}");
        let tag = site.get(&path, "").field("etag").unwrap().to_owned();
        let bare = tag.trim_start_matches("W/").to_owned();
        let conditions = [
            (format!("If-None-Match: {tag}"), 304),
            (format!("If-None-Match: {bare}"), 304),
            (format!("If-None-Match: W/{bare}"), 304),
            (format!("If-None-Match: \"a\", {tag} , \"b\""), 304),
            ("If-None-Match: *".to_owned(), 304),
            ("If-None-Match: \"other\"".to_owned(), 200),
            (format!("If-None-Match: {}", bare.trim_matches('"')), 200),
            ("If-None-Match:".to_owned(), 200),
        ];
        statuses(&mut site, &path, &conditions);
        let known = format!("If-None-Match: {tag}\r\n");
        assert_eq!(site.head(&path, &known).status, 304);
        site.served.assert_nothing_left();
    }
}

#[test]
fn what_has_not_changed_since_is_not_sent_again() {
    let mut site = site("a", 10);
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(site.get("/files/a", "").field("last-modified"), Some(date));
    let since = |date: &str| format!("If-Modified-Since: {date}");
    let conditions = [
        (since(date), 304),
        (since("Sun, 06 Nov 1994 08:49:38 GMT"), 304),
        (since("Sunday, 06-Nov-94 08:49:37 GMT"), 304),
        (since("Sun Nov  6 08:49:37 1994"), 304),
        (since("Sun, 06 Nov 1994 08:49:36 GMT"), 200),
        (since("yesterday"), 200),
        (since(""), 200),
        // The tag is the better witness: the date does not count beside it.
        (format!("{}\r\nIf-None-Match: \"other\"", since(date)), 200),
        (
            format!(
                "{}\r\nIf-None-Match: *",
                since("Sun, 06 Nov 1994 08:49:36 GMT")
            ),
            304,
        ),
    ];
    statuses(&mut site, "/files/a", &conditions);
}

#[test]
fn a_change_changes_the_tag() {
    let mut site = site("a", 10);
    let mut tags = Vec::new();
    let mut tag = |site: &mut Site| {
        let tag = site.get("/files/a", "").field("etag").unwrap().to_owned();
        assert!(!tags.contains(&tag), "{tag}");
        tags.push(tag);
    };
    tag(&mut site);
    let file = File::options()
        .write(true)
        .open(site.folder.path("a"))
        .unwrap();
    // The same length, later, within the second.
    file.set_modified(at() + Duration::from_millis(1)).unwrap();
    tag(&mut site);
    // The same time, another length.
    file.set_len(9).unwrap();
    file.set_modified(at()).unwrap();
    tag(&mut site);
}

/// Such as unpacked archives have that were made without dates.
#[test]
fn a_file_from_before_anybody_counted_seconds_is_a_file() {
    let mut site = site("a", 10);
    let file = File::options()
        .write(true)
        .open(site.folder.path("a"))
        .unwrap();
    for modified in [
        SystemTime::UNIX_EPOCH,
        SystemTime::UNIX_EPOCH - Duration::from_secs(3_600),
        SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33),
    ] {
        file.set_modified(modified).unwrap();
        assert_eq!(site.get("/files/a", "").status, 200, "{modified:?}");
        let since = "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
        assert!(matches!(site.get("/files/a", since).status, 200 | 304));
    }
}
