//! Compose: files loaded into one canonical project as the Compose Specification says, and projects brought about on an engine.
//!
//! ```text
//!  files, .env, environment ──▶ load: parse → interpolate → extends → include → merge → check → canonical
//!                                 │
//!                                 ▼
//!                         model: Project, Service, Network, … every attribute in its long form
//!                          │      │
//!                          │      ▼
//!                          │   render: YAML and JSON as `docker compose config` prints them; the hash of a service
//!                          ▼
//!  what an engine has ──▶ plan: commands, and which of them waits for which ──▶ run: requests to a Docker Engine API
//! ```
//!
//! Everything is pure but the reading of files, which goes through one small trait, and [`run`], which speaks to engines. The command
//! line is in the crate `minke`.

#![forbid(unsafe_code)]

pub mod load;
pub mod model;
pub mod plan;
pub mod render;
pub mod run;
mod tree;
pub mod value;
