//! One commit's files in a workspace: fetched alone where the server gives it alone, checked out with its submodules, and without
//! `.git` unless that was asked for.

use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::Path,
};

use minke_dockerfile::evaluate::GitSource;
use minke_kernel::tree;

use super::{
    Commit,
    program::{Git, GitError},
    redacted, told,
};
use crate::{BuildError, cache::failed, copy::clamp_times};

/// Brings a commit's files into the workspace.
pub(super) async fn check_out(git: &Git, source: &GitSource, commit: &Commit) -> Result<(), BuildError> {
    let told = |error: GitError| told(source, &error);
    let format = if commit.id.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
    git.run(&["init", "--quiet", "--template=", format]).await.map_err(told)?;
    fetch(git, commit).await.map_err(told)?;
    if source.keep_git_dir {
        name_what_was_asked_for(git, commit).await.map_err(told)?;
    }
    git.run(&["checkout", "--quiet", "--force", "--detach", &commit.id]).await.map_err(told)?;
    if source.submodules && is_file(&git.directory().join(".gitmodules")) {
        submodules(git).await.map_err(told)?;
    }
    let time = match source.commit_time {
        true => Some(commit_time(git, commit).await.map_err(told)?),
        false => None,
    };
    if source.keep_git_dir {
        tidy(git, source).await.map_err(told)?;
    }
    let (directory, source) = (git.directory(), source.clone());
    let finished = tokio::task::spawn_blocking(move || finish(&directory, &source, time));
    let finished = finished.await.map_err(|error| failed(&error))?;
    finished.map_err(|error| BuildError::Failed(format!("finish a checkout: {error}")))
}

/// The commit alone; a server that gives nothing but what it has names for, or is nothing but a folder of files, gives all.
async fn fetch(git: &Git, commit: &Commit) -> Result<(), GitError> {
    let alone = ["fetch", "--progress", "--no-tags", "--depth=1", "origin", &commit.id];
    match git.run(&alone).await {
        Err(error) if error.asks_for_all() => {}
        done => return done.map(drop),
    }
    let mut all =
        vec!["fetch", "--progress", "--tags", "--force", "origin", "+refs/heads/*:refs/remotes/origin/*"];
    let other = commit.reference.as_ref().map(|name| format!("+{name}:refs/minke/asked"));
    all.extend(other.as_deref());
    git.run(&all).await?;
    let there = git.run(&["cat-file", "-e", &format!("{}^{{commit}}", commit.id)]).await;
    there.map(drop).map_err(|_| GitError::Failed(format!("repository does not contain commit {}", commit.id)))
}

/// So that `git describe` and the like know the branch or the tag.
async fn name_what_was_asked_for(git: &Git, commit: &Commit) -> Result<(), GitError> {
    let Some(name) = &commit.reference else { return Ok(()) };
    let local = match name.strip_prefix("refs/heads/") {
        Some(branch) => format!("refs/remotes/origin/{branch}"),
        None => name.clone(),
    };
    let fetched = ["fetch", "--progress", "--no-tags", "--depth=1", "origin", &format!("+{name}:{local}")];
    match git.run(&fetched).await {
        // All of it was fetched before.
        Err(error) if error.asks_for_all() => Ok(()),
        done => done.map(drop),
    }
}

async fn submodules(git: &Git) -> Result<(), GitError> {
    let words = ["submodule", "update", "--progress", "--init", "--recursive", "--force"];
    let shallow: Vec<&str> = words.into_iter().chain(["--depth=1"]).collect();
    match git.run(&shallow).await {
        Err(error) if error.asks_for_all() => git.run(&words).await.map(drop),
        done => done.map(drop),
    }
}

/// Seconds since 1970.
async fn commit_time(git: &Git, commit: &Commit) -> Result<i64, GitError> {
    let shown = git.run(&["show", "-s", "--no-show-signature", "--format=%ct", &commit.id]).await?;
    let text = String::from_utf8_lossy(&shown);
    text.trim().parse().map_err(|_| GitError::Failed(format!("commit {} has no time", commit.id)))
}

/// What is kept of `.git` has the remote, without a password, and no traces of how it came.
async fn tidy(git: &Git, source: &GitSource) -> Result<(), GitError> {
    git.run(&["config", "--local", "remote.origin.url", &redacted(&source.remote)]).await?;
    let fetched = "+refs/heads/*:refs/remotes/origin/*";
    git.run(&["config", "--local", "remote.origin.fetch", fetched]).await?;
    let top = git.directory().join(".git");
    for name in ["FETCH_HEAD", "ORIG_HEAD"] {
        match std::fs::remove_file(top.join(name)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(GitError::Run(error)),
        }
    }
    git.run(&["reflog", "expire", "--expire=now", "--all"]).await.map(drop)
}

fn finish(directory: &Path, source: &GitSource, time: Option<i64>) -> io::Result<()> {
    if !source.keep_git_dir {
        tree::remove_all(&directory.join(".git"))?;
        if source.submodules && is_file(&directory.join(".gitmodules")) {
            without_links_to_git(directory)?;
        }
    }
    match time {
        Some(time) => clamp_times(&OwnedFd::from(File::open(directory)?), time),
        None => Ok(()),
    }
}

/// In a submodule a file `.git` says where its repository is. No commit has a file of this name.
fn without_links_to_git(directory: &Path) -> io::Result<()> {
    // No recursion: the repository decides how deep it is.
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => directories.push(entry.path()),
                _ if entry.file_name() == ".git" => fs::remove_file(entry.path())?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether a file is there that is no link.
fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
}
