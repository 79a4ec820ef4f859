//! How the parts of the reactor act on each other: flow, endings, patience, time, topics, shutdown.

mod clocks;
mod ending;
mod flow;
mod patience;
mod stopping;
mod topics;
