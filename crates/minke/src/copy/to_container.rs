//! `minke cp SRC CONTAINER:PATH`.

use std::{
    fs::{self, File},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use minke_docker_client::{Body, Client};
use minke_image::archive::{PackOptions, pack};
use tokio::io;

use super::{
    Request,
    path::{self, Existing},
    pipes,
    stat::{PathStat, stat},
};
use crate::failure::Failure;

/// What the body of an archive is called.
const TAR: &str = "application/x-tar";

/// Copies into a container.
///
/// # Errors
/// When the source isn't there, the destination doesn't fit it, or the engine refuses.
pub(crate) async fn to_container(client: &Client, request: &Request<'_>) -> Result<(), Failure> {
    let (destination, existing) = destination(client, request).await?;
    if request.outside == "-" {
        if existing != Existing::Directory {
            let place = format!("{}:{}", request.container, request.inside);
            return Err(Failure::new(format!("destination \"{place}\" must be a directory")));
        }
        return put(client, request, &destination, Body::reader(TAR, io::stdin())).await;
    }
    let source = Source::find(request.outside, request.follow_link)?;
    let plan = match path::plan(source.is_directory, &destination, existing) {
        Ok(plan) => plan,
        Err(error) => {
            // What is not there may be the container: then that is what to say.
            let url = format!("/containers/{}/json", request.container);
            let _: serde::de::IgnoredAny = client.get(&url, &[]).await?;
            return Err(Failure::doing(format!("copy to {}:{}", request.container, request.inside), error));
        }
    };
    let (writer, receiver) = pipes::from_thread().map_err(|error| Failure::doing("make a pipe", error))?;
    let rename = plan.rename.or(source.name.clone());
    let packing = tokio::task::spawn_blocking(move || source.pack(rename, writer));
    let sent = put(client, request, &plan.directory, Body::reader(TAR, receiver)).await;
    let packed = packing.await.map_err(|error| Failure::doing("pack", error))?;
    // When the engine refuses, packing ends with a broken pipe, which is not the news.
    sent.and(packed)
}

async fn put(client: &Client, request: &Request<'_>, directory: &str, body: Body) -> Result<(), Failure> {
    let mut query = vec![("path", directory.to_owned()), ("noOverwriteDirNonDir", "true".to_owned())];
    if request.keep_owners {
        query.push(("copyUIDGID", "true".to_owned()));
    }
    Ok(client.put(&format!("/containers/{}/archive", request.container), &query, body).await?)
}

/// The destination, a link followed once, and what is there.
async fn destination(client: &Client, request: &Request<'_>) -> Result<(String, Existing), Failure> {
    let kind = |stat: Option<PathStat>| match stat {
        None => Existing::Nothing,
        Some(stat) if stat.is_directory() => Existing::Directory,
        Some(_) => Existing::File,
    };
    match stat(client, request.container, request.inside).await? {
        Some(found) if found.is_link() => {
            let target = path::link_target(request.inside, &found.link_target);
            let there = kind(stat(client, request.container, &target).await?);
            Ok((target, there))
        }
        found => Ok((request.inside.to_owned(), kind(found))),
    }
}

/// What to pack.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    path: PathBuf,
    is_directory: bool,
    /// What it is called in the archive; `None` for a directory's content, whose names stand alone.
    name: Option<String>,
}

impl Source {
    /// Looks at the host's path. A link is copied as a link, unless it is to be followed or its text ends in a slash.
    fn find(text: &str, follow_link: bool) -> Result<Self, Failure> {
        let path = Path::new(text);
        let failed = |error| Failure::doing(format!("copy {text}"), error);
        let follows = follow_link || path::asserts_directory(text);
        let meta = if follows { fs::metadata(path) } else { fs::symlink_metadata(path) }.map_err(failed)?;
        if path::asserts_directory(text) && !meta.is_dir() {
            return Err(failed(std::io::Error::from(std::io::ErrorKind::NotADirectory)));
        }
        let absolute = std::path::absolute(path).map_err(failed)?;
        let real = if follows { resolve(&absolute).map_err(failed)? } else { absolute.clone() };
        let own_name = absolute.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = if path::is_content(text) { None } else { own_name.or_else(|| Some("/".to_owned())) };
        // `..` at the end has no name of its own.
        let name = match name.as_deref() {
            Some("..") => resolve(&absolute)
                .map_err(failed)?
                .file_name()
                .map(|name| name.to_string_lossy().into_owned()),
            _ => name.filter(|name| name != "/"),
        };
        Ok(Self { path: real, is_directory: meta.is_dir(), name })
    }

    /// Writes the archive.
    fn pack(&self, rename: Option<String>, to: std::io::PipeWriter) -> Result<(), Failure> {
        let failed = |error| Failure::doing(format!("pack {}", self.path.display()), error);
        let options =
            PackOptions { rename_root_to: rename.clone(), exact_times: true, ..PackOptions::default() };
        let to = std::io::BufWriter::with_capacity(64 * 1024, to);
        // A directory's content is packed as the root of itself; all else as an entry of the host's root.
        let (root, path) = match rename {
            None => (self.path.as_path(), Path::new(".")),
            Some(_) => (Path::new("/"), self.path.strip_prefix("/").unwrap_or(&self.path)),
        };
        let root =
            File::open(root).map_err(|error| Failure::doing(format!("open {}", root.display()), error))?;
        pack(root.as_fd(), path, to, &options).map(drop).map_err(failed)
    }
}

/// The path without links, `.` and `..`.
fn resolve(path: &Path) -> std::io::Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the user's own path on the host, not one in a container")]
    fs::canonicalize(path)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read};

    use super::*;

    fn packed(source: &Source, rename: Option<&str>) -> BTreeMap<String, String> {
        let (reader, writer) = std::io::pipe().unwrap();
        let entries = std::thread::spawn(move || {
            let mut archive = tar::Archive::new(reader);
            let entries = archive.entries().unwrap().map(|entry| {
                let mut entry = entry.unwrap();
                let mut content = String::new();
                entry.read_to_string(&mut content).unwrap();
                (entry.path().unwrap().display().to_string(), content)
            });
            entries.collect()
        });
        source.pack(rename.map(str::to_owned), writer).unwrap();
        entries.join().unwrap()
    }

    #[test]
    fn files_directories_their_content_and_links_are_packed_under_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        fs::create_dir(at("d")).unwrap();
        fs::write(at("d/f"), "x").unwrap();
        std::os::unix::fs::symlink("d/f", at("link")).unwrap();
        let find = |text: &str, follow| Source::find(text, follow).unwrap();
        let names = |source: &Source, rename: Option<&str>| {
            packed(source, rename)
                .into_keys()
                .map(|name| name.trim_end_matches('/').to_owned())
                .collect::<Vec<_>>()
        };

        let file = find(&at("d/f"), false);
        assert_eq!((file.is_directory, file.name.as_deref()), (false, Some("f")));
        assert_eq!(packed(&file, Some("g"))["g"], "x");
        let directory = find(&at("d"), false);
        assert_eq!(names(&directory, Some("d")), ["d", "d/f"]);
        let content = find(&at("d/."), false);
        assert_eq!(content.name, None);
        assert!(names(&content, None).iter().any(|name| name.trim_start_matches("./") == "f"));
        assert_eq!(packed(&find(&at("link"), false), Some("link"))["link"], "");
        let followed = find(&at("link"), true);
        assert_eq!(followed.name.as_deref(), Some("link"));
        assert_eq!(packed(&followed, Some("link"))["link"], "x");
    }

    #[test]
    fn a_source_that_is_not_there_or_is_no_directory_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        fs::write(&file, "").unwrap();
        assert!(Source::find("/nope/nope", false).unwrap_err().message.contains("/nope/nope"));
        assert!(Source::find(&format!("{}/", file.display()), false).is_err());
    }
}
