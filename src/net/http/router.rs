//! Which handler a path leads to.
//!
//! A tree of segments: at each one what is written out comes before `:name`, and that before `*`.

use std::borrow::Cow;
use std::rc::Rc;

use percent_encoding::percent_decode_str;

use crate::proto::http1;

use super::response::Response;

/// Parts of a path that a route may name.
const MAX_PARAMS: usize = 8;

/// All routes of a server. What they lead to is a number.
#[derive(Debug, Default)]
pub(super) struct Router {
    root: Node,
    targets: Vec<Target>,
}

#[derive(Debug, Default)]
struct Node {
    statics: Vec<(Box<str>, Self)>,
    param: Option<Box<Self>>,
    /// The target of the path that ends here.
    here: Option<usize>,
    /// The target of all paths that go on from here.
    rest: Option<usize>,
}

/// What there is at one path.
#[derive(Debug, Default)]
pub(super) struct Target {
    route: Rc<Route>,
    methods: Vec<(Box<str>, usize)>,
    any: Option<usize>,
}

/// How the paths are written that lead to one place, and the names of their parts.
#[derive(Debug, Default)]
pub(super) struct Route {
    pattern: Box<str>,
    names: Vec<Box<str>>,
}

/// What a path has led to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matched<'a> {
    pub(super) route: Option<&'a Rc<Route>>,
    values: [&'a str; MAX_PARAMS],
    pub(super) rest: &'a str,
}

impl<'a> Matched<'a> {
    pub(super) const NONE: Self = Self {
        route: None,
        values: [""; MAX_PARAMS],
        rest: "",
    };

    pub(super) fn param(&self, name: &str) -> Option<&'a str> {
        let names = &self.route?.names;
        let at = names.iter().position(|own| **own == *name)?;
        self.values.get(at).copied()
    }

    /// What a path has led to that has led there before.
    #[cfg(feature = "websocket")]
    pub(super) fn again(route: &'a Rc<Route>, path: &'a str) -> Self {
        let mut matched = Self {
            route: Some(route),
            ..Self::NONE
        };
        let (mut left, mut params) = (path, 0);
        for own in route.pattern.split('/') {
            if own == "*" {
                matched.rest = left;
                break;
            }
            let (segment, behind) = left.split_once('/').unwrap_or((left, ""));
            if own.starts_with(':') {
                matched.values[params] = segment;
                params += 1;
            }
            left = behind;
        }
        matched
    }
}

impl Router {
    /// Adds a route, for one method or for any. An error says what is wrong with it.
    pub(super) fn add(
        &mut self,
        method: Option<&str>,
        pattern: &str,
        handler: usize,
    ) -> Result<(), String> {
        let Some(path) = pattern.strip_prefix('/') else {
            return Err(format!("the route `{pattern}` does not begin with a slash"));
        };
        let (mut node, mut names, mut segments) = (&mut self.root, Vec::new(), path.split('/'));
        let place = loop {
            let Some(segment) = segments.next() else {
                break &mut node.here;
            };
            if segment == "*" {
                if segments.next().is_some() {
                    return Err(format!("the route `{pattern}` goes on behind its `*`"));
                }
                break &mut node.rest;
            }
            node = match segment.strip_prefix(':') {
                Some("") => return Err(format!("a part of the route `{pattern}` has no name")),
                Some(name) => {
                    names.push(Box::from(name));
                    node.param.get_or_insert_default()
                }
                None => {
                    let known = node.statics.iter().position(|(own, _)| **own == *segment);
                    let at = known.unwrap_or_else(|| {
                        node.statics.push((segment.into(), Node::default()));
                        node.statics.len() - 1
                    });
                    &mut node.statics[at].1
                }
            };
        };
        if names.len() > MAX_PARAMS {
            return Err(format!(
                "the route `{pattern}` names more than {MAX_PARAMS} parts"
            ));
        }
        let at = *place.get_or_insert_with(|| {
            self.targets.push(Target {
                route: Rc::new(Route {
                    pattern: pattern.into(),
                    names: names.clone(),
                }),
                ..Target::default()
            });
            self.targets.len() - 1
        });
        let target = &mut self.targets[at];
        if target.route.names != names {
            return Err(format!(
                "the routes `{pattern}` and `{}` name the same parts differently",
                target.route.pattern
            ));
        }
        target.add(method, handler)
    }

    /// Where a path leads to, and in `matched` what has been found in it.
    pub(super) fn find<'a>(
        &'a self,
        path: &'a str,
        matched: &mut Matched<'a>,
    ) -> Option<&'a Target> {
        let path = path.strip_prefix('/')?;
        let target = self.targets.get(self.root.find(path, 0, matched)?)?;
        matched.route = Some(&target.route);
        Some(target)
    }
}

impl Node {
    /// `path` is what is left of it, from the beginning of a segment.
    fn find<'a>(&self, path: &'a str, params: usize, matched: &mut Matched<'a>) -> Option<usize> {
        let (segment, rest) = match path.bytes().position(|byte| byte == b'/') {
            Some(at) => (&path[..at], Some(&path[at + 1..])),
            None => (path, None),
        };
        let go_on = |node: &Self, params, matched: &mut Matched<'a>| match rest {
            Some(rest) => node.find(rest, params, matched),
            None => node.here.or_else(|| {
                matched.rest = "";
                node.rest
            }),
        };
        let text = decoded(segment);
        let exact = self.statics.iter().find(|(own, _)| **own == *text);
        if let Some(found) = exact.and_then(|(_, node)| go_on(node, params, matched)) {
            return Some(found);
        }
        if let Some(node) = self.param.as_ref().filter(|_| !segment.is_empty()) {
            if let Some(value) = matched.values.get_mut(params) {
                *value = segment;
            }
            if let Some(found) = go_on(node, params + 1, matched) {
                return Some(found);
            }
        }
        self.rest.inspect(|_| matched.rest = path)
    }
}

/// A segment without its percent signs, which may stand for what could have been written out.
fn decoded(segment: &str) -> Cow<'_, str> {
    match segment.bytes().any(|byte| byte == b'%') {
        false => Cow::Borrowed(segment),
        true => percent_decode_str(segment).decode_utf8_lossy(),
    }
}

impl Target {
    fn add(&mut self, method: Option<&str>, handler: usize) -> Result<(), String> {
        let twice = match method {
            None => self.any.replace(handler).is_some(),
            Some(method) => {
                let twice = self.handler(method).is_some() && self.any.is_none();
                self.methods.push((method.into(), handler));
                twice
            }
        };
        if twice {
            let method = method.unwrap_or("any method");
            return Err(format!(
                "the route `{method} {}` is there twice",
                self.route.pattern
            ));
        }
        Ok(())
    }

    /// Who handles this method here.
    pub(super) fn handler(&self, method: &str) -> Option<usize> {
        let own = self.methods.iter().find(|(own, _)| **own == *method);
        own.map(|(_, handler)| *handler).or(self.any)
    }

    /// The methods that are handled here, for the field `Allow`.
    pub(super) fn allow(&self) -> String {
        let mut allow = String::from("OPTIONS");
        let has = |method: &str| self.methods.iter().any(|(own, _)| **own == *method);
        if has("GET") && !has("HEAD") {
            allow.push_str(", HEAD");
        }
        for (method, _) in &self.methods {
            if **method != *"OPTIONS" {
                allow.push_str(", ");
                allow.push_str(method);
            }
        }
        allow
    }
}

/// Where a request leads: the number of a mount, and in `matched` what the route has found in the
/// path; or the answer, if it leads nowhere.
pub(super) fn route<'a>(
    router: &'a Router,
    head: &http1::Request<'a>,
    matched: &mut Matched<'a>,
) -> Result<usize, Response> {
    let method = head.method;
    let Some(target) = router.find(head.path, matched) else {
        return Err(match (method, head.path) {
            ("OPTIONS", "*") => Response::new(204),
            ("CONNECT", _) => Response::plain(501).close(),
            _ => Response::plain(404),
        });
    };
    let get = || target.handler("GET").filter(|_| method == "HEAD");
    match target.handler(method).or_else(get) {
        Some(mount) => Ok(mount),
        None if method == "OPTIONS" => Err(Response::new(204).field("Allow", target.allow())),
        None => Err(Response::plain(405).field("Allow", target.allow())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(routes: &[&str]) -> Router {
        let mut router = Router::default();
        for (number, route) in routes.iter().enumerate() {
            router.add(Some("GET"), route, number).unwrap();
        }
        router
    }

    fn found<'a>(router: &'a Router, path: &'a str) -> Option<(usize, Matched<'a>)> {
        let mut matched = Matched::NONE;
        let target = router.find(path, &mut matched)?;
        Some((target.handler("GET")?, matched))
    }

    #[test]
    fn what_is_written_out_comes_first_and_the_rest_last() {
        let routes = [
            "/", "/a", "/a/:x", "/a/b", "/a/*", "/:y/c", "/d/:x/e", "/d/f/*", "/g/",
        ];
        let router = router(&routes);
        for (path, route) in [
            ("/", Some("/")),
            ("/a", Some("/a")),
            ("/a/b", Some("/a/b")),
            ("/a/z", Some("/a/:x")),
            ("/a/", Some("/a/*")),
            ("/a/b/c", Some("/a/*")),
            ("/z/c", Some("/:y/c")),
            ("/d/f/e", Some("/d/f/*")),
            ("/d/f", Some("/d/f/*")),
            ("/d/z/e", Some("/d/:x/e")),
            ("/%61/b", Some("/a/b")),
            ("/g/", Some("/g/")),
            ("/g", None),
            ("/z", None),
            ("//", None),
            ("*", None),
            ("", None),
        ] {
            let at = found(&router, path).map(|(at, _)| routes[at]);
            assert_eq!(at, route, "{path}");
        }
    }

    #[test]
    fn parts_have_names() {
        let router = router(&["/a/:x/:y", "/files/*"]);
        let (_, matched) = found(&router, "/a/1/b%2Fc").unwrap();
        assert_eq!(
            (matched.param("x"), matched.param("y")),
            (Some("1"), Some("b%2Fc"))
        );
        assert_eq!((matched.param("z"), matched.rest), (None, ""));
        for (path, rest) in [
            ("/files/a/b", "a/b"),
            ("/files/", ""),
            ("/files", ""),
            ("/files//", "/"),
        ] {
            assert_eq!(found(&router, path).unwrap().1.rest, rest, "{path}");
        }
    }

    #[cfg(feature = "websocket")]
    #[test]
    fn what_was_found_once_is_found_again() {
        let router = router(&["/*", "/a/:x/:y", "/a/:x/:y/*", "/b/c", "/b/:x/*"]);
        for path in [
            "/",
            "/z",
            "//",
            "/a/1/2",
            "/a/1/",
            "/a/1/2/",
            "/a/1/2/3/4",
            "/b/c",
            "/b/c/",
            "/b/c/d",
            "/b/d",
            "/a//2",
            "/%61/1/2/3",
        ] {
            let (_, once) = found(&router, path).unwrap();
            let again = Matched::again(once.route.unwrap(), path);
            let names = ["x", "y"];
            assert_eq!(
                names.map(|name| again.param(name)),
                names.map(|name| once.param(name))
            );
            assert_eq!(again.rest, once.rest, "{path}");
        }
    }

    #[test]
    fn each_path_knows_its_methods() {
        let mut router = Router::default();
        for (number, method) in ["GET", "POST"].into_iter().enumerate() {
            router.add(Some(method), "/a", number).unwrap();
        }
        router.add(None, "/b", 2).unwrap();
        router.add(Some("PUT"), "/b", 3).unwrap();
        let target = |path| {
            let mut matched = Matched::NONE;
            router.find(path, &mut matched).unwrap()
        };
        let a = target("/a");
        let handlers = ["GET", "POST", "PUT", "get"].map(|method| a.handler(method));
        assert_eq!(handlers, [Some(0), Some(1), None, None]);
        assert_eq!(a.allow(), "OPTIONS, HEAD, GET, POST");
        let b = target("/b");
        assert_eq!((b.handler("PUT"), b.handler("BREW")), (Some(3), Some(2)));
    }

    #[test]
    fn mistakes_are_told() {
        let mut router = Router::default();
        router.add(Some("GET"), "/a/:x", 0).unwrap();
        for (method, route, error) in [
            (Some("GET"), "/a/:x", "the route `GET /a/:x` is there twice"),
            (
                Some("PUT"),
                "/a/:y",
                "the routes `/a/:y` and `/a/:x` name the same parts differently",
            ),
            (
                Some("GET"),
                "a",
                "the route `a` does not begin with a slash",
            ),
            (
                Some("GET"),
                "/*/a",
                "the route `/*/a` goes on behind its `*`",
            ),
            (Some("GET"), "/:", "a part of the route `/:` has no name"),
            (
                Some("GET"),
                "/:a/:a/:a/:a/:a/:a/:a/:a/:a",
                "the route `/:a/:a/:a/:a/:a/:a/:a/:a/:a` names more than 8 parts",
            ),
        ] {
            assert_eq!(router.add(method, route, 0), Err(error.to_owned()));
        }
        router.add(None, "/b", 0).unwrap();
        assert_eq!(
            router.add(None, "/b", 0),
            Err("the route `any method /b` is there twice".to_owned())
        );
    }
}
