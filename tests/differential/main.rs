//! Where a request ends, as this server has it and as others have it: h11 of Python, and Node. Where
//! they read the same bytes as different requests, somebody between them can be made to hide one.
//!
//! `tests/differential/run` gets the others ready and runs this.
#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers may end a test as the tests themselves do"
)]

#[path = "../http/answer.rs"]
#[allow(dead_code, reason = "the tests of HTTP use all of it")]
mod answer;
#[path = "../http/corpus.rs"]
#[allow(dead_code, reason = "the tests of HTTP use all of it")]
mod corpus;
#[path = "../http/mounts.rs"]
#[allow(dead_code, reason = "the tests of HTTP use all of it")]
mod mounts;
mod peers;
mod reasons;
#[path = "../http/served.rs"]
#[allow(dead_code, reason = "the tests of HTTP use all of it")]
mod served;
#[path = "../support/mod.rs"]
mod support;

use std::net::Shutdown;

use switchboard::http::{Cx, Mount, Request, Response, Server};

use peers::{Peer, Seen, Verdict};
use served::Served;

/// Takes down what it is asked.
struct Recorder;

impl Mount<Verdict> for Recorder {
    fn on_request(&mut self, seen: &mut Verdict, cx: &mut Cx<'_>, request: &Request<'_>) {
        seen.requests.push(Seen {
            method: request.method().to_owned(),
            target: request.head().target.to_owned(),
            body: request
                .body()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            keep_alive: request.head().keep_alive,
        });
        // Without a body, so that the answer to a `HEAD` ends where all others do.
        cx.respond(Response::new(200)).ignore();
    }
}

/// All that is sent to everybody.
fn corpus() -> Vec<Vec<u8>> {
    let behind = b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut all: Vec<Vec<u8>> = Vec::new();
    all.extend(
        corpus::WHOLE
            .iter()
            .map(|(bytes, _)| bytes.as_bytes().to_vec()),
    );
    all.extend(
        corpus::READ
            .iter()
            .map(|(bytes, _)| bytes.as_bytes().to_vec()),
    );
    all.extend(
        corpus::REFUSED
            .iter()
            .map(|(bytes, _)| bytes.as_bytes().to_vec()),
    );
    let gardens = [
        corpus::LINE_ENDS,
        corpus::NULS,
        corpus::NAMES,
        corpus::SPACES,
        corpus::NUMBERS,
        corpus::CODINGS,
    ];
    all.extend(
        gardens
            .iter()
            .flat_map(|garden| garden.iter().map(|bytes| bytes.to_vec())),
    );
    let chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    all.extend(
        corpus::CHUNKS
            .iter()
            .map(|body| [&chunked[..], body].concat()),
    );
    for bytes in &mut all {
        bytes.extend_from_slice(behind);
    }
    // What leads to no handler is answered by the server itself, and tells nothing of its framing.
    let lead_nowhere = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.contains("CONNECT a:80") || text.contains("OPTIONS * ")
    };
    all.retain(|bytes| !lead_nowhere(bytes));
    all
}

/// What this server makes of a connection.
fn ours(bytes: &[u8]) -> Verdict {
    let server = Server::new().mount("/", Recorder);
    let mut served = Served::of(Verdict::default(), server);
    let mut client = served.connect();
    served.write(&mut client, bytes);
    client.shutdown(Shutdown::Write).expect("to finish");
    let (received, _) = served.read_to_end(&mut client);
    let last = answer::answers(&received).pop();
    let mut verdict = std::mem::take(&mut served.app);
    verdict.end = match last {
        Some(answer) if answer.status >= 400 => format!("refused: {}", answer.status),
        _ => "closed".to_owned(),
    };
    verdict
}

#[test]
fn the_corpus_is_large_enough() {
    assert!(corpus().len() > 150, "{}", corpus().len());
}

#[test]
#[ignore = "wants h11 and node: tests/differential/run"]
fn no_two_readers_disagree_without_a_reason() {
    let corpus = corpus();
    let own: Vec<_> = corpus.iter().map(|bytes| ours(bytes)).collect();
    let mut unexplained = 0;
    for peer in [Peer::h11(), Peer::node()] {
        let name = peer.name;
        let Ok(theirs) = peer.read(&corpus).map_err(|why| println!("skipped: {why}")) else {
            continue;
        };
        let (mut same, mut known) = (0, 0);
        let mut used = reasons::Used::default();
        for ((bytes, ours), theirs) in corpus.iter().zip(&own).zip(&theirs) {
            if ours.agrees(theirs) {
                same += 1;
            } else if !ours.contradicts(theirs) && used.explains(name, bytes) {
                known += 1;
            } else {
                unexplained += 1;
                let text = bytes.escape_ascii();
                println!("{name}: {text}\n  ours:   {ours:?}\n  theirs: {theirs:?}");
            }
        }
        for stale in used.stale(name) {
            unexplained += 1;
            println!("{name}: nobody disagrees any more about {stale:?}");
        }
        println!("ok {name}: {same} read alike, {known} not, for a reason");
    }
    assert_eq!(unexplained, 0, "disagreements without a reason");
}
