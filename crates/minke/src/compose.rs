//! `minke compose`, which is `docker compose` too where it is installed as docker's plugin of that name.
//!
//! ```text
//!   flags before the verb ──▶ session: file → project → engine's state ──▶ a plan of minke-compose ──▶ carried out, shown
//! ```
//! The verbs are clients of a Docker Engine API like all others. Each file here has one verb or a few that are alike; what to do
//! is decided in `minke_compose::plan`, and done in `minke_compose::run`.

mod attached;
mod bring;
mod build;
mod config;
mod copying;
mod down;
mod exec;
pub(crate) mod flags;
mod graph;
mod images;
mod lifecycle;
mod listing;
mod logs;
mod looks;
pub(crate) mod plugin;
mod printer;
mod remove;
mod run;
mod screen;
mod session;
mod streams;
mod up;
mod version;
mod watch;

pub(crate) use config::{CONFIG, VOLUMES};
pub(crate) use copying::{COMMIT, CP, EXPORT};
pub(crate) use down::DOWN;
pub(crate) use exec::{ATTACH, EXEC};
pub(crate) use graph::GRAPH;
pub(crate) use images::{BUILD, IMAGES, PULL, PUSH};
pub(crate) use lifecycle::{KILL, PAUSE, RESTART, START, STOP, UNPAUSE};
pub(crate) use listing::{LS, PORT, PS, TOP};
pub(crate) use logs::LOGS;
pub(crate) use remove::RM;
pub(crate) use run::RUN;
pub(crate) use streams::{EVENTS, STATS, WAIT};
pub(crate) use up::{CREATE, SCALE, UP};
pub(crate) use version::VERSION;
pub(crate) use watch::WATCH;
