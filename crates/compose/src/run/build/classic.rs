//! The folder that is built from, packed while it is sent: its size doesn't matter for memory.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use tokio::io::AsyncRead;
use tokio::net::unix::pipe::Receiver;

use crate::{
    model::Build,
    run::{error::RunError, ignore::Ignore},
};

/// The name of a Dockerfile that stands in the Compose file, inside of the archive.
pub(super) const INLINE: &str = ".minke-compose.Dockerfile";

/// Begins to pack the context of a build.
///
/// # Errors
/// When the folder or its ignore file can't be read.
pub fn context_tar(build: &Build) -> Result<impl AsyncRead + Send + 'static, RunError> {
    let root = PathBuf::from(&build.context);
    let failed = |what: &str, path: &Path| {
        let (what, path) = (what.to_owned(), path.to_owned());
        move |source| RunError::File { what, path, source }
    };
    let is_folder = fs::metadata(&root).map_err(failed("read the build context", &root))?.is_dir();
    if !is_folder {
        return Err(failed("the build context is no folder", &root)(io::ErrorKind::NotADirectory.into()));
    }
    let dockerfile = (build.dockerfile_inline.is_empty()).then(|| dockerfile(build));
    if let Some(dockerfile) = &dockerfile {
        let path = root.join(dockerfile);
        fs::metadata(&path).map_err(failed("read the Dockerfile", &path))?;
    }
    let ignore = ignore(&root, dockerfile.as_deref())?;
    let (reader, writer) = io::pipe().map_err(failed("make a pipe for the build context", &root))?;
    let receiver =
        Receiver::from_owned_fd(reader.into()).map_err(failed("make a pipe for the build context", &root))?;
    let inline = build.dockerfile_inline.clone();
    std::thread::spawn(move || {
        let mut packer =
            Packer { root, ignore, kept: dockerfile, tar: tar::Builder::new(io::BufWriter::new(writer)) };
        // An error ends the stream before the archive does, which the engine notices and reports.
        if let Err(error) = packer.pack(&inline) {
            tracing::warn!(%error, root = %packer.root.display(), "the build context can't be read");
        }
    });
    Ok(receiver)
}

fn dockerfile(build: &Build) -> PathBuf {
    match build.dockerfile.as_str() {
        "" => "Dockerfile".into(),
        name => name.into(),
    }
}

/// The Dockerfile's own ignore file, else the folder's.
fn ignore(root: &Path, dockerfile: Option<&Path>) -> Result<Ignore, RunError> {
    let own = dockerfile.map(|dockerfile| {
        let mut name = root.join(dockerfile).into_os_string();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    let mut found = None;
    for path in own.into_iter().chain([root.join(".dockerignore")]) {
        if found.is_none() {
            found = Ignore::patterns(&path)?.map(|patterns| (path, patterns));
        }
    }
    let (path, patterns) = found.unwrap_or_default();
    Ignore::of(patterns).map_err(|error| RunError::File {
        what: "read".to_owned(),
        path,
        source: io::Error::new(io::ErrorKind::InvalidData, error),
    })
}

struct Packer<W: io::Write> {
    root: PathBuf,
    ignore: Ignore,
    /// The Dockerfile is sent whatever the patterns say.
    kept: Option<PathBuf>,
    tar: tar::Builder<W>,
}

impl<W: io::Write> Packer<W> {
    fn pack(&mut self, inline: &str) -> io::Result<()> {
        self.tar.follow_symlinks(false);
        self.folder(&PathBuf::new())?;
        if !inline.is_empty() {
            let mut header = tar::Header::new_gnu();
            header.set_size(inline.len() as u64);
            header.set_mode(0o644);
            self.tar.append_data(&mut header, INLINE, inline.as_bytes())?;
        }
        self.tar.finish()?;
        self.tar.get_mut().flush()
    }

    fn folder(&mut self, below: &Path) -> io::Result<()> {
        let mut entries: Vec<_> = fs::read_dir(self.root.join(below))?.collect::<io::Result<_>>()?;
        // In the order of names, so that the same folder is the same archive.
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = below.join(entry.file_name());
            let excluded = self.ignore.excludes(&path) && self.kept.as_ref() != Some(&path);
            let is_folder = entry.file_type()?.is_dir();
            let above_kept = self.kept.as_ref().is_some_and(|kept| kept.starts_with(&path));
            if excluded && !(is_folder && (above_kept || self.ignore.takes_in_below(&path))) {
                continue;
            }
            self.entry(&entry, &path, is_folder)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &fs::DirEntry, path: &Path, is_folder: bool) -> io::Result<()> {
        let kind = entry.file_type()?;
        // Sockets have no place in an archive.
        if kind.is_socket() {
            return Ok(());
        }
        let metadata = entry.metadata()?;
        let mut header = tar::Header::new_gnu();
        header.set_metadata(&metadata);
        // Whoever builds owns nothing in the image.
        header.set_uid(0);
        header.set_gid(0);
        header.set_mode(metadata.mode() & 0o7777);
        if is_folder {
            self.tar.append_data(&mut header, path, io::empty())?;
            return self.folder(path);
        }
        if kind.is_symlink() {
            let target = fs::read_link(entry.path())?;
            header.set_size(0);
            return self.tar.append_link(&mut header, path, target);
        }
        if !kind.is_file() {
            header.set_size(0);
            return self.tar.append_data(&mut header, path, io::empty());
        }
        let file = fs::File::open(entry.path())?;
        // One that grows meanwhile must not break the archive.
        self.tar.append_data(&mut header, path, io::Read::take(file, metadata.len()))
    }
}
