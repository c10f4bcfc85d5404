//! A folder of the client's as a [`Context`]: fetched when it is asked for, as much of it as is asked for.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use minke_build::{Context, ContextError, Tree, Wanted};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::Session;
use super::keys::context_error;
use crate::files::slots::{Slot, Slots};
use crate::files::{Beside, receive};
use crate::grpc::Status;
use crate::progress::Feed;

/// The folder that a client offers under a name (`context`, `dockerfile`, or that of a named context).
pub(crate) struct Folder {
    pub(crate) session: Arc<Session>,
    pub(crate) name: String,
    pub(crate) slots: Slots,
    pub(crate) feed: Feed,
}

impl Folder {
    /// Brings what is wanted into a slot, and tells of it as a step of this title.
    async fn bring(&self, wanted: &Wanted, slot: io::Result<Slot>, title: &str) -> Result<Slot, Status> {
        let step = self.feed.join(title);
        let status = self.feed.status(&step, "transferring", &format!("transferring {}:", self.what()));
        let result = self.receive(wanted, slot, |bytes| status.at(bytes)).await;
        match result {
            Ok(slot) => {
                status.done();
                step.done();
                Ok(slot)
            }
            Err(error) => {
                step.failed(&error.message);
                Err(error)
            }
        }
    }

    async fn receive(
        &self,
        wanted: &Wanted,
        slot: io::Result<Slot>,
        progress: impl Fn(u64),
    ) -> Result<Slot, Status> {
        let slot = slot.map_err(|error| Status::unknown(format!("making room for the context: {error}")))?;
        let call = self.session.call("/moby.filesync.v1.FileSync/DiffCopy", headers(&self.name, wanted)?)?;
        receive(call, slot.folder(), Beside::Goes, slot, progress)
            .await
            .map_err(|status| status.context(&format!("receiving {}", self.name)))
    }

    fn key<'a>(&'a self, wanted: &'a Wanted) -> Vec<&'a str> {
        let patterns = wanted
            .paths
            .iter()
            .map(String::as_str)
            .chain([""])
            .chain(wanted.exclude.iter().map(String::as_str));
        [&*self.session.shared_key, &*self.name].into_iter().chain(patterns).collect()
    }

    fn what(&self) -> &str {
        if self.name == "dockerfile" { "dockerfile" } else { "context" }
    }

    /// Several small files at once, each with its content if it is there. They are sent each time: what is built follows from
    /// them, and a file of another folder of this name may have the same size and time.
    pub(crate) async fn read(
        &self,
        paths: &[&str],
        most: u64,
        title: &str,
    ) -> Result<Vec<Option<Vec<u8>>>, Status> {
        let wanted =
            Wanted { paths: paths.iter().map(|path| (*path).to_owned()).collect(), ..Wanted::default() };
        let slot = self.slots.take_empty(&self.key(&wanted));
        let slot = self.bring(&wanted, slot, title).await?;
        let folder = slot.folder();
        paths.iter().map(|path| read_inside(&folder, path, most)).collect()
    }
}

impl Context for Folder {
    fn read_file(&self, path: &str, most: u64) -> BoxFuture<'_, Result<Option<Vec<u8>>, ContextError>> {
        let path = path.to_owned();
        Box::pin(async move {
            let title = format!("[internal] load {path}");
            let files = self.read(&[&path], most, &title).await;
            Ok(files.map_err(|status| context_error(&status))?.pop().flatten())
        })
    }

    fn fetch(&self, wanted: Wanted) -> BoxFuture<'_, Result<Tree, ContextError>> {
        Box::pin(async move {
            let title = match &*self.name {
                "context" => "[internal] load build context".to_owned(),
                name => format!("[context {name}] load from client"),
            };
            let slot = self.slots.take(&self.key(&wanted));
            let slot = self.bring(&wanted, slot, &title).await.map_err(|status| context_error(&status))?;
            Ok(Tree::new(slot.folder(), slot))
        })
    }

    fn heeds_ignore_file(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// What the client is told of what is wanted.
fn headers(name: &str, wanted: &Wanted) -> Result<HeaderMap, Status> {
    let everything = wanted.paths.iter().any(|path| matches!(path.trim_matches('/'), "" | "."));
    let paths = if everything { &[][..] } else { &wanted.paths };
    let mut headers = HeaderMap::new();
    put(&mut headers, "dir-name", &[name.to_owned()])?;
    put(&mut headers, "followpaths", paths)?;
    put(&mut headers, "exclude-patterns", &wanted.exclude)?;
    Ok(headers)
}

/// Several values under a name, all of them escaped if one has to be.
fn put(headers: &mut HeaderMap, name: &'static str, values: &[String]) -> Result<(), Status> {
    let plain = values
        .iter()
        .all(|value| value.bytes().all(|byte| matches!(byte, b' '..=b'~')) && value.trim() == value);
    for value in values {
        let text = if plain { value.clone() } else { escaped(value) };
        let value =
            HeaderValue::from_str(&text).map_err(|_| Status::invalid(format!("{name}: {value:?}")))?;
        headers.append(HeaderName::from_static(name), value);
    }
    if !plain {
        let flag = HeaderName::from_bytes(format!("{name}-encoded").as_bytes());
        headers.insert(flag.map_err(|_| Status::invalid(name))?, HeaderValue::from_static("1"));
    }
    Ok(())
}

/// As Go's `url.QueryEscape`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A file's content by its path in a folder, as a process would see it whose root that is.
fn read_inside(folder: &Path, path: &str, most: u64) -> Result<Option<Vec<u8>>, Status> {
    let failed = |error: std::io::Error| Status::invalid(format!("reading {path}: {error}"));
    let root = std::fs::File::open(folder).map_err(failed)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Ok(file) => std::fs::File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(failed(error.into())),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Status::invalid(format!("{path} is no file")));
    }
    let mut content = Vec::new();
    file.take(most + 1).read_to_end(&mut content).map_err(failed)?;
    match content.len() as u64 > most {
        true => Err(Status::invalid(format!("{path} has more than {most} bytes"))),
        false => Ok(Some(content)),
    }
}

/// What is read beside the build's own folder: the Dockerfile's `.dockerignore` lies where the Dockerfile does.
pub(crate) struct WithIgnoreFile {
    pub(crate) inner: Folder,
    /// `Dockerfile.dockerignore`
    pub(crate) name: String,
    pub(crate) content: Option<Vec<u8>>,
}

impl Context for WithIgnoreFile {
    fn read_file(&self, path: &str, most: u64) -> BoxFuture<'_, Result<Option<Vec<u8>>, ContextError>> {
        match path == self.name {
            true => Box::pin(async { Ok(self.content.clone()) }),
            false => self.inner.read_file(path, most),
        }
    }

    fn fetch(&self, wanted: Wanted) -> BoxFuture<'_, Result<Tree, ContextError>> {
        self.inner.fetch(wanted)
    }

    fn name(&self) -> String {
        self.inner.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_is_wanted_is_said_in_headers() {
        let wanted = Wanted {
            paths: vec!["src/*.rs".into(), "ä".into()],
            exclude: vec!["*.o".into(), "!a.o".into()],
        };
        let headers = headers("context", &wanted).unwrap();
        assert_eq!(values(&headers, "followpaths"), ["src%2F%2A.rs", "%C3%A4"]);
        assert_eq!(values(&headers, "followpaths-encoded"), ["1"]);
        assert_eq!(values(&headers, "exclude-patterns"), ["*.o", "!a.o"]);
        assert!(!headers.contains_key("exclude-patterns-encoded"));
    }

    #[test]
    fn all_is_wanted_when_the_root_is() {
        let wanted = Wanted { paths: vec!["a".into(), ".".into()], exclude: Vec::new() };
        assert!(values(&headers("context", &wanted).unwrap(), "followpaths").is_empty());
    }

    #[test]
    fn files_are_read_inside_their_folder() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), "12").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("b")).unwrap();
        assert_eq!(read_inside(root.path(), "a", 2).unwrap().unwrap(), b"12");
        assert!(read_inside(root.path(), "a", 1).is_err());
        assert_eq!(read_inside(root.path(), "b", 9).unwrap(), None);
        assert_eq!(read_inside(root.path(), "c", 9).unwrap(), None);
    }
}
