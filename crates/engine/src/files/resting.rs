//! The files of a container that doesn't run, as its processes saw them: its layers, with its volumes and the files that name
//! it in their places, so that symbolic links lead where they led.
//!
//! They are put together in a mount namespace that holds nothing else; it ends with the last descriptor of it, and nothing of
//! it is seen on the host.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minke_kernel::mount::{self, Attribute, Attributes, Propagation};
use minke_kernel::namespace::{self, Kinds};
use minke_kernel::path::Root;
use minke_model::runtime_spec::NamespaceType;

use super::Access;
use crate::container::{Container, Phase, Record, network_owner};
use crate::engine::Inner;
use crate::volumes::{Held, clean_path};
use crate::{Error, error::chain};

/// The files in /etc that are the engine's.
const NAMED: [&str; 3] = ["resolv.conf", "hosts", "hostname"];

/// What the root stands on.
pub(super) struct Resting {
    /// The mounts below the root are there as long as this is.
    _namespace: OwnedFd,
    /// Keeps what volumes' options mount there.
    _held: Vec<Held>,
    _access: Access,
}

/// One mount: a copy of a place of the host's, not attached yet, and where it belongs.
struct Piece {
    copy: OwnedFd,
    is_directory: bool,
    destination: PathBuf,
}

/// Whether looking at a container may change its layers: one that never ran lacks the places of its mounts, and its working
/// directory.
pub(super) fn changes_layers(container: &Container, write: bool) -> bool {
    write || container.phase() == Phase::Created
}

/// Puts a container together to look at `path`; it must not run. Blocking.
///
/// # Errors
/// `Internal`; `NotFound` for a volume that is gone.
pub(super) fn assemble(
    inner: &Arc<Inner>,
    container: &Container,
    path: &Path,
    access: Access,
) -> Result<(Root, Resting), Error> {
    let record = container.record();
    let failed =
        |error: io::Error| Error::internal(format!("look at the files of {}", container.id.short()), &error);
    let volumes = record.mounts.iter().filter_map(|mount| mount.name.as_deref());
    let held = volumes.map(|volume| Held::new(inner, volume)).collect::<Result<Vec<_>, _>>()?;
    let layers = inner.layers(&record)?;
    let changes = access.alone.is_some();
    if access.write && !changes {
        return Err(Error::conflict(format!("container {} has just ended: try again", container.id)));
    }
    let root = if changes { layers.writable() } else { layers.read_only() }.map_err(failed)?;
    if changes {
        make_working_directory(&record, &root, path);
    }
    let assembly = Assembly {
        root: &root,
        place: &inner.places(&record.id).directory.join("rootfs"),
        // Of the host's mounts as they are before the root is one of them.
        pieces: pieces(inner, &record)?,
        changes,
        write: access.write,
        read_only: record.host.readonly_rootfs == Some(true),
    };
    // In a thread of its own: nobody else is to get into its namespace.
    let namespace = std::thread::scope(|scope| {
        let built = scope.spawn(|| assembly.build()).join();
        built.unwrap_or_else(|_| Err(io::Error::other("the thread that mounts them failed")))
    });
    let namespace = namespace.map_err(failed)?;
    Ok((root, Resting { _namespace: namespace, _held: held, _access: access }))
}

/// The directory that a container's processes begin in is there for who copies into it or out of it.
fn make_working_directory(record: &Record, root: &Root, path: &Path) {
    let Some(directory) = record.config.working_dir.as_deref().filter(|path| !path.is_empty()) else {
        return;
    };
    if Path::new(&clean_path(&path.to_string_lossy())).starts_with(clean_path(directory)) {
        // Whatever stands in its way is told by who looks for it.
        drop(root.mkdir_all(Path::new(directory)));
    }
}

/// What a container mounts of the host's.
fn pieces(inner: &Inner, record: &Record) -> Result<Vec<Piece>, Error> {
    let mut pieces = Vec::new();
    for mount in record.mounts.iter().filter(|mount| mount.kind.is_on_the_host()) {
        // Keeps what the path of a volume's part stands for.
        let mut part = Vec::new();
        let source = match &mount.name {
            Some(_) => inner.volumes.volume_source(mount, &mut part)?,
            // A source that is gone hides nothing.
            None if !Path::new(&mount.source).exists() => continue,
            None => mount.source.clone(),
        };
        pieces.push(piece(Path::new(&source), &mount.destination, !mount.non_recursive, !mount.rw)?);
    }
    let owner = inner.find(record.id.as_str()).and_then(|container| network_owner(inner, container));
    let own = inner.places(&owner.map_or_else(|_| record.id.clone(), |owner| owner.id.clone())).directory;
    for name in NAMED {
        let (source, destination) = (own.join(name), format!("/etc/{name}"));
        if source.exists() && record.mounts.iter().all(|mount| mount.destination != destination) {
            pieces.push(piece(&source, &destination, false, record.host.readonly_rootfs == Some(true))?);
        }
    }
    pieces.sort_by_key(|piece| piece.destination.components().count());
    Ok(pieces)
}

fn piece(source: &Path, destination: &str, recursive: bool, read_only: bool) -> Result<Piece, Error> {
    let copy = || {
        let copy = mount::clone_path(source, recursive)?;
        // What is mounted in it is not mounted in the host's.
        mount::set_propagation(&copy, Propagation::Private, true)?;
        if read_only {
            mount::set_attributes(&copy, &no_writes(), true)?;
        }
        Ok::<_, io::Error>(copy)
    };
    let copy = copy().map_err(|error| Error::internal(format!("bind {}", source.display()), &error))?;
    Ok(Piece { copy, is_directory: source.is_dir(), destination: destination.into() })
}

fn no_writes() -> Attributes {
    [Attribute::ReadOnly].into_iter().collect()
}

struct Assembly<'a> {
    root: &'a Root,
    /// A directory of the host's where the root may be mounted.
    place: &'a Path,
    pieces: Vec<Piece>,
    /// Whether places that are missing for mounts are made.
    changes: bool,
    /// Whether a mount that can't be made matters: what is copied must not end beside it.
    write: bool,
    read_only: bool,
}

impl Assembly<'_> {
    /// Mounts it all in a new mount namespace of this thread's.
    fn build(&self) -> io::Result<OwnedFd> {
        namespace::unshare(Kinds::of(NamespaceType::Mount))?;
        let namespace = File::open("/proc/thread-self/ns/mnt")?.into();
        mount::set_propagation(File::open("/")?, Propagation::Private, true)?;
        let top = self.root.locate(Path::new("/"))?;
        mount::attach_at(&top, self.place)?;
        // The host's mounts are not kept from being unmounted by who looks into a container. A root in a ramdisk can't be
        // left.
        if let Err(error) = mount::pivot(top.as_fd()) {
            tracing::debug!(error = chain(&error), "keep the host's mounts while files are copied");
        }
        for piece in &self.pieces {
            if let Err(error) = self.attach(piece) {
                if self.write {
                    return Err(error);
                }
                tracing::debug!(error = chain(&error), destination = %piece.destination.display(), "leave out a mount");
            }
        }
        if self.read_only {
            mount::set_attributes(&top, &no_writes(), false)?;
        }
        Ok(namespace)
    }

    fn attach(&self, piece: &Piece) -> io::Result<()> {
        let target = match self.root.locate(&piece.destination) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.changes => match piece.is_directory
            {
                true => self.root.mkdir_all(&piece.destination)?,
                false => self.root.create_file(&piece.destination)?,
            },
            found => found?,
        };
        mount::attach(piece.copy.as_fd(), target)
    }
}
