//! What is built from: a directory of this host, packed without what `.dockerignore` leaves out; a URL; an archive.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use minke_docker_client::Body;
use minke_dockerfile::ignore::{self, Folder, Matcher, Verdict};
use minke_image::archive::{PackOptions, pack};
use tokio::task::JoinHandle;

use crate::{copy::pipes, failure::Failure};

const TAR: &str = "application/x-tar";

/// The thread that packs a directory.
type Packing = JoinHandle<Result<(), Failure>>;

/// Where the files come from.
#[derive(Debug)]
pub(super) struct Source {
    /// The Dockerfile's path in the context.
    pub(super) dockerfile: String,
    /// What the engine fetches by itself.
    pub(super) remote: Option<String>,
    directory: Option<PathBuf>,
}

impl Source {
    /// What the last word of the command line means.
    #[expect(clippy::disallowed_methods, reason = "they are the user's own paths, on the user's own host")]
    pub(super) fn find(context: &str, file: Option<&Path>) -> Result<Self, Failure> {
        let named = file.map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
        let is_url = ["http://", "https://", "git://", "git@", "ssh://"]
            .iter()
            .any(|start| context.starts_with(start));
        if is_url {
            return Ok(Self { dockerfile: named, remote: Some(context.to_owned()), directory: None });
        }
        if context == "-" {
            return Ok(Self { dockerfile: named, remote: None, directory: None });
        }
        let directory = fs::canonicalize(context)
            .map_err(|error| Failure::doing(format!("open the build context {context}"), error))?;
        let Some(file) = file else {
            return Ok(Self {
                dockerfile: "Dockerfile".to_owned(),
                remote: None,
                directory: Some(directory),
            });
        };
        let path = fs::canonicalize(file)
            .or_else(|_| fs::canonicalize(directory.join(file)))
            .map_err(|error| Failure::doing(format!("open {}", file.display()), error))?;
        let inside = path.strip_prefix(&directory).map_err(|_| {
            Failure::new(format!("the Dockerfile {} must be within the build context", file.display()))
        })?;
        let dockerfile = inside.to_string_lossy().into_owned();
        Ok(Self { dockerfile, remote: None, directory: Some(directory) })
    }

    /// The request's body, and the thread that packs it.
    pub(super) fn body(self) -> Result<(Body, Option<Packing>), Failure> {
        if self.remote.is_some() {
            return Ok((Body::Empty, None));
        }
        let Some(directory) = self.directory else {
            return Ok((Body::reader(TAR, tokio::io::stdin()), None));
        };
        let leave_out = left_out(&directory, &self.dockerfile)?;
        let (writer, reader) = pipes::from_thread().map_err(|error| Failure::doing("make a pipe", error))?;
        let packing = tokio::task::spawn_blocking(move || {
            let root = File::open(&directory)
                .map_err(|error| Failure::doing(format!("open {}", directory.display()), error))?;
            let options = PackOptions { leave_out, exact_times: true, ..PackOptions::default() };
            let writer = std::io::BufWriter::with_capacity(128 << 10, writer);
            let packed = pack(root.as_fd(), Path::new(""), writer, &options);
            packed.map(drop).map_err(|error| Failure::doing("pack the build context", error))
        });
        Ok((Body::reader(TAR, reader), Some(packing)))
    }
}

/// The paths that `.dockerignore` leaves out; the Dockerfile and the list itself are sent in any case.
fn left_out(directory: &Path, dockerfile: &str) -> Result<BTreeSet<PathBuf>, Failure> {
    let own = format!("{dockerfile}.dockerignore");
    let name = if directory.join(&own).is_file() { own } else { ".dockerignore".to_owned() };
    let mut left = BTreeSet::new();
    let Ok(bytes) = fs::read(directory.join(&name)) else { return Ok(left) };
    let refused = |error: &dyn std::fmt::Display| Failure::new(format!("{name}: {error}"));
    let patterns = ignore::read(&bytes).map_err(|error| refused(&error))?;
    let matcher = Matcher::new(&patterns).map_err(|error| refused(&error))?;
    walk(directory, Path::new(""), &matcher, &matcher.root(), &mut left)
        .map_err(|error| Failure::doing(format!("read {}", directory.display()), error))?;
    left.remove(Path::new(dockerfile));
    left.remove(Path::new(&name));
    Ok(left)
}

fn walk(
    top: &Path,
    below: &Path,
    matcher: &Matcher,
    folder: &Folder,
    left: &mut BTreeSet<PathBuf>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(top.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let name = path.to_string_lossy().into_owned();
        if !entry.file_type()?.is_dir() {
            if matcher.is_ignored(&name, folder) {
                left.insert(path);
            }
            continue;
        }
        let (verdict, inner) = matcher.enter(&name, folder);
        if verdict == Verdict::Ignored {
            everything(top, &path, left)?;
            continue;
        }
        if verdict != Verdict::Kept {
            left.insert(path.clone());
        }
        walk(top, &path, matcher, &inner, left)?;
    }
    Ok(())
}

/// A directory with all that is in it.
fn everything(top: &Path, below: &Path, left: &mut BTreeSet<PathBuf>) -> std::io::Result<()> {
    left.insert(below.to_owned());
    for entry in fs::read_dir(top.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => everything(top, &path, left)?,
            false => drop(left.insert(path)),
        }
    }
    Ok(())
}
