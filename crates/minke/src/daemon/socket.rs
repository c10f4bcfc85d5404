//! The engine's sockets: one that a dead engine left is replaced, one that a living engine serves is not.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::Gid;
use tokio::net::UnixListener;

use crate::failure::Failure;

/// How long the socket of an engine that was killed may seem to be served: a process that it was just starting has all
/// descriptors until it executes its program.
const INHERITED: Duration = Duration::from_secs(1);

/// Refuses to start where another engine answers.
///
/// # Errors
/// When one does.
pub(super) fn refuse_if_served(path: &Path) -> Result<(), Failure> {
    let deadline = Instant::now() + INHERITED;
    while UnixStream::connect(path).is_ok() {
        if Instant::now() > deadline {
            return Err(Failure::new(format!(
                "minke daemon: another engine already listens on unix://{}; choose other --host, --root and --state for a second one",
                path.display()
            )));
        }
        std::thread::sleep(INHERITED / 100);
    }
    Ok(())
}

/// Listens on `path` for root and, where given, a group. The folder is made; a dead engine's socket is replaced.
///
/// # Errors
/// When the path is something else than a socket, or the system refuses.
pub(super) fn listen(path: &Path, group: Option<u32>) -> Result<UnixListener, Failure> {
    let failed = |error| Failure::doing(format!("minke daemon: listen on {}", path.display()), error);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => fs::remove_file(path).map_err(failed)?,
        Ok(_) => return Err(failed(io::Error::other("there is something that is no socket"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    // Bound under another name first: nobody can connect before the permissions are right.
    let mut hidden = path.as_os_str().to_owned();
    hidden.push(".new");
    let hidden = PathBuf::from(hidden);
    let _ = fs::remove_file(&hidden);
    let listener = UnixListener::bind(&hidden).map_err(failed)?;
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o660)).map_err(failed)?;
    if let Some(group) = group {
        rustix::fs::chown(&hidden, None, Some(Gid::from_raw(group))).map_err(|error| failed(error.into()))?;
    }
    fs::rename(&hidden, path).map_err(failed)?;
    Ok(listener)
}

/// A socket's name, removed when dropped if it is still ours.
#[derive(Debug)]
pub(super) struct Bound {
    path: PathBuf,
    inode: Option<(u64, u64)>,
}

impl Bound {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), inode: inode(path) }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if self.inode.is_some() && inode(&self.path) == self.inode {
            // Whoever removed it in the meantime did what was to be done.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Who may use the sockets, as Docker has it where nobody says.
const DEFAULT_GROUP: &str = "docker";

/// The id of the group of `--group`; without that, of `docker`, where there is one. None for an empty name.
///
/// # Errors
/// When a group was named that there is not.
pub(super) fn group(name: Option<&str>) -> Result<Option<u32>, Failure> {
    match name {
        Some("") => Ok(None),
        Some(name) => group_id(name).map(Some),
        None => Ok(group_id(DEFAULT_GROUP).ok()),
    }
}

/// The id of a group by its name or number. /etc/group is read directly: a static program has no name services.
///
/// # Errors
/// When there is no such group.
fn group_id(name: &str) -> Result<u32, Failure> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let text = fs::read_to_string("/etc/group").map_err(|error| Failure::doing("read /etc/group", error))?;
    find_group(&text, name)
        .ok_or_else(|| Failure::new(format!("minke daemon: --group: there is no group {name:?}")))
}

/// group(5): `name:password:id:members`.
fn find_group(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let id = (fields.next() == Some(name)).then(|| fields.nth(1)).flatten()?;
        id.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_name() {
        assert_eq!(find_group("root:x:0:\ndocker:x:998:me\n", "docker"), Some(998));
        assert_eq!(find_group("dockers:x:998:me\n", "docker"), None);
        assert_eq!(group_id("17").unwrap(), 17);
        assert_eq!(group(Some("17")).unwrap(), Some(17));
        assert_eq!(group(Some("")).unwrap(), None);
        assert!(group(Some("no such group")).is_err());
        assert!(group(None).is_ok());
    }

    #[tokio::test]
    async fn a_dead_engines_socket_is_replaced_and_a_living_ones_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/docker.sock");
        assert!(refuse_if_served(&path).is_ok());
        let listener = listen(&path, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(refuse_if_served(&path).unwrap_err().message.contains("another engine already listens"));
        drop(listener);
        assert!(refuse_if_served(&path).is_ok());
        let _again = listen(&path, None).unwrap();
        let bound = Bound::new(&path);
        drop(bound);
        assert!(!path.exists());
        fs::write(&path, "").unwrap();
        assert!(listen(&path, None).unwrap_err().message.contains("no socket"));
    }

    #[tokio::test]
    async fn a_socket_that_a_later_engine_bound_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let _first = listen(&path, None).unwrap();
        let bound = Bound::new(&path);
        let _second = listen(&path, None).unwrap();
        drop(bound);
        assert!(path.exists());
    }

    #[test]
    fn a_socket_that_a_killed_engine_leaves_late_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let inherited = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let leaving = std::thread::spawn(move || {
            std::thread::sleep(INHERITED / 20);
            drop(inherited);
        });
        assert!(refuse_if_served(&path).is_ok());
        leaving.join().unwrap();
    }
}
