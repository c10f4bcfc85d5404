//! newuidmap(1) and newgidmap(1): they map subordinate ids for users who may only map their own.
//!
//! They belong to the system (Debian's package `uidmap`), are set-user-ID and read /etc/subuid and /etc/subgid;
//! no program can do their work without being trusted as they are.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use minke_model::runtime_spec::IdMapping;
use rustix::fs::{Access, AtFlags, CWD};

/// Which ids.
#[derive(Clone, Copy)]
pub(super) enum Ids {
    Users,
    Groups,
}

impl Ids {
    fn tool(self) -> &'static str {
        match self {
            Self::Users => "newuidmap",
            Self::Groups => "newgidmap",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Users => "/etc/subuid",
            Self::Groups => "/etc/subgid",
        }
    }
}

/// Has the tool write the mappings of process `pid`, which must be the caller's own and dumpable.
pub(super) fn map(ids: Ids, pid: i32, mappings: &[IdMapping]) -> io::Result<()> {
    let tool = ids.tool();
    let path = find(tool).ok_or_else(|| {
        let reason = format!("more ids than the caller's own need {tool}, which is not on PATH");
        io::Error::new(io::ErrorKind::NotFound, format!("{reason} (install the package uidmap)"))
    })?;
    let output = Command::new(&path)
        .arg(pid.to_string())
        .args(mappings.iter().flat_map(numbers))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("run {}: {error}", path.display())))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default().trim();
    let said = said.strip_prefix(tool).map_or(said, |rest| rest.trim_start_matches(':').trim());
    let end = if said.is_empty() { output.status.to_string() } else { said.to_owned() };
    Err(io::Error::other(format!("{tool} refused: {end} (the user's subordinate ids are in {})", ids.file())))
}

fn numbers(map: &IdMapping) -> [String; 3] {
    [map.container_id, map.host_id, map.size].map(|number| number.to_string())
}

fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let mut candidates = env::split_paths(&path).map(|directory| directory.join(name));
    candidates.find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}
