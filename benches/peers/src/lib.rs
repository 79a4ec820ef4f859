//! What the benchmark's programs are made of: the load client's engine and the
//! comparison's parts. See README.md; run `cargo run --release -- --help`.
#![forbid(unsafe_code)]

pub mod compare;
pub mod http;
pub mod load;
pub mod tls;
