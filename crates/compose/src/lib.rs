//! Compose files, loaded into one canonical project as the Compose Specification says.
//!
//! ```text
//!  files, .env, environment ──▶ load: parse → interpolate → extends → include → merge → check → canonical
//!                                 │
//!                                 ▼
//!                         model: Project, Service, Network, … every attribute in its long form
//!                                 │
//!                                 ▼
//!                         render: YAML and JSON as `docker compose config` prints them; the hash of a service
//! ```
//!
//! Everything here is pure but the reading of files, which goes through one small trait. The planner decides over a
//! [`model::Project`]; the command line prints one.

#![forbid(unsafe_code)]

pub mod load;
pub mod model;
pub mod render;
mod tree;
pub mod value;
