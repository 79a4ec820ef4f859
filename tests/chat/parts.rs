//! What of the example knows no sockets.
#![allow(dead_code, reason = "the example uses all of it")]

#[path = "../../examples/chat/command.rs"]
mod command;
#[path = "../../examples/chat/flood.rs"]
mod flood;
#[path = "../../examples/chat/room.rs"]
mod room;
#[path = "../../examples/chat/words.rs"]
mod words;
