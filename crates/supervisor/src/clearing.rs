//! Taking down what a supervisor left that was killed.
//!
//! Its container lives on without it: nobody reaps the processes, keeps the log or would ever tell of the end. As with Docker,
//! whose containers go with a shim that was killed, it is ended.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use minke_oci_runtime::supervise::protocol::SupervisorConfig;

use crate::spawn::config_path;

/// Why something of the container may be there still.
#[derive(Debug, thiserror::Error)]
pub enum ClearError {
    /// What the supervisor was told can't be read.
    #[error("read {}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The runtime could not be executed.
    #[error("execute {}", program.display())]
    Execute {
        /// Which program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The runtime refused; trying again helps when the container's processes could not be ended yet.
    #[error("{} delete: {reason}", program.display())]
    Refused {
        /// Which program.
        program: PathBuf,
        /// The last line that it wrote.
        reason: String,
    },
}

/// Has the container of `bundle` deleted by the runtime that made it, `program` unless the supervisor was told another: its
/// processes, its cgroup, its state. Content if there is nothing. Waits for the processes' end.
///
/// # Errors
/// [`ClearError`]
pub fn clear(program: &Path, bundle: &Path) -> Result<(), ClearError> {
    let path = config_path(bundle);
    let json = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result.map_err(|source| ClearError::Config { path: path.clone(), source })?,
    };
    let config: SupervisorConfig =
        serde_json::from_slice(&json).map_err(|error| ClearError::Config { path, source: error.into() })?;
    let program = config.runtime.as_deref().unwrap_or(program);
    let ran = Command::new(program)
        .args(&config.runtime_args)
        .arg("--root")
        .arg(&config.runtime_root)
        .args(["delete", "--force", config.id.as_str()])
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ClearError::Execute { program: program.to_owned(), source })?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    let reason = said.lines().last().unwrap_or("it did not say why").to_owned();
    Err(ClearError::Refused { program: program.to_owned(), reason })
}
