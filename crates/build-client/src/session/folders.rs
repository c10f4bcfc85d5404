//! Folders by their names: of each, the engine gets what it asks for, and nothing that a link leads to outside of it. The
//! Dockerfile is one more, of at most two files that are held in memory: whatever else is beside it is nobody's business.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use bytes::Bytes;
use minke_buildkit_wire::files::{Choice, Choose as _, send};
use minke_buildkit_wire::grpc::{Call, Code, Reply, Request, Status};
use minke_buildkit_wire::pb::fsutil::{Kind, Packet, Stat};

use super::header;
use crate::filter::Filter;
use crate::follow::follow;

/// What a name stands for.
pub(super) enum Folder {
    /// A folder of this host's.
    Host(PathBuf),
    /// Files that are held, in the order of their names.
    Held(Vec<HeldFile>),
}

/// A small file.
#[derive(Debug, Clone)]
pub(super) struct HeldFile {
    pub(super) name: String,
    pub(super) content: Bytes,
    /// Nanoseconds since 1970: engines that know the file by it don't ask for it again.
    pub(super) modified: i64,
}

/// The folders of a build.
#[derive(Default)]
pub(super) struct Folders(BTreeMap<String, Folder>);

/// What a request wants of a folder.
struct Wanted {
    include: Vec<String>,
    exclude: Vec<String>,
    follow: Vec<String>,
}

impl Folders {
    pub(super) fn put(&mut self, name: String, folder: Folder) {
        self.0.insert(name, folder);
    }

    pub(super) fn send(&self, request: Request) -> Result<Reply, Status> {
        let name = header(&request, "dir-name");
        let folder = self.0.get(name);
        let folder = folder
            .ok_or_else(|| Status::new(Code::NotFound, format!("no access allowed to dir {name:?}")))?;
        let wanted = Wanted::read(&request)?;
        match folder {
            Folder::Host(path) => {
                let path = path.clone();
                Ok(request.converse(|call| async move {
                    let failed = |error: String| Status::unknown(format!("{}: {error}", path.display()));
                    let root = File::open(&path).map_err(|error| failed(error.to_string()))?;
                    let filter = wanted.filter(&root)?;
                    send(call, root, filter, false, |_| ()).await
                }))
            }
            Folder::Held(files) => {
                let mut filter = wanted.filter_by(|paths| Ok(Some(paths.to_vec())))?;
                let files = files.iter().filter(|file| filter.choose(&file.name, false) == Choice::Take);
                let files: Vec<_> = files.cloned().collect();
                Ok(request.converse(|call| send_held(call, files)))
            }
        }
    }
}

impl Wanted {
    fn read(request: &Request) -> Result<Self, Status> {
        Ok(Self {
            include: values(request, "include-patterns")?,
            exclude: values(request, "exclude-patterns")?,
            follow: values(request, "followpaths")?,
        })
    }

    fn filter(&self, root: &File) -> Result<Filter, Status> {
        self.filter_by(|paths| follow(root, paths).map_err(|error| Status::invalid(error.to_string())))
    }

    /// Paths that are followed are included, with what their links lead to.
    fn filter_by(
        &self,
        follow: impl Fn(&[String]) -> Result<Option<Vec<String>>, Status>,
    ) -> Result<Filter, Status> {
        let mut include = self.include.clone();
        let mut is_all = self.include.is_empty() && self.follow.is_empty();
        if !self.follow.is_empty() {
            match follow(&self.follow)? {
                Some(paths) => include.extend(paths),
                None => is_all = true,
            }
        }
        Filter::new((!is_all).then_some(&include[..]), &self.exclude)
            .map_err(|error| Status::invalid(error.to_string()))
    }
}

/// All values of a header, unescaped where they are escaped.
fn values(request: &Request, name: &str) -> Result<Vec<String>, Status> {
    let is_escaped = header(request, &format!("{name}-encoded")) == "1";
    let values = request.headers.get_all(name).iter().map(|value| {
        let text = value.to_str().map_err(|_| Status::invalid(format!("{name} is no text")))?;
        Ok(if is_escaped { unescaped(text) } else { text.to_owned() })
    });
    values.collect()
}

/// As Go's `url.QueryUnescape`.
fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = match (first, after) {
            (b'%', [high, low, ..]) => {
                std::str::from_utf8(&[*high, *low]).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok())
            }
            (b'+', _) => Some(b' '),
            _ => None,
        };
        let is_long = code.is_some() && *first == b'%';
        out.push(code.unwrap_or(*first));
        rest = if is_long { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

async fn send_held(mut call: Call, files: Vec<HeldFile>) -> Result<(), Status> {
    for file in &files {
        let size = i64::try_from(file.content.len()).unwrap_or(i64::MAX);
        let stat =
            Stat { path: file.name.clone(), mode: 0o644, size, mod_time: file.modified, ..Stat::default() };
        call.send(&Packet::stat(Some(stat))).await?;
    }
    call.send(&Packet::stat(None)).await?;
    while let Some(packet) = call.next::<Packet>().await? {
        match packet.kind() {
            Kind::Request => {
                let file = usize::try_from(packet.id).ok().and_then(|id| files.get(id));
                let file = file.ok_or_else(|| Status::invalid(format!("there is no file {}", packet.id)))?;
                for part in file.content.chunks(1024 * 1024) {
                    call.send(&Packet::data(packet.id, file.content.slice_ref(part))).await?;
                }
                call.send(&Packet::data(packet.id, Bytes::new())).await?;
            }
            Kind::End => return call.send(&Packet::end()).await,
            Kind::Error => {
                let text = String::from_utf8_lossy(&packet.data).into_owned();
                return Err(Status::unknown(format!("error from receiver: {text}")));
            }
            Kind::Stat | Kind::Data => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_unescaped() {
        assert_eq!(unescaped("src%2F%2A.rs+x%C3%A4%"), "src/*.rs xä%");
    }
}
