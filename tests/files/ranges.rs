//! Parts of files.

use crate::mounts::Site;
use crate::support::pattern;

/// What is asked for, and which part comes.
fn parts(site: &mut Site, length: usize, asked: &[(&str, std::ops::Range<usize>)]) {
    let whole = pattern(length);
    for (range, part) in asked {
        let answer = site.get("/files/a.bin", &format!("Range: bytes={range}\r\n"));
        assert_eq!(answer.status, 206, "{range}");
        let content = format!("bytes {}-{}/{length}", part.start, part.end - 1);
        assert_eq!(answer.field("content-range"), Some(&*content), "{range}");
        assert_eq!(
            answer.field("content-length"),
            Some(&*part.len().to_string())
        );
        assert!(answer.body == whole[part.clone()], "{range}");
    }
}

#[test]
fn parts_of_a_small_file() {
    let mut site = Site::new();
    site.folder.file("a.bin", pattern(1_000));
    let asked = [
        ("0-0", 0..1),
        ("0-999", 0..1_000),
        ("0-", 0..1_000),
        ("999-", 999..1_000),
        ("10-19", 10..20),
        ("10-99999999999999999999999", 10..1_000),
        ("-1", 999..1_000),
        ("-1000", 0..1_000),
        ("-5000", 0..1_000),
        (" 5-9", 5..10),
    ];
    parts(&mut site, 1_000, &asked);
    site.served.assert_nothing_left();
}

#[test]
fn parts_of_a_large_file_across_its_pieces() {
    let mut site = Site::new();
    site.folder.file("a.bin", pattern(1_000_000));
    let asked = [
        ("0-", 0..1_000_000),
        ("131071-131072", 131_071..131_073),
        ("1-262144", 1..262_145),
        ("100000-900000", 100_000..900_001),
        ("-400000", 600_000..1_000_000),
    ];
    parts(&mut site, 1_000_000, &asked);
    site.served.assert_nothing_left();
}

#[test]
fn a_part_beyond_four_gibibytes() {
    let mut site = Site::new();
    let length = 5 << 30;
    site.folder.zeros("huge", length);
    std::os::unix::fs::FileExt::write_at(
        &std::fs::File::options()
            .write(true)
            .open(site.folder.path("huge"))
            .unwrap(),
        b"the end",
        length - 7,
    )
    .unwrap();
    let answer = site.get("/files/huge", &format!("Range: bytes={}-\r\n", length - 7));
    assert_eq!((answer.status, answer.text()), (206, "the end"));
    assert_eq!(
        site.get("/files/huge", "Range: bytes=-7\r\n").text(),
        "the end"
    );
}

#[test]
fn behind_the_end_there_is_nothing() {
    let mut site = Site::new();
    site.folder.file("a.bin", pattern(1_000));
    for range in ["1000-", "1000-2000", "99999999999999999999-", "-0"] {
        let answer = site.get("/files/a.bin", &format!("Range: bytes={range}\r\n"));
        assert_eq!(answer.status, 416, "{range}");
        assert_eq!(answer.field("content-range"), Some("bytes */1000"));
    }
}

#[test]
fn what_is_no_range_is_no_range() {
    let mut site = Site::new();
    site.folder.file("a.bin", pattern(1_000));
    for range in [
        "bytes=5-4",
        "bytes=-",
        "bytes=a-b",
        "bytes=0x1-2",
        "bytes=--1",
        "bytes=0-1,5-6",
        "bytes",
        "bytes=",
        "lines=0-1",
        "0-1",
    ] {
        let answer = site.get("/files/a.bin", &format!("Range: {range}\r\n"));
        assert_eq!((answer.status, answer.body.len()), (200, 1_000), "{range}");
        assert_eq!(answer.field("content-range"), None);
    }
    let head = site.head("/files/a.bin", "Range: bytes=0-1\r\n");
    assert_eq!(
        (head.status, head.field("content-length")),
        (200, Some("1000"))
    );
}

#[test]
fn if_range_is_for_a_file_that_is_still_the_same() {
    let mut site = Site::new();
    site.folder.file("a.bin", pattern(1_000));
    let whole = site.get("/files/a.bin", "");
    let (tag, date) = (
        whole.field("etag").unwrap(),
        whole.field("last-modified").unwrap(),
    );
    let weak = format!("W/{tag}");
    for (known, status) in [
        (tag, 206),
        (date, 206),
        (&*weak, 200),
        ("\"other\"", 200),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 200),
        ("nonsense", 200),
    ] {
        let fields = format!("Range: bytes=1-2\r\nIf-Range: {known}\r\n");
        assert_eq!(site.get("/files/a.bin", &fields).status, status, "{known}");
    }
    // Who has it needs no part of it either.
    let fields = format!("Range: bytes=1-2\r\nIf-None-Match: {tag}\r\n");
    assert_eq!(site.get("/files/a.bin", &fields).status, 304);
}
