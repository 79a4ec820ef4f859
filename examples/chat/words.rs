//! What people may be called, and what of a text is shown.

/// The longest name of a person or a room, in characters.
const MAX_NAME: usize = 24;

/// The longest text that may be said, in characters.
pub(crate) const MAX_TEXT: usize = 2_000;

/// Letters that are drawn as nothing.
const FILLERS: [char; 4] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}'];

/// Checks a name: letters and digits of any script, and `-`, `_` and `.` after the first of them.
/// So there is nothing invisible in it, nothing that turns the direction of writing, and no colon,
/// which ends a name in `nick: text`.
pub(crate) fn name(text: &str) -> Result<&str, &'static str> {
    let is_letter = |at: char| at.is_alphanumeric() && !FILLERS.contains(&at);
    let is_good = |at: char| is_letter(at) || matches!(at, '-' | '_' | '.');
    let text = text.trim();
    match text.chars().next() {
        None => Err("A name is needed."),
        Some(first) if !is_letter(first) => Err("A name begins with a letter or a digit."),
        _ if text.chars().count() > MAX_NAME => Err("A name has at most 24 characters."),
        _ if !text.chars().all(is_good) => {
            Err("A name consists of letters and digits, with - _ . between them.")
        }
        _ => Ok(text),
    }
}

/// Names that differ only by this are the same.
pub(crate) fn fold(name: &str) -> String {
    name.to_lowercase()
}

/// What may be shown of a text: everything but what would do something to a terminal, or to the
/// text around it. It is one line.
pub(crate) fn clean(text: &str) -> String {
    let spaced = text.chars().map(|at| match at {
        '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}' => ' ',
        other => other,
    });
    let shown: String = spaced
        .filter(|at| !at.is_control() && !turns(*at))
        .collect();
    shown.trim().to_owned()
}

/// Whether a character changes the direction of what follows it.
fn turns(at: char) -> bool {
    matches!(at, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["otter", " otter ", "Ännchen", "r2-d2", "水獺", "a.b_c", "7"] {
            assert_eq!(name(good), Ok(good.trim()));
        }
        let long = "x".repeat(25);
        for bad in [
            "",
            " ",
            "-x",
            ".x",
            "a b",
            "a:b",
            "a/b",
            "<b>",
            "a\u{202e}b",
            "a\u{200b}b",
            "a\x1b[1m",
            "\u{3164}",
            "a\u{feff}",
            "\u{1f9a6}",
            &long,
        ] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert!(name(&long[1..]).is_ok());
        assert_eq!(fold("OTTER"), fold("otter"));
    }

    #[test]
    fn what_is_shown_is_one_line_and_does_nothing_to_a_terminal() {
        for (text, shown) in [
            ("hello", "hello"),
            ("  two\nlines\t", "two lines"),
            ("\x1b[31mred\x07\u{9b}", "[31mred"),
            ("a\u{202e}b\u{2066}c", "abc"),
            ("\u{1f468}\u{200d}\u{1f469}", "\u{1f468}\u{200d}\u{1f469}"),
            ("\0\x7f", ""),
        ] {
            assert_eq!(clean(text), shown);
        }
    }
}
