//! Plans carried out, and projects observed: all that speaks to an engine, through its Docker API and
//! nothing else, and to programs of the user's (providers).

mod before;
mod build;
mod changes;
mod create;
mod error;
mod exec;
mod execute;
mod files;
mod ignore;
mod inotify;
pub mod logs;
mod models;
mod needs;
mod observe;
mod program;
mod provider;
mod proxies;
mod report;
mod step;
mod wait;
pub mod watch;

pub use build::{BuildFlags, build};
pub use create::create_container;
pub use error::RunError;
pub use exec::{Ran, run_in};
pub use execute::Execution;
pub use files::put as put_files;
pub use ignore::Ignore;
pub use observe::{containers, images, observe, profiles, projects};
pub use program::ProgramError;
pub use report::{Event, Phase, Surroundings};
