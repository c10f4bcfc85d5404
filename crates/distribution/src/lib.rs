//! The OCI distribution API 1.1 as a client: what pull, push, login, search and a pull-through cache stand
//! on.
//!
//! ```text
//!   Distribution ─▶ Repository ─▶ manifests · blobs · upload · lists        what is asked
//!                                        │
//!                                    Session                                retries, tokens, redirects
//!                                        │        ▲ endpoint: mirrors, hosts.toml, certs.d
//!                                    Transport                              TLS, proxies, names, connections
//! ```
//!
//! It knows nothing of images or of where they are kept: manifests are bytes here. Decisions are pure
//! (`challenge`, `endpoint`, `range`, `redirect`, `retry`, `pace`, `upload::plan`), and what a peer sends is
//! bounded in size and in time.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use minke_distribution::{Distribution, RegistrySettings, Target};
//! let distribution = Distribution::new(RegistrySettings::default())?;
//! let name = "redis:7".parse()?;
//! let manifest = distribution.repository(&name, None).manifest(&Target::of(&name)).await?;
//! println!("{} {}", manifest.media_type, manifest.digest);
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]

mod answer;
mod auth;
mod blobs;
mod certificates;
mod challenge;
mod credentials;
mod distribution;
mod endpoint;
mod error;
mod hosts_toml;
mod insecure;
mod link;
mod lists;
mod login;
mod manifests;
mod mirror;
mod names;
mod pace;
mod proxy;
mod range;
mod redirect;
mod referrers;
mod refusal;
mod repository;
mod retry;
mod scope;
mod search;
mod session;
mod settings;
mod shared;
mod source;
mod token;
mod transport;
mod upload;

pub use blobs::BlobStream;
pub use credentials::Credentials;
pub use distribution::Distribution;
pub use error::{Error, TransportError};
pub use login::Login;
pub use manifests::FetchedManifest;
pub use proxy::ProxySettings;
pub use refusal::Refusal;
pub use repository::{Repository, Target};
pub use reqwest::Client as HttpClient;
pub use search::{SearchFilters, SearchResult};
pub use settings::{NameFiles, RegistrySettings, SettingsError};
pub use source::{BlobReader, BlobSource};
pub use upload::Pushed;
