//! `develop`: what happens while its files change.

use super::{Hook, attribute::attributes};

attributes! {
    /// How a service is kept up to date while it is developed.
    pub struct Develop {
        /// Paths that are watched.
        watch: Vec<Trigger>,
    }
}

attributes! {
    /// A path that is watched, and what a change there does.
    pub struct Trigger {
        /// The file or folder (absolute).
        path: String,
        /// `sync`, `rebuild`, `restart`, `sync+restart` or `sync+exec`.
        action: String,
        /// Where in the container files are copied to.
        target: String,
        /// What `sync+exec` runs.
        exec: Hook,
        /// Only files that match one of these.
        include: Vec<String>,
        /// No files that match one of these.
        ignore: Vec<String>,
        /// Files are copied once when the watch begins.
        initial_sync: bool,
    }
}
