//! HTTP/1.1 as data: heads, bodies and their framing (RFC 9110 and RFC 9112), for both roles.
//!
//! Where two readers may come to different ends of a message, one of them can be made to take the
//! rest for a request of its own: request smuggling. So there is one reading of everything here,
//! and what allows of two is an [`Error`]. A head ends where [`Scan`] says, which passes over each
//! byte once, however it arrives; only then is it parsed, once.
//!
//! ```
//! use switchboard::proto::http1::{Body, Request, Scan, Space};
//!
//! let data = b"POST /log HTTP/1.1\r\nHost: example.org\r\nContent-Length: 2\r\n\r\nhi";
//! let end = Scan::new(16 * 1024).find_end(data)?.expect("a whole head");
//! let mut space = Space::new();
//! let request = Request::parse(&data[..end], &mut space)?;
//! assert_eq!((request.method, request.target), ("POST", "/log"));
//! let part = Body::new(request.body).decode(&data[end..])?;
//! assert_eq!((&data[end..][part.data], part.end), (&b"hi"[..], true));
//! # Ok::<(), switchboard::proto::http1::Error>(())
//! ```

mod body;
mod error;
mod head;
mod request;
mod response;
mod scan;
pub mod write;

pub use body::{Body, Length, Part};
pub use error::Error;
pub use head::{Header, Headers, MAX_HEADERS, Space, Version};
pub use request::Request;
pub use response::Response;
pub use scan::Scan;
