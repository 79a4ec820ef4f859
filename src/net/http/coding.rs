//! Compression of responses: which coding a client accepts, and the coding itself.

use crate::proto::http1::Headers;

use super::response::Response;

/// How the body of a response is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    #[cfg(feature = "compression")]
    Gzip,
    /// zlib, that is: RFC 9110, section 8.4.1.2.
    #[cfg(feature = "compression")]
    Deflate,
}

impl Coding {
    /// The coding that a request accepts and we like best.
    #[cfg(not(feature = "compression"))]
    pub(super) const fn accepted(_: Headers<'_>) -> Self {
        Self::Identity
    }

    /// The coding that a request accepts and we like best: by its q-values, and gzip first among
    /// equals. RFC 9110, section 12.5.3.
    #[cfg(feature = "compression")]
    pub(super) fn accepted(headers: Headers<'_>) -> Self {
        let (mut gzip, mut deflate, mut any, mut identity) = (None, None, None, None);
        for value in headers.all("Accept-Encoding") {
            for item in value.split(|byte| *byte == b',') {
                let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
                let name = parts.next().unwrap_or_default();
                let weight = parts.find_map(weight).unwrap_or(1_000);
                match name {
                    b"*" => any = Some(weight),
                    _ if name.eq_ignore_ascii_case(b"gzip") => gzip = Some(weight),
                    _ if name.eq_ignore_ascii_case(b"x-gzip") => gzip = gzip.or(Some(weight)),
                    _ if name.eq_ignore_ascii_case(b"deflate") => deflate = Some(weight),
                    _ if name.eq_ignore_ascii_case(b"identity") => identity = Some(weight),
                    _ => {}
                }
            }
        }
        let any = any.unwrap_or(0);
        let (gzip, deflate) = (gzip.unwrap_or(any), deflate.unwrap_or(any));
        let best = gzip.max(deflate);
        if best == 0 || identity.is_some_and(|identity| identity > best) {
            Self::Identity
        } else if gzip == best {
            Self::Gzip
        } else {
            Self::Deflate
        }
    }

    /// Codes the body of a response, if it has any that gains by it. What a cache has to know of
    /// that is said either way.
    #[cfg(not(feature = "compression"))]
    pub(super) fn apply(self, _: &mut Response, _: Option<usize>) {}

    #[cfg(feature = "compression")]
    pub(super) fn apply(self, response: &mut Response, from: Option<usize>) {
        use flate2::Compression;
        use flate2::write::{GzEncoder, ZlibEncoder};
        use std::io::Write;

        use super::response::Payload;

        let Some(from) = from else { return };
        let body = response.body.as_slice();
        if response.as_it_is
            || response.is_bodiless()
            || body.len() < from
            || !is_text(&content_type(response))
        {
            return;
        }
        let vary = b"Vary: Accept-Encoding\r\n";
        if !response.fields.windows(vary.len()).any(|line| line == vary) {
            response.fields.extend_from_slice(vary);
        }
        let out = Vec::with_capacity(body.len() / 2);
        let level = Compression::fast();
        let (name, coded) = match self {
            Self::Identity => return,
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, level);
                (
                    "gzip",
                    encoder.write_all(body).and_then(|()| encoder.finish()),
                )
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(out, level);
                (
                    "deflate",
                    encoder.write_all(body).and_then(|()| encoder.finish()),
                )
            }
        };
        // Writing to memory does not fail; if it did, the body would go as it is.
        if let Ok(coded) = coded {
            response.fields.extend_from_slice(b"Content-Encoding: ");
            response.fields.extend_from_slice(name.as_bytes());
            response.fields.extend_from_slice(b"\r\n");
            response.body = Payload::Vec(coded);
        }
    }
}

/// A weight in thousandths, if this parameter is one.
#[cfg(feature = "compression")]
fn weight(parameter: &[u8]) -> Option<u32> {
    let (name, value) = std::str::from_utf8(parameter).ok()?.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value: f32 = value.trim().parse().ok()?;
    (0.0..=1.0)
        .contains(&value)
        .then_some((value * 1_000.0) as u32)
}

/// The type that the fields of a response tell, if it is not the usual one.
#[cfg(feature = "compression")]
fn content_type(response: &Response) -> String {
    if let Some(content_type) = response.content_type {
        return content_type.to_owned();
    }
    let fields = String::from_utf8_lossy(&response.fields);
    let value = fields.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("Content-Type")
            .then(|| value.trim().to_owned())
    });
    value.unwrap_or_default()
}

/// What gains by compression. Pictures and archives are compressed already.
#[cfg(any(feature = "compression", feature = "files"))]
pub(super) fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(
            essence,
            "application/json" | "application/javascript" | "application/xml" | "application/wasm"
        )
}

#[cfg(all(test, feature = "compression"))]
mod tests {
    use super::*;
    use crate::proto::http1::{Request, Space};

    #[test]
    fn the_client_chooses_and_gzip_is_liked_best() {
        use Coding::{Deflate, Gzip, Identity};
        for (accept, coding) in [
            ("", Identity),
            ("Accept-Encoding: gzip", Gzip),
            ("Accept-Encoding: deflate", Deflate),
            ("Accept-Encoding: GZIP , deflate", Gzip),
            ("Accept-Encoding: gzip;q=0.5, deflate", Deflate),
            ("Accept-Encoding: gzip;q=0, deflate; q=0.001", Deflate),
            ("Accept-Encoding: gzip;q=0", Identity),
            ("Accept-Encoding: *", Gzip),
            ("Accept-Encoding: *;q=0.1, gzip;q=0", Deflate),
            ("Accept-Encoding: identity;q=1, gzip;q=0.5", Identity),
            ("Accept-Encoding: br, zstd", Identity),
            ("Accept-Encoding: gzip;q=2", Gzip),
            ("Accept-Encoding: br\r\nAccept-Encoding: deflate", Deflate),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{accept}\r\n\r\n")
                .replace("\r\n\r\n\r\n", "\r\n\r\n");
            let mut space = Space::new();
            let request = Request::parse(head.as_bytes(), &mut space).unwrap();
            assert_eq!(Coding::accepted(request.headers), coding, "{accept}");
        }
    }

    #[test]
    fn text_above_the_threshold_is_coded() {
        let page = "word ".repeat(1_000);
        let coded = |coding: Coding, response: Response| {
            let mut response = response;
            coding.apply(&mut response, Some(1_024));
            (
                response.body.as_slice().to_vec(),
                String::from_utf8(response.fields).unwrap(),
            )
        };
        let (body, fields) = coded(Coding::Gzip, Response::html(200, page.clone()));
        assert!(body.len() < page.len() / 10 && body.starts_with(&[0x1f, 0x8b]));
        assert_eq!(
            fields,
            "Vary: Accept-Encoding\r\nContent-Encoding: gzip\r\n"
        );
        let (body, _) = coded(Coding::Deflate, Response::html(200, page.clone()));
        assert_eq!(body[0] & 0xf, 8, "zlib, not bare deflate");
        let (body, fields) = coded(Coding::Identity, Response::html(200, page.clone()));
        assert_eq!(
            (body.len(), &fields[..]),
            (page.len(), "Vary: Accept-Encoding\r\n")
        );
        for response in [
            Response::html(200, "short"),
            Response::typed(200, "image/png", page.clone()),
            Response::html(200, page.clone()).field("Content-Encoding", "br"),
            Response::html(304, page.clone()),
        ] {
            let length = response.body.as_slice().len();
            assert_eq!(coded(Coding::Gzip, response).0.len(), length);
        }
        let typed = Response::new(200)
            .field("content-type", "application/vnd.x+json")
            .body(page);
        assert!(coded(Coding::Gzip, typed).0.len() < 1_000);
    }
}
