//! Payloads of the kinds by which real servers were found to disagree with real proxies, as the
//! HTTP Garden has collected them: each is refused, or read in the one way that is legal.

use crate::corpus::{CHUNKS, CODINGS, LINE_ENDS, NAMES, NULS, NUMBERS, SPACES};
use crate::served::{Served, request};

/// Refused with 400, however it goes on.
fn assert_bad(served: &mut Served, payloads: &[&[u8]]) {
    for payload in payloads {
        let text = payload.escape_ascii().to_string();
        assert_eq!(served.refusal(payload), 400, "{text}");
        assert_eq!(served.app.seen, [""; 0], "{text}");
    }
    served.assert_nothing_left();
}

#[test]
fn h08_line_ends_are_cr_lf_and_nothing_else() {
    assert_bad(&mut Served::new(), LINE_ENDS);
}

#[test]
fn h08_a_nul_has_no_place_anywhere_in_a_head() {
    assert_bad(&mut Served::new(), NULS);
}

#[test]
fn h08_names_of_fields_are_tokens_and_lines_are_not_continued() {
    assert_bad(&mut Served::new(), NAMES);
}

#[test]
fn h08_only_space_and_tab_are_white_space_around_a_value() {
    assert_bad(&mut Served::new(), SPACES);
    // The legal ones are taken off, and nothing else of a value is.
    let mut served = Served::new();
    let spaced = request("POST /", "Content-Length: \t 5 \t\r\n", "hello");
    assert_eq!(served.ask(spaced)[0].text(), "POST / host=a [hello]");
}

#[test]
fn h08_numbers_do_not_overflow_and_are_not_negative() {
    assert_bad(&mut Served::new(), NUMBERS);
}

#[test]
fn h08_lists_of_codings_have_no_holes() {
    assert_bad(&mut Served::new(), CODINGS);
}

#[test]
fn h08_chunks_end_where_they_say() {
    let mut served = Served::new();
    for body in CHUNKS {
        let request = request("POST /", "Transfer-Encoding: chunked\r\n", "");
        let status = served.refusal([&request[..], *body].concat());
        assert_eq!(status, 400, "{}", body.escape_ascii());
        assert_eq!(served.app.seen, [""; 0]);
    }
    // One byte too many belongs to the next request, which is none.
    for extra in ["X", "\0", "\n"] {
        let body = format!("5\r\nhello\r\n0\r\n\r\n{extra}\r\n\r\n");
        let request = request("POST /", "Transfer-Encoding: chunked\r\n", &body);
        let answers = served.ask_until_closed(request);
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 400], "{extra:?}");
    }
    served.assert_nothing_left();
}

#[test]
fn h08_a_body_of_a_get_is_a_body() {
    let mut served = Served::new();
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"] {
        let length = format!("Content-Length: {}\r\n", hidden.len());
        served.ask_raw(request(&format!("{method} /"), &length, hidden));
    }
    let sought = |seen: &String| seen.contains("/hidden host=a");
    assert!(!served.app.seen.iter().any(sought), "{:?}", served.app.seen);
    assert_eq!(served.app.seen.len(), 5);
}
