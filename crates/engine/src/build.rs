//! What the builder needs of the engine: a place to work in, and the running of a step's program as a container that
//! nobody sees.
//!
//! A workspace is a container's directory without a container, so that what a killed engine leaves of it (processes, a
//! cgroup, files) is swept by the next one as any container's remains are.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use minke_image::ImageStore;
use minke_kernel::path::Root;
use minke_model::ContainerId;
use tokio::io::AsyncRead;

use crate::{
    Engine, Error,
    container::{Places, removal},
    engine::{Busy, Inner},
    pipes, random,
    rootfs::{self, Layers},
};

/// Where one step works. Its files are deleted when it is dropped.
pub struct Workspace {
    pub(crate) inner: Arc<Inner>,
    pub(crate) id: ContainerId,
    pub(crate) places: Places,
    _busy: Busy,
}

/// A program to run on layers.
#[derive(Debug, Default)]
pub struct StepSpec {
    /// The layers' directories, the topmost first.
    pub lower: Vec<PathBuf>,
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// The working directory.
    pub directory: String,
    /// `user[:group]`, names or numbers of the layers' own; root when empty.
    pub user: String,
    /// What is mounted while it runs.
    pub mounts: Vec<StepMount>,
    /// Which network it has.
    pub network: StepNetwork,
    /// Whether it is not confined.
    pub insecure: bool,
    /// `name:address`.
    pub extra_hosts: Vec<String>,
    /// Bytes of /dev/shm.
    pub shm_size: Option<i64>,
    /// `name=soft[:hard]`.
    pub ulimits: Vec<String>,
    /// Where its cgroup is; empty for the engine's own.
    pub cgroup_parent: String,
    /// Its host name; empty for `buildkitsandbox`, which is what Docker's builder uses.
    pub hostname: String,
    /// Limits: bytes of memory, and of memory and swap.
    pub memory: (i64, i64),
    /// Limits: shares, period, quota.
    pub cpu: (i64, i64, i64),
    /// Limits: processors and memory nodes.
    pub cpusets: (String, String),
}

/// A mount of a step.
#[derive(Debug)]
pub struct StepMount {
    /// Where, absolute.
    pub target: String,
    /// Whether nothing may be written.
    pub read_only: bool,
    /// What.
    pub kind: StepMountKind,
}

/// What a step mounts.
#[derive(Debug)]
pub enum StepMountKind {
    /// The directory or file that a handle is on; whoever opened it has resolved all links.
    Bind(OwnedFd),
    /// Directories of layers on each other, the topmost first. What is written goes to a directory of the workspace, and is lost.
    Overlay(Vec<OwnedFd>),
    /// Memory, of so many bytes at most.
    Tmpfs(Option<u64>),
}

/// The network of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StepNetwork {
    /// The default bridge.
    #[default]
    Default,
    /// Loopback alone.
    None,
    /// The host's.
    Host,
    /// As `docker run --network` has it.
    Named(String),
}

/// Which of a step's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a step's program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepExit {
    /// Its status, as a shell would show it.
    pub code: i64,
    /// Whether the kernel killed a process of it for want of memory.
    pub oom_killed: bool,
    /// Why it never ran.
    pub error: Option<String>,
}

impl Engine {
    /// The engine's images and layers.
    pub fn image_store(&self) -> &ImageStore {
        &self.inner().images
    }

    /// Tells listeners of events that a build has made an image, and named it.
    pub fn image_built(&self, id: &str, names: &[String]) {
        self.inner().image_event("create", id, id);
        for name in names {
            self.inner().image_event("tag", id, &crate::images::familiar(name));
        }
    }

    /// A place below the engine's root, on the file system of its layers.
    pub fn build_path(&self, name: &str) -> PathBuf {
        self.untouched().config.root.join("build").join(name)
    }

    /// Lets blocking work read what an async stream brings.
    ///
    /// # Errors
    /// When the work panicked.
    pub async fn read_blocking<T: Send + 'static>(
        &self,
        from: impl AsyncRead + Send + Unpin + 'static,
        work: impl FnOnce(&mut (dyn io::Read + Send)) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (pipe, mut reader) = pipes::to_blocking();
        let pumping = tokio::spawn(pipes::pump(from, pipe));
        let result = self.waiting(move |_| Ok(work(&mut reader))).await;
        pumping.abort();
        result
    }

    /// A directory below the engine's root, on the file system of its layers, made where missing. Only root may look in.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn build_directory(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.build_path(name);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| Error::internal(format!("make {}", path.display()), &error))?;
        Ok(path)
    }

    /// A new place for a step to work in.
    ///
    /// # Errors
    /// When its directories can't be made.
    pub fn build_workspace(&self) -> Result<Workspace, Error> {
        let busy = self.busy();
        let inner = Arc::clone(self.inner());
        let id = ContainerId::from_random(random::bytes()?);
        let places = inner.places(&id);
        let workspace = Workspace { inner, id, places, _busy: busy };
        let failed = |error: io::Error| Error::internal("make a build's workspace", &error);
        for name in ["rootfs", "upper", "work"] {
            fs::create_dir_all(workspace.places.directory.join(name)).map_err(failed)?;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&workspace.places.state).map_err(failed)?;
        Ok(workspace)
    }
}

impl Workspace {
    /// Where changes go.
    pub fn upper(&self) -> PathBuf {
        self.places.directory.join("upper")
    }

    /// A directory in memory (where the engine's state directory is), for what must not reach a disk.
    pub fn volatile(&self) -> &Path {
        &self.places.state
    }

    /// The directory of the workspace itself, on the layers' file system.
    pub fn directory(&self) -> &Path {
        &self.places.directory
    }

    /// The layers with what was changed here, for writing. Only while nothing runs in it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn writable(&self, lower: &[PathBuf]) -> io::Result<Root> {
        match lower.is_empty() {
            true => Root::open(&self.upper()),
            false => self.layers(lower).writable(),
        }
    }

    pub(crate) fn layers(&self, lower: &[PathBuf]) -> Layers {
        Layers { lower: lower.to_vec(), upper: self.upper(), work: self.places.directory.join("work") }
    }
}

/// Layers alone, read-only.
///
/// # Errors
/// What the kernel says.
pub fn layers_root(lower: &[PathBuf]) -> io::Result<Root> {
    Layers { lower: lower.to_vec(), ..Layers::default() }.read_only()
}

/// The user and group that files get of `user[:group]`, names being the root's own. A number alone is both. As in BuildKit a name
/// that isn't there is no mistake: it means root, or the user's own group.
///
/// # Errors
/// When the root's files can't be read.
pub fn owner_in(root: &Root, owner: &str) -> Result<(u32, u32), Error> {
    let accounts =
        rootfs::accounts(root).map_err(|error| Error::internal("read the image's users", &error))?;
    let known = |words: &str| accounts.resolve(words, &[]).ok().map(|found| (found.uid, found.gid));
    let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
    let (uid, own_group) = match user.parse() {
        Ok(number) => (number, number),
        Err(_) => known(user).unwrap_or_default(),
    };
    let group = match group.parse() {
        Ok(number) => Some(number),
        Err(_) => known(&format!(":{group}")).map(|(_, gid)| gid).filter(|_| !group.is_empty()),
    };
    Ok((uid, group.unwrap_or(own_group)))
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let places = self.places.clone();
        let delete = move || {
            let _ = fs::remove_file(&places.socket);
            for directory in [&places.directory, &places.state] {
                if let Err(error) = removal::delete(directory) {
                    tracing::warn!(%error, directory = %directory.display(), "delete a build's workspace");
                }
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => self.inner.clean_ups.add(runtime.spawn_blocking(delete)),
            Err(_) => delete(),
        }
    }
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workspace").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_who_is_unknown_are_roots() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        fs::write(folder.path().join("etc/passwd"), "ann:x:10:20::/:\n").unwrap();
        fs::write(folder.path().join("etc/group"), "staff:x:30:\n").unwrap();
        let root = Root::open(folder.path()).unwrap();
        for (asked, owner) in [
            ("10", (10, 10)),
            ("10:", (10, 10)),
            ("10:30", (10, 30)),
            ("10:none", (10, 10)),
            ("ann", (10, 20)),
            ("ann:staff", (10, 30)),
            ("ann:none", (10, 20)),
            ("none", (0, 0)),
            ("none:staff", (0, 30)),
            (":staff", (0, 30)),
        ] {
            assert_eq!(owner_in(&root, asked).unwrap(), owner, "{asked}");
        }
    }
}
