//! Files by HTTP, over real sockets and from a real folder: one theme a file. Tests named `h14` show
//! that nothing outside of the folder is served.
#![cfg(feature = "files")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers may end a test as the tests themselves do"
)]

#[allow(dead_code, reason = "the tests of faults use all of it")]
#[path = "../faults/alone.rs"]
mod alone;
#[allow(dead_code, reason = "the tests of the server use all of it")]
#[path = "../http/answer.rs"]
mod answer;
#[allow(dead_code, reason = "the tests of the server use all of it")]
#[path = "../http/served.rs"]
mod served;
#[path = "../support/mod.rs"]
mod support;

mod changing;
mod conditions;
mod ending;
mod escapes;
mod folder;
mod mounts;
mod places;
mod pool;
mod ranges;
mod root;
mod slow;
mod whole;
