//! A client of BuildKit's API behind any Docker endpoint, as `docker buildx build` is one.
//!
//! ```text
//!  BuildOptions ──prepare──▶ Prepared ──headers──▶ whoever has the endpoint opens /grpc and /session
//!                               │                                    │
//!                               ▼                                    │
//!                     run(control, session) ◀────────────────────────┘
//!                       │            │
//!        Solve, Status, │            │ the engine asks: folders, secrets, agents, logins, where outputs go
//!        questions      ▼            ▼
//!          BuildEvent…, Outcome   session
//! ```
//!
//! The engine may be anybody's. It sees the folders that were named and nothing that their links lead to, of a Dockerfile
//! elsewhere only that file and its ignore file, the secrets and agents that were named; an agent only signs for it. It writes
//! below the output folders that were named, and to no other place; to an OCI layout only blobs, by their digests.
//!
//! Engines without BuildKit get their files by [`pack`].

#![forbid(unsafe_code)]

mod attributes;
mod event;
mod failure;
mod filter;
mod follow;
mod keys;
mod layout;
mod options;
mod pack;
mod run;
mod session;
pub mod words;

pub use event::{BuildEvent, Log, LogStream, Source, Status, Vertex, Warning};
pub use failure::{Failure, RunError, Snippet};
pub use keys::{KeyError, KeyFault, Keys};
pub use layout::LayoutError;
pub use options::{
    Agent, AgentSource, BuildOptions, CacheEntry, Destination, Dockerfile, Files, NamedContext, Output,
    Secret,
};
pub use pack::{Extra, PackError, dockerfile_in, pack};
pub use run::{Outcome, run};
pub use session::{KeepError, Login, Logins, PrepareError, Prepared};
