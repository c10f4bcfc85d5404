//! The Dockerfile language, pure: text in, a graph of stages with typed steps out. `.dockerignore` too.
//!
//! Nothing here opens a file or asks a registry; crates/build does that, step by step as it learns of base images.
//!
//! ```text
//!  bytes ──parse──▶ ast::Dockerfile ──Plan::new──▶ plan::Plan ──evaluate(base's config)──▶ steps + image config
//!                        │   arguments, target, platforms, contexts ▲  ▲ on_build(triggers of the base)
//!                        └──────────────▶ lint::Linter ◀────────────┘──┘
//! ```
//!
//! Why not a crate that exists: `docs/decisions/0035-a-dockerfile-parser-of-our-own.md`.

#![forbid(unsafe_code)]

pub mod ast;
pub mod csv;
pub mod diagnostic;
mod environment;
pub mod evaluate;
pub mod expand;
pub mod ignore;
pub mod limits;
pub mod lint;
pub mod outline;
mod parse;
mod paths;
pub mod plan;
mod quote;
mod suggest;

pub use diagnostic::Diagnostic;
pub use parse::{parse, parse_partly};
