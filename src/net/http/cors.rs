//! Cross-Origin Resource Sharing: which pages of other origins may read our answers. The Fetch
//! standard, section 3.2.

use std::fmt;

use crate::proto::http1::{self, write};

use super::response::Response;

/// Which origins may do what.
///
/// Browsers enforce it: a request of another origin is answered as any other, and its page is not
/// shown the answer. Whoever wants to refuse such requests looks at the field `Origin`.
///
/// # Examples
///
/// ```
/// use switchboard::http::{Cors, Server};
///
/// let cors = Cors::origins(["https://app.example"]).credentials(true).max_age(600);
/// let server: Server<()> = Server::new().cors(cors);
/// ```
pub struct Cors {
    origins: Origins,
    credentials: bool,
    methods: String,
    headers: Option<String>,
    exposed: Option<String>,
    max_age: Option<u32>,
}

enum Origins {
    Any,
    List(Vec<String>),
    Function(Box<dyn Fn(&str) -> bool>),
}

impl Cors {
    /// All origins.
    pub fn any() -> Self {
        Self::new(Origins::Any)
    }

    /// These origins, as browsers send them: `https://app.example`, with a port if it is not the
    /// usual one.
    pub fn origins<'a>(origins: impl IntoIterator<Item = &'a str>) -> Self {
        let list = origins.into_iter().map(str::to_owned).collect();
        Self::new(Origins::List(list))
    }

    /// Those of which a function says yes.
    pub fn with(is_allowed: impl Fn(&str) -> bool + 'static) -> Self {
        Self::new(Origins::Function(Box::new(is_allowed)))
    }

    fn new(origins: Origins) -> Self {
        Self {
            origins,
            credentials: false,
            methods: "GET, HEAD, PUT, PATCH, POST, DELETE".to_owned(),
            headers: None,
            exposed: None,
            max_age: None,
        }
    }

    /// Whether pages may send cookies, and read the answer all the same. Default false.
    #[must_use]
    pub const fn credentials(mut self, allowed: bool) -> Self {
        self.credentials = allowed;
        self
    }

    /// The methods that pages may use. Default as with the `cors` of npm: `GET`, `HEAD`, `PUT`,
    /// `PATCH`, `POST` and `DELETE`.
    #[must_use]
    pub fn methods(mut self, methods: &[&str]) -> Self {
        self.methods = methods.join(", ");
        self
    }

    /// The fields that pages may send. Default: whatever they ask for.
    #[must_use]
    pub fn headers(mut self, names: &[&str]) -> Self {
        self.headers = Some(names.join(", "));
        self
    }

    /// The fields of answers that pages may read besides the usual ones.
    #[must_use]
    pub fn exposed_headers(mut self, names: &[&str]) -> Self {
        self.exposed = Some(names.join(", "));
        self
    }

    /// For how many seconds a browser need not ask again. Default: its own, 5 seconds.
    #[must_use]
    pub const fn max_age(mut self, seconds: u32) -> Self {
        self.max_age = Some(seconds);
        self
    }

    /// Appends the fields that the answer to a request has by this, if it is from another origin
    /// that may read it.
    pub(super) fn add(&self, head: &http1::Request<'_>, out: &mut Vec<u8>) {
        let any = matches!(self.origins, Origins::Any) && !self.credentials;
        if !any {
            // Or a cache would show one origin what was allowed to another.
            put(out, "Vary", "Origin");
        }
        let Some(origin) = head.headers.text("Origin") else {
            return;
        };
        let allowed = match &self.origins {
            Origins::Any => true,
            Origins::List(list) => list.iter().any(|own| own == origin),
            Origins::Function(function) => function(origin),
        };
        if !allowed {
            return;
        }
        put(
            out,
            "Access-Control-Allow-Origin",
            if any { "*" } else { origin },
        );
        if self.credentials {
            put(out, "Access-Control-Allow-Credentials", "true");
        }
        if let Some(exposed) = self.exposed.as_ref().filter(|_| !is_preflight(head)) {
            put(out, "Access-Control-Expose-Headers", exposed);
        }
    }

    /// The answer to a browser that asks beforehand.
    pub(super) fn preflight(&self, head: &http1::Request<'_>) -> Option<Response> {
        if !is_preflight(head) {
            return None;
        }
        let asked = head.headers.text("Access-Control-Request-Headers");
        let mut response = Response::new(204).field("Access-Control-Allow-Methods", &self.methods);
        response = match (&self.headers, asked) {
            (Some(own), _) => response.field("Access-Control-Allow-Headers", own),
            (None, Some(asked)) => response
                .field("Access-Control-Allow-Headers", asked)
                .field("Vary", "Access-Control-Request-Headers"),
            (None, None) => response,
        };
        if let Some(max_age) = self.max_age {
            response = response.field("Access-Control-Max-Age", max_age.to_string());
        }
        Some(response)
    }
}

fn is_preflight(head: &http1::Request<'_>) -> bool {
    let has = |name| head.headers.get(name).is_some();
    head.method == "OPTIONS" && has("Origin") && has("Access-Control-Request-Method")
}

fn put(out: &mut Vec<u8>, name: &str, value: &str) {
    // What a browser has sent as a value may be sent back as one.
    let _ = write::field(out, name, value.as_bytes());
}

impl fmt::Debug for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cors")
            .field("credentials", &self.credentials)
            .field("methods", &self.methods)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http1::{Request, Space};

    fn answer(cors: &Cors, lines: &str) -> (String, Option<String>) {
        let head = format!("{lines}\r\nHost: a\r\n\r\n");
        let mut space = Space::new();
        let head = Request::parse(head.as_bytes(), &mut space).unwrap();
        let mut out = Vec::new();
        cors.add(&head, &mut out);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            text(out),
            cors.preflight(&head).map(|response| text(response.fields)),
        )
    }

    #[test]
    fn origins_that_are_allowed_may_read() {
        let get = |origin: &str| format!("GET / HTTP/1.1\r\nOrigin: {origin}");
        let list = Cors::origins(["https://a", "https://b:81"]).credentials(true);
        for (cors, origin, fields) in [
            (
                &Cors::any(),
                "https://a",
                "Access-Control-Allow-Origin: *\r\n",
            ),
            (
                &list,
                "https://a",
                "Vary: Origin\r\nAccess-Control-Allow-Origin: https://a\r\nAccess-Control-Allow-Credentials: true\r\n",
            ),
            (
                &list,
                "https://b:81",
                "Vary: Origin\r\nAccess-Control-Allow-Origin: https://b:81\r\nAccess-Control-Allow-Credentials: true\r\n",
            ),
            (&list, "https://b", "Vary: Origin\r\n"),
            (&list, "https://a.evil", "Vary: Origin\r\n"),
            (&list, "null", "Vary: Origin\r\n"),
            (
                &Cors::with(|origin| origin.ends_with(".a")),
                "https://x.a",
                "Vary: Origin\r\nAccess-Control-Allow-Origin: https://x.a\r\n",
            ),
            (
                &Cors::any().credentials(true),
                "https://c",
                "Vary: Origin\r\nAccess-Control-Allow-Origin: https://c\r\nAccess-Control-Allow-Credentials: true\r\n",
            ),
            (
                &Cors::any().exposed_headers(&["X-A", "X-B"]),
                "https://a",
                "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: X-A, X-B\r\n",
            ),
        ] {
            assert_eq!(
                answer(cors, &get(origin)),
                (fields.to_owned(), None),
                "{cors:?} {origin}"
            );
        }
        assert_eq!(answer(&list, "GET / HTTP/1.1").0, "Vary: Origin\r\n");
    }

    #[test]
    fn browsers_may_ask_beforehand() {
        let ask = "OPTIONS / HTTP/1.1\r\nOrigin: https://a\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-a";
        let (_, fields) = answer(&Cors::any().max_age(60), ask);
        let expected = "Access-Control-Allow-Methods: GET, HEAD, PUT, PATCH, POST, DELETE\r\nAccess-Control-Allow-Headers: x-a\r\nVary: Access-Control-Request-Headers\r\nAccess-Control-Max-Age: 60\r\n";
        assert_eq!(fields.as_deref(), Some(expected));
        let own = Cors::any().methods(&["GET"]).headers(&["X-B"]);
        let expected = "Access-Control-Allow-Methods: GET\r\nAccess-Control-Allow-Headers: X-B\r\n";
        assert_eq!(answer(&own, ask).1.as_deref(), Some(expected));
        assert_eq!(
            answer(&own, "OPTIONS / HTTP/1.1\r\nOrigin: https://a").1,
            None
        );
    }
}
