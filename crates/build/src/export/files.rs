//! The files of a result, as a directory or as a tar; those of several platforms in a directory each unless they are to be
//! in one.

use std::{
    collections::BTreeSet,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use minke_dockerfile::csv;
use minke_engine::ByteStream;
use minke_image::archive;
use minke_kernel::path::Root;
use rustix::fs::OFlags;

use super::{Finished, merge, statements};
use crate::{
    BuildError, Output, OutputKind, Tree,
    attest::Attested,
    build::{Build, State},
    copy::Copier,
    files::Match,
    walk::{Walk, apart},
};

fn root(build: &Build, state: &State) -> Result<Root, BuildError> {
    let lower = build.lower(&state.layers)?;
    let root = match lower.is_empty() {
        true => Root::open(&build.engine.build_directory("empty")?),
        false => minke_engine::layers_root(&lower),
    };
    root.map_err(|error| BuildError::Failed(format!("look at the result's files: {error}")))
}

/// The files as a tar.
pub(super) async fn tar(
    finished: &[Finished],
    output: &Output,
    attested: &[Attested],
) -> Result<ByteStream, BuildError> {
    match finished {
        [one] if attested.iter().all(|attested| attested.wanted.is_empty()) => {
            let root = root(&one.build, &one.state)?;
            let opened = root.open_at(Path::new("/"), OFlags::RDONLY | OFlags::DIRECTORY);
            let opened = opened.map_err(|error| BuildError::Failed(format!("open the result: {error}")))?;
            Ok(pack(opened, (root, one.state.clone())))
        }
        _ => {
            let tree = directory(finished, output, attested).await?;
            let opened = std::fs::File::open(tree.path());
            let opened = opened.map_err(|error| BuildError::Failed(format!("open the result: {error}")))?;
            Ok(pack(opened.into(), tree))
        }
    }
}

/// A directory as a tar; `held` keeps it there.
fn pack(root: std::os::fd::OwnedFd, held: impl Send + 'static) -> ByteStream {
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    minke_patience::spawn(move || {
        let _held = held;
        let mut writer = Pieces { sender: sender.clone(), buffer: Vec::new() };
        // The destination's own attributes are whoever's that unpacks it.
        let leave_out = BTreeSet::from([PathBuf::new()]);
        let options =
            archive::PackOptions { exact_times: true, leave_out, ..archive::PackOptions::default() };
        let packed = archive::pack(root.as_fd(), Path::new(""), &mut writer, &options);
        let _ = std::io::Write::flush(&mut writer);
        if let Err(error) = packed {
            let _ = sender.blocking_send(Err(std::io::Error::other(error.to_string())));
        }
    });
    Box::pin(futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    }))
}

/// A copy of the files in a workspace: an overlay mount has no path of this host's. What was attested lies beside the files that it is
/// about.
pub(super) async fn directory(
    finished: &[Finished],
    output: &Output,
    attested: &[Attested],
) -> Result<Tree, BuildError> {
    let Some(first) = finished.first() else {
        return Err(BuildError::Failed("nothing was built".to_owned()));
    };
    let workspace = Arc::new(first.build.engine.build_workspace()?);
    let mut sources = Vec::with_capacity(finished.len());
    let prefix = output.attributes.get("attestation-prefix").map_or("", String::as_str);
    let (several, split) = (finished.len() > 1, is_split(output, finished.len())?);
    for (number, one) in finished.iter().enumerate() {
        let platform = one.build.platform.to_string();
        let name = platform.replace('/', "_");
        let said = attested
            .get(number)
            .map(|attested| statements::of(attested, prefix, (several && !split).then_some(name.as_str())));
        let said = said.transpose()?.unwrap_or_default();
        let folder = if several || split { format!("/{name}") } else { "/".to_owned() };
        sources.push((root(&one.build, &one.state)?, folder, platform, one.state.clone(), said));
    }
    let copied = apart(move |stop| {
        let to = Root::open(&workspace.upper())
            .map_err(|error| BuildError::Failed(format!("open a workspace: {error}")))?;
        for (root, folder, _, _held, said) in &sources {
            let mut copier = Copier {
                to: &to,
                owner: None,
                chmod: None,
                whole: true,
                made_at: None,
                links: Default::default(),
            };
            let all = Match::default();
            copier.copy(root, &all, folder, false, Walk::all(stop))?;
            statements::write(&to, folder, said, stop)?;
        }
        if split || !several {
            return Ok(Tree::new(workspace.upper(), workspace));
        }
        let opened = |folder: &str| {
            let opened = to.open_at(Path::new(folder), OFlags::RDONLY | OFlags::DIRECTORY);
            opened.map_err(|error| BuildError::Failed(format!("open the result: {error}")))
        };
        let all = sources.first().map_or("/", |(_, folder, ..)| folder);
        for (_, folder, platform, ..) in sources.iter().skip(1) {
            merge::into(opened(all)?.as_fd(), opened(folder)?.as_fd(), platform)?;
        }
        Ok(Tree::new(workspace.upper().join(all.trim_start_matches('/')), workspace))
    });
    copied.await
}

/// Whether each platform's files are in a directory of their own: those of several, unless it is said otherwise.
fn is_split(output: &Output, platforms: usize) -> Result<bool, BuildError> {
    match output.attributes.get("platform-split").filter(|_| output.kind == OutputKind::Local) {
        None => Ok(platforms > 1),
        Some(text) => csv::boolean(text)
            .ok_or_else(|| BuildError::Invalid(format!("platform-split={text}: want true or false"))),
    }
}

/// Blocking writes that become pieces of a stream.
struct Pieces {
    sender: tokio::sync::mpsc::Sender<std::io::Result<bytes::Bytes>>,
    buffer: Vec<u8>,
}

const PIECE: usize = 128 << 10;

impl std::io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = bytes::Bytes::from(std::mem::take(&mut self.buffer));
        self.sender.blocking_send(Ok(piece)).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        let _ = std::io::Write::flush(self);
    }
}
