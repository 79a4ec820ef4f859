//! What a server puts up with.

use std::time::Duration;

/// The limits and deadlines of an HTTP server, each with its unit, its default and where that comes
/// from.
///
/// # Examples
///
/// ```
/// use switchboard::http;
///
/// let options = http::Options { max_body: 10 << 20, ..http::Options::default() };
/// let server: http::Server<()> = http::Server::with(options);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of a request's head, its empty line included. Beyond it the answer is 431, or 414 if
    /// not even the first line has ended. Default 16 KiB, as Node; nginx takes 32 KiB.
    pub max_head: usize,
    /// Bytes of a request's target. Beyond it the answer is 414. Default 8 KiB, eventlet's
    /// `url_length_limit`.
    pub max_target: usize,
    /// Bytes of a body that is collected before its handler is called. Beyond it the answer is 413,
    /// before the body has been read if its length is known. A route may have a
    /// [limit of its own](super::Server::limit_body). Default 1 MiB, as nginx.
    pub max_body: usize,
    /// Bytes of further requests that a client may send while one is being answered, before it is
    /// not read from any more. Default 64 KiB: what one read brings.
    pub max_pipelined: usize,
    /// How long a head may take: from the first byte, and on a new connection from its beginning.
    /// Then the answer is 408. Default 10 s, as uWebSockets' time-out.
    pub head_timeout: Duration,
    /// How long a body may take besides what `min_body_rate` grants. Then the answer is 408.
    /// Default 10 s.
    pub body_timeout: Duration,
    /// Bytes a second that a body has to bring: each second's worth is another second's time.
    /// Default 16 KiB, as uWebSockets.
    pub min_body_rate: u32,
    /// How long a connection may have no request under way. Default 10 s, between Node's 5 s and
    /// nginx's 75 s.
    pub idle_timeout: Duration,
    /// Bytes a second that a client has to take of a response while any wait for it. Looked at every
    /// ten seconds, of which the first count what the kernel takes; then the connection is reset. Default 1 KiB. 0: as slowly as it likes.
    pub min_send_rate: u32,
    /// Whether connections begin with a head of the PROXY protocol, v1 or v2, with the client's
    /// address in it. Only where nobody but a proxy can connect. Default false.
    pub proxy_protocol: bool,
    /// Bytes of a response from which on it is compressed, if the client accepts that. Default
    /// 1,024, as Engine.IO's `compression_threshold`. `None`: never.
    pub compress_from: Option<usize>,
    /// Text of the field `Server`. Default: the field is left out.
    pub server_name: Option<&'static str>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_head: 16 * 1024,
            max_target: 8 * 1024,
            max_body: 1024 * 1024,
            max_pipelined: 64 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            min_body_rate: 16 * 1024,
            idle_timeout: Duration::from_secs(10),
            min_send_rate: 1024,
            proxy_protocol: false,
            compress_from: Some(1024),
            server_name: None,
        }
    }
}
