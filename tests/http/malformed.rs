//! Requests as they should not be, each with what becomes of it.

use crate::corpus::{READ, REFUSED};
use crate::served::Served;

/// A request for something else that must not be reached.
const BEHIND: &str = "GET /behind HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn h08_what_is_malformed_is_refused_and_ends_the_connection() {
    assert!(REFUSED.len() >= 60);
    let mut served = Served::new();
    for (request, status) in REFUSED {
        let answered = served.refusal(format!("{request}{BEHIND}"));
        assert_eq!(answered, *status, "{request:?}");
    }
    assert_eq!(served.app.seen, [""; 0]);
    served.assert_nothing_left();
}

#[test]
fn h08_what_has_one_reading_is_read_so() {
    let mut served = Served::new();
    for (request, seen) in READ {
        let answers = served.ask(request);
        let bodies: Vec<_> = answers.iter().map(|answer| answer.text()).collect();
        assert_eq!(bodies, [*seen], "{request:?}");
    }
    served.assert_nothing_left();
}
