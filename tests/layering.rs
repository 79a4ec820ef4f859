//! The one import rule: imports point down only. What lies on the network knows the reactor, the
//! reactor knows no protocol, and a protocol knows neither sockets nor clocks.
//!
//! This reads the source and not what the compiler made of it, so a breach by a macro goes unseen.

use std::fs;
use std::path::{Path, PathBuf};

/// What a layer may not use.
struct Rule {
    /// A file, or a folder with all that is in it.
    layer: &'static str,
    /// What it may name of this crate, by its first segment; everything else is a breach.
    allowed: &'static [&'static str],
    /// Paths outside of this crate that it may not name, nor anything below them.
    forbidden: &'static [&'static str],
    /// Single names that it may not use, wherever they come from.
    names: &'static [&'static str],
}

/// Sockets, I/O errors, shared ownership; and the ways to the time.
const IMPURE: &[&str] = &[
    "std::net", "std::io", "std::os", "std::rc", "libc", "mio", "socket2",
];
const IMPURE_NAMES: &[&str] = &["Instant::now", "SystemTime", "RefCell", "Rc"];

/// From the lowest layer up. Only `net` may use all that is below it.
const RULES: [Rule; 3] = [
    Rule {
        layer: "src/id.rs",
        allowed: &["id"],
        forbidden: IMPURE,
        names: IMPURE_NAMES,
    },
    Rule {
        layer: "src/proto",
        allowed: &["id", "proto"],
        forbidden: IMPURE,
        names: IMPURE_NAMES,
    },
    Rule {
        layer: "src/reactor",
        allowed: &["id", "reactor"],
        forbidden: &[],
        names: &[],
    },
];

#[test]
fn imports_point_down_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut breaches = Vec::new();
    for rule in &RULES {
        let files = sources(&root.join(rule.layer));
        assert!(
            !files.is_empty(),
            "{} has moved, and the rule with it",
            rule.layer
        );
        for file in files {
            let text = fs::read_to_string(&file).expect("a source file");
            let name = file.strip_prefix(root).expect("a path below the root");
            breaches.extend(rule.breaches(&name.to_string_lossy(), &text));
        }
    }
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

#[test]
fn unsafe_code_is_forbidden() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("src/lib.rs")).expect("the crate's root");
    let forbids = |line: &str| line.trim_end() == "#![forbid(unsafe_code)]";
    assert!(
        text.lines().any(forbids),
        "src/lib.rs must forbid it for the whole crate"
    );
}

/// All files of a layer.
fn sources(layer: &Path) -> Vec<PathBuf> {
    if layer.extension().is_some_and(|extension| extension == "rs") {
        return vec![layer.to_owned()];
    }
    let Ok(entries) = fs::read_dir(layer) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("an entry of a folder").path());
    let mut files: Vec<_> = paths.flat_map(|path| sources(&path)).collect();
    files.sort();
    files
}

impl Rule {
    /// Each breach in the text of a file, with the number of its line.
    fn breaches(&self, file: &str, text: &str) -> Vec<String> {
        let mut breaches = Vec::new();
        for found in Scan::of(text) {
            let (path, line) = (found.absolute(file), found.line);
            if self.is_breach(&path) {
                let breach = format!("{file}:{line}: {} may not use {path}", self.layer);
                if !breaches.contains(&breach) {
                    breaches.push(breach);
                }
            }
        }
        breaches
    }

    fn is_breach(&self, path: &str) -> bool {
        let starts = |with: &&str| path == *with || path.starts_with(&format!("{with}::"));
        let names = |name: &&str| format!("::{path}::").contains(&format!("::{name}::"));
        match path.strip_prefix("crate::") {
            Some(inside) => !self.allowed.contains(&first(inside)),
            None => self.forbidden.iter().any(starts) || self.names.iter().any(names),
        }
    }
}

fn first(path: &str) -> &str {
    path.split("::").next().unwrap_or_default()
}

/// A path as it is written, and where.
struct Found {
    path: String,
    line: usize,
    /// How many modules of this file, one in another, it is in.
    nested: usize,
}

impl Found {
    /// The path as it reads from the crate's root, if it leads out of its file by `super`.
    fn absolute(&self, file: &str) -> String {
        let module = file.trim_start_matches("src/").trim_end_matches(".rs");
        let mut module: Vec<&str> = module.trim_end_matches("/mod").split('/').collect();
        let (mut rest, mut nested) = (&self.path[..], self.nested);
        while let Some(after) = rest.strip_prefix("super::") {
            rest = after;
            match nested.checked_sub(1) {
                Some(outer) => nested = outer,
                None => drop(module.pop()),
            }
        }
        if rest.len() == self.path.len() {
            return rest.to_owned();
        }
        module.insert(0, "crate");
        format!("{}::{rest}", module.join("::"))
    }
}

/// Finds all paths in a source text: those of imports one by one, braces resolved, and those in the
/// midst of the code. Comments and strings do not count.
#[derive(Default)]
struct Scan {
    found: Vec<Found>,
    line: usize,
    /// The path that is being read.
    path: String,
    /// In an import, and there what stands before each open brace.
    in_use: bool,
    prefixes: Vec<String>,
    /// The next brace opens a module.
    in_mod: bool,
    /// Of each open brace, whether it is a module's.
    braces: Vec<bool>,
}

impl Scan {
    fn of(text: &str) -> Vec<Found> {
        let mut scan = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            scan.line = number;
            let code = line.split("//").next().unwrap_or_default();
            // Every second piece is in quotation marks.
            for piece in code.split('"').step_by(2) {
                tokens(piece)
                    .into_iter()
                    .for_each(|token| scan.token(token));
                scan.end_path();
            }
        }
        scan.found
    }

    fn token(&mut self, token: &str) {
        let is_next = self.path.is_empty() || self.path.ends_with("::");
        match token {
            "use" => (self.in_use, self.path) = (true, String::new()),
            "mod" => self.in_mod = true,
            "{" if self.in_use => self.prefixes.push(std::mem::take(&mut self.path)),
            "::" => self.path.push_str("::"),
            "*" if self.in_use => self.path.push('*'),
            word if is_word(word) && is_next => self.path.push_str(word),
            other => {
                self.end_path();
                match other {
                    "{" => self.braces.push(std::mem::take(&mut self.in_mod)),
                    "}" if self.in_use => drop(self.prefixes.pop()),
                    "}" => drop(self.braces.pop()),
                    ";" => (self.in_use, self.in_mod) = (false, false),
                    word if is_word(word) => self.path.push_str(word),
                    _ => {}
                }
            }
        }
    }

    /// Notes the path that has been read, with what stands before its braces.
    fn end_path(&mut self) {
        let path = std::mem::take(&mut self.path);
        if path.is_empty() {
            return;
        }
        let whole = self.prefixes.concat() + path.trim_end_matches("::");
        let whole = whole.trim_end_matches("::self").trim_start_matches("::");
        self.found.push(Found {
            path: whole.to_owned(),
            line: self.line,
            nested: self.braces.iter().filter(|is_module| **is_module).count(),
        });
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphanumeric() || first == '_')
}

/// Words, `::`, and every other character by itself; no spaces.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_part = |part: char| part.is_alphanumeric() || part == '_';
        let length = match first {
            _ if rest.starts_with("::") => 2,
            _ if is_part(first) => rest.find(|part| !is_part(part)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, behind) = rest.split_at(length);
        tokens.push(token);
        rest = behind.trim_start();
    }
    tokens
}

/// The rule itself, on breaches made up in every form that they may take.
#[test]
fn a_breach_is_found_in_every_form() {
    let [_, proto, reactor] = RULES;
    for (breach, line) in [
        ("use crate::reactor::Hub;", 1),
        ("use crate::net;", 1),
        ("use crate::Reactor;", 1),
        ("use crate::*;", 1),
        ("pub(crate) use crate::reactor::ConnId;", 1),
        ("use std::{fmt, net::SocketAddr};", 1),
        ("use std::{\n    fmt,\n    io::{self, Error},\n};", 3),
        ("use std::fmt;\nuse crate::{\n    id,\n    net::tcp,\n};", 4),
        ("fn f(hub: &mut crate::reactor::Hub) {}", 1),
        ("use super::super::reactor::Hub;", 1),
        ("fn f(hub: &super::super::net::tcp::Raw) {}", 1),
        ("\nfn now() -> u64 {\n    let at = Instant::now();\n", 3),
        ("fn f() -> Result<(), std::io::Error> {}", 1),
        ("use std::rc::Rc;", 1),
        ("struct Shared(Rc<u8>);", 1),
        ("struct Shared(std::cell::RefCell<u8>);", 1),
        ("use ::mio::Token;", 1),
        ("fn f(socket: socket2::SockRef<'_>) {}", 1),
    ] {
        let found = proto.breaches("src/proto/line.rs", breach);
        assert_eq!(
            found.len(),
            1 + usize::from(breach.contains("{self, Error}")),
            "{breach}"
        );
        let place = format!("src/proto/line.rs:{line}: ");
        assert!(found[0].starts_with(&place), "{} for {breach}", found[0]);
    }
    for breach in ["use crate::net::tcp;", "use crate::proto::Codec;"] {
        assert_eq!(reactor.breaches("src/reactor/hub.rs", breach).len(), 1);
    }
    for (file, breach) in [
        ("src/reactor/mod.rs", "use super::proto::Codec;"),
        (
            "src/reactor/hub.rs",
            "mod tests {\n    use super::super::super::net::tcp;\n}",
        ),
        (
            "src/reactor/hub.rs",
            "mod tests {\n}\nuse super::super::net::tcp;",
        ),
    ] {
        assert_eq!(reactor.breaches(file, breach).len(), 1, "{breach}");
    }
}

/// What is allowed, and what only looks like a breach.
#[test]
fn no_breach_is_found_where_there_is_none() {
    let [id, proto, reactor] = RULES;
    let text = "
        //! Nothing of crate::reactor is used here, nor std::net.
        use std::{fmt, time::Instant};
        use super::Codec;
        use crate::id::{ConnId, ConnMap};
        /// As [`Hub`](crate::Hub) has it, or mio::Poll.
        fn mionic(arc: u8, Rcx: u8) { let x = { arc }; let y = Vec::new(); } // std::net::TcpStream
        const WHY: &str = \"in use; mio::Poll has {\";
        mod tests { use super::*; }
    ";
    assert_eq!(proto.breaches("src/proto/line.rs", text), [""; 0]);
    assert_eq!(
        id.breaches("src/id.rs", "mod tests { use super::*; }"),
        [""; 0]
    );
    let lower = "use mio::Poll;\nuse std::rc::Rc;\nuse super::Reactor;\nuse crate::id::Slots;";
    assert_eq!(reactor.breaches("src/reactor/hub.rs", lower), [""; 0]);
}
