//! What is asked and answered by HTTP: the client and all servers have it from
//! here.

pub const PATH: &str = "/";

pub const CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// 200 bytes.
pub const BODY: &str = "\
the quick brown fox jumps over the lazy dog 0123\n\
the quick brown fox jumps over the lazy dog 45678\n\
the quick brown fox jumps over the lazy dog 90123\n\
the quick brown fox jumps over the lazy dog, again\n";

const _: () = assert!(BODY.len() == 200);
