//! `minke cp CONTAINER:PATH DEST`.

use std::{
    fs::{self, File},
    io::PipeReader,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use minke_docker_client::{Body, ByteStream, Client, HeaderMap, Method};
use minke_image::archive::{AbsoluteNames, UnpackOptions, unpack};
use tokio::io::{self, AsyncWriteExt};

use super::{
    Request,
    path::{self, Existing, Plan},
    pipes,
    stat::{PathStat, stat},
};
use crate::{failure::Failure, output};

/// Copies out of a container.
///
/// # Errors
/// When there is no such path, the destination doesn't fit it, or writing fails.
pub(crate) async fn from_container(client: &Client, request: &Request<'_>) -> Result<(), Failure> {
    let (source, link_name) = source(client, request).await?;
    let url = format!("/containers/{}/archive", request.container);
    let query = [("path", source)];
    let response = client.stream(Method::GET, &url, &query, Body::Empty, HeaderMap::new()).await?;
    if request.outside == "-" {
        return to_stdout(response.body).await;
    }
    let is_directory = PathStat::of(&response.headers)?.is_directory();
    let existing = existing(Path::new(request.outside))?;
    let mut plan = path::plan(is_directory, request.outside, existing)
        .map_err(|error| Failure::doing(format!("copy to {}", request.outside), error))?;
    // A followed link keeps its own name.
    plan.rename = plan.rename.or(link_name);
    // The root has no name, so what comes is its content as for `/.`.
    let is_content = path::is_content(request.inside) || request.inside.trim_matches('/').is_empty();
    receive(response.body, plan, is_content).await
}

/// The path to ask for; with `--follow-link`, what a link leads to and the link's name.
async fn source(client: &Client, request: &Request<'_>) -> Result<(String, Option<String>), Failure> {
    if request.follow_link
        && let Some(found) = stat(client, request.container, request.inside).await?.filter(PathStat::is_link)
    {
        let target = path::link_target(request.inside, &found.link_target);
        return Ok((target, Some(path::split(request.inside).1)));
    }
    Ok((request.inside.to_owned(), None))
}

async fn to_stdout(mut body: ByteStream) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    io::copy(&mut body, &mut stdout).await.map_err(output::lost)?;
    stdout.flush().await.map_err(output::lost)
}

/// What is at the destination, links followed.
fn existing(destination: &Path) -> Result<Existing, Failure> {
    match fs::metadata(destination) {
        Ok(meta) if meta.is_dir() => Ok(Existing::Directory),
        Ok(_) => Ok(Existing::File),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Existing::Nothing),
        Err(error) => Err(Failure::doing(format!("look at {}", destination.display()), error)),
    }
}

async fn receive(mut body: ByteStream, plan: Plan, is_content: bool) -> Result<(), Failure> {
    let pipe_failure = |error| Failure::doing("make a pipe", error);
    let (mut sender, reader) = pipes::to_thread().map_err(pipe_failure)?;
    let thread = tokio::task::spawn_blocking(move || place(reader, &plan, is_content));
    let copied = io::copy(&mut body, &mut sender).await;
    drop(sender);
    let placed = thread.await.map_err(|error| Failure::doing("unpack", error))?;
    // When unpacking fails, the copying ends with a broken pipe, which is not the news.
    placed?;
    copied.map(drop).map_err(|error| Failure::doing("read the container's files", error))
}

/// Unpacks into the directory; where a new name is due, into a folder beside it first and renames then, so that
/// what is there is replaced at once or not at all.
fn place(tar: PipeReader, plan: &Plan, is_content: bool) -> Result<(), Failure> {
    let directory = Path::new(&plan.directory);
    let Some(name) = &plan.rename else { return unpack_into(tar, directory) };
    let staging = Staging::make(directory)?;
    unpack_into(tar, &staging.0)?;
    let unpacked = if is_content { staging.0.clone() } else { only_entry(&staging.0)? };
    let target = directory.join(name);
    fs::rename(&unpacked, &target)
        .map_err(|error| Failure::doing(format!("rename to {}", target.display()), error))
}

fn unpack_into(tar: PipeReader, directory: &Path) -> Result<(), Failure> {
    let into = File::open(directory)
        .map_err(|error| Failure::doing(format!("open {}", directory.display()), error))?;
    // As with docker, what is copied out belongs to who copies.
    let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let options = UnpackOptions {
        owner: Some(owner),
        // An engine's names of a container's root begin with a slash.
        absolute_names: AbsoluteNames::UnderRoot,
        no_overwrite_dir_non_dir: true,
        ..UnpackOptions::default()
    };
    unpack(tar, into.as_fd(), &options)
        .map(drop)
        .map_err(|error| Failure::doing(format!("unpack into {}", directory.display()), error))
}

fn only_entry(directory: &Path) -> Result<PathBuf, Failure> {
    let mut entries =
        fs::read_dir(directory).map_err(|error| Failure::doing("read what was unpacked", error))?;
    match (entries.next(), entries.next()) {
        (Some(Ok(entry)), None) => Ok(entry.path()),
        _ => Err(Failure::new("the engine's archive has not exactly one file or directory at its top")),
    }
}

/// A folder that vanishes with all that is left in it.
struct Staging(PathBuf);

impl Staging {
    fn make(beside: &Path) -> Result<Self, Failure> {
        for attempt in 0..100 {
            let path = beside.join(format!(".minke-cp-{}-{attempt}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Failure::doing(format!("write into {}", beside.display()), error)),
            }
        }
        Err(Failure::new(format!("{} is full of unfinished copies (.minke-cp-…)", beside.display())))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // It may have been renamed away as a whole.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn archive(entries: &[(&str, &str)]) -> PipeReader {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(if name.ends_with('/') { 0o755 } else { 0o644 });
            header.set_entry_type(if name.ends_with('/') {
                tar::EntryType::Directory
            } else {
                tar::EntryType::Regular
            });
            builder.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        let bytes = builder.into_inner().unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        std::thread::spawn(move || writer.write_all(&bytes));
        reader
    }

    fn plan(directory: &Path, rename: Option<&str>) -> Plan {
        Plan { directory: directory.display().to_string(), rename: rename.map(str::to_owned) }
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_unpacked_keeps_or_gets_its_name_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        place(archive(&[("etc/", ""), ("etc/passwd", "x")]), &plan(folder.path(), None), false).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("etc/passwd")).unwrap(), "x");
        place(archive(&[("etc/", ""), ("etc/group", "y")]), &plan(folder.path(), Some("copy")), false)
            .unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("copy/group")).unwrap(), "y");
        place(archive(&[("./", ""), ("./a", "1")]), &plan(folder.path(), Some("content")), true).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("content/a")).unwrap(), "1");
        fs::write(folder.path().join("file"), "old").unwrap();
        place(archive(&[("passwd", "new")]), &plan(folder.path(), Some("file")), false).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "new");
        assert_eq!(names(folder.path()), ["content", "copy", "etc", "file"]);
    }

    #[test]
    fn an_archive_that_is_not_one_thing_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let failure =
            place(archive(&[("a", "1"), ("b", "2")]), &plan(folder.path(), Some("c")), false).unwrap_err();
        assert!(failure.message.contains("exactly one"));
        assert!(names(folder.path()).is_empty());
    }
}
