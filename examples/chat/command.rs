//! What somebody may type: something to say, or a command.

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    Help,
    Join(&'a str),
    Me(&'a str),
    Nick(&'a str),
    Quit,
    Rooms,
    Say(&'a str),
    Unknown(&'a str),
    Who,
}

/// What `/help` says.
pub(crate) const HELP: &str = "\
/join ROOM    go to a room, which begins with that
/me ACTION    say what you do
/nick NAME    be called something else
/who          who is here
/rooms        which rooms there are
/quit         leave
//TEXT        say something that begins with a slash";

impl<'a> Command<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let Some(command) = text.strip_prefix('/') else {
            return Self::Say(text);
        };
        if command.starts_with('/') {
            return Self::Say(command);
        }
        let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
        let rest = rest.trim();
        match word {
            "help" => Self::Help,
            "join" => Self::Join(rest),
            "me" => Self::Me(rest),
            "nick" => Self::Nick(rest),
            "quit" => Self::Quit,
            "rooms" => Self::Rooms,
            "who" => Self::Who,
            other => Self::Unknown(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        for (text, command) in [
            ("hello", Command::Say("hello")),
            ("a /join b", Command::Say("a /join b")),
            ("//etc/hosts", Command::Say("/etc/hosts")),
            ("/join  tea ", Command::Join("tea")),
            ("/join", Command::Join("")),
            ("/me waves", Command::Me("waves")),
            ("/nick otter", Command::Nick("otter")),
            ("/who", Command::Who),
            ("/rooms", Command::Rooms),
            ("/help me", Command::Help),
            ("/quit", Command::Quit),
            ("/joint tea", Command::Unknown("joint")),
            ("/", Command::Unknown("")),
        ] {
            assert_eq!(Command::parse(text), command);
        }
    }
}
