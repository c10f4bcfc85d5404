//! Looking into sources: a file's content, what a folder has, what a file is.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use minke_build::{Context, Tree, Wanted};
use minke_buildkit_wire::files::stat_of;
use minke_dockerfile::ignore::Glob;
use minke_kernel::path::Root;
use rustix::fs::{AtFlags, Dir, OFlags};

use crate::builds::Build;
use crate::grpc::{Code, Status};
use crate::pb::fsutil::Stat;
use crate::pb::gateway::{
    FileRange, ReadDirRequest, ReadDirResponse, ReadFileRequest, ReadFileResponse, StatFileRequest,
    StatFileResponse,
};
use crate::session::keys::context_status;

/// The most bytes of a file that are given in one answer: clients refuse more than 16 MiB.
const LONGEST: u64 = 15 << 20;
/// The most entries of a folder that are told.
const MOST_ENTRIES: usize = 10_000;

/// `ReadFile`
pub(super) async fn file(build: &Build, request: ReadFileRequest) -> Result<ReadFileResponse, Status> {
    let (source, path) = (build.source(&request.reference)?, request.path);
    let Some(range) = request.range else {
        let content = source.read_file(&path, LONGEST).await.map_err(|error| context_status(&error))?;
        return Ok(ReadFileResponse { data: content.ok_or_else(|| missing("open", &path))? });
    };
    let data = below(source, move |root| {
        let file = root.open_at(Path::new(&path), OFlags::RDONLY | OFlags::NONBLOCK);
        let file = File::from(file.map_err(|_| missing("open", &path))?);
        part(file, range).map_err(|error| Status::unknown(format!("read {path}: {error}")))
    });
    Ok(ReadFileResponse { data: data.await? })
}

/// Bytes of a file, within it.
fn part(mut file: impl Read + Seek, range: FileRange) -> io::Result<Vec<u8>> {
    let bound = |count: i64| u64::try_from(count).unwrap_or(0);
    file.seek(SeekFrom::Start(bound(range.offset)))?;
    let length = if range.length > 0 { bound(range.length).min(LONGEST) } else { LONGEST };
    let mut data = Vec::new();
    file.take(length).read_to_end(&mut data)?;
    Ok(data)
}

/// `StatFile`
pub(super) async fn stat(build: &Build, request: StatFileRequest) -> Result<StatFileResponse, Status> {
    let path = request.path.clone();
    let stat = below(build.source(&request.reference)?, move |root| {
        let found = root.locate(Path::new(&path)).map_err(|_| missing("lstat", &path))?;
        let stat = rustix::fs::fstat(&found).map_err(|_| missing("lstat", &path))?;
        let name = Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
        stat_of(&name, &stat).ok_or_else(|| missing("lstat", &path))
    });
    Ok(StatFileResponse { stat: Some(stat.await?) })
}

/// `ReadDir`
pub(super) async fn directory(build: &Build, request: ReadDirRequest) -> Result<ReadDirResponse, Status> {
    let ReadDirRequest { reference, path, pattern } = request;
    let pattern = (!pattern.is_empty()).then(|| Glob::new(&pattern)).transpose();
    let pattern = pattern.map_err(|error| Status::invalid(error.to_string()))?;
    let entries = below(build.source(&reference)?, move |root| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = root.open_at(Path::new(&path), flags).map_err(|_| missing("open", &path))?;
        let mut entries: Vec<Stat> = Vec::new();
        for entry in Dir::read_from(&folder).map_err(|_| missing("open", &path))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_wanted = pattern.as_ref().is_none_or(|pattern| pattern.matches(&name));
            if matches!(&*name, "." | "..") || !is_wanted || entries.len() >= MOST_ENTRIES {
                continue;
            }
            let stat = rustix::fs::statat(&folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
            entries.extend(stat.ok().and_then(|stat| stat_of(&name, &stat)));
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    });
    Ok(ReadDirResponse { entries: entries.await? })
}

/// Looks at a source's files. Links in it lead nowhere outside.
async fn below<T: Send + 'static>(
    source: Arc<dyn Context>,
    look: impl FnOnce(&Root) -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let tree: Tree = source.fetch(Wanted::default()).await.map_err(|error| context_status(&error))?;
    let work = tokio::task::spawn_blocking(move || {
        let root = Root::open(tree.path()).map_err(|error| Status::unknown(error.to_string()))?;
        look(&root)
    });
    work.await.map_err(|error| Status::unknown(error.to_string()))?
}

fn missing(what: &str, path: &str) -> Status {
    Status::new(Code::NotFound, format!("{what} {path}: no such file or directory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_file_are_within_it() {
        let of = |offset, length| part(io::Cursor::new(b"abcdef"), FileRange { offset, length }).unwrap();
        assert_eq!((of(1, 2), of(4, 100), of(2, 0)), (b"bc".to_vec(), b"ef".to_vec(), b"cdef".to_vec()));
        assert_eq!((of(-5, -1), of(100, 1)), (b"abcdef".to_vec(), Vec::new()));
    }
}
