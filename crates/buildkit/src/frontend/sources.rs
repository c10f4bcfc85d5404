//! Graphs that are a single source elsewhere, a repository or a file of a URL: what clients look into before they build from it
//! (`docker buildx bake URL`, policies beside a Dockerfile).

use std::collections::BTreeMap;

use minke_dockerfile::evaluate::GitSource;
use prost::Message;

use crate::pb::source::{Definition, FileActionCopy, FileOp, Op, SourceOp};

/// Where a URL's file is when nobody says its name.
const FILE: &str = "download";

/// The attribute that says it.
const FILE_NAME: &str = "http.filename";

/// A source elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The files of a repository.
    Git(GitSource),
    /// What is at a URL, as a file of this name.
    File {
        /// From where.
        url: String,
        /// Its name.
        name: String,
    },
    /// The files of an archive at a URL.
    Archive(String),
    /// What is in a folder of another source.
    Below(Box<Source>, String),
}

/// The source that a graph is; `None` for every other graph.
pub(crate) fn read(definition: &Definition) -> Option<Source> {
    let ops: Option<Vec<Op>> = definition.def.iter().map(|op| Op::decode(op.clone()).ok()).collect();
    let ops = ops?;
    let mut sources = ops.iter().filter_map(|op| op.source.as_ref());
    let source = sources.next().filter(|_| sources.next().is_none())?;
    let mut files = ops.iter().filter_map(|op| op.file.as_ref());
    // The last operation names what the graph comes to. What is none of the three kinds does something else.
    match (files.next(), ops.len()) {
        (None, 2) => one(source),
        (Some(file), 3) => of_copy(one(source)?, only_copy(file)?),
        _ => None,
    }
}

/// What a copy of a source onto nothing comes to.
fn of_copy(source: Source, copy: &FileActionCopy) -> Option<Source> {
    let to_top = copy.dest == "/";
    match source {
        Source::File { url, .. } if to_top && copy.attempt_unpack => Some(Source::Archive(url)),
        source if to_top && copy.dir_copy_contents => {
            Some(Source::Below(Box::new(source), copy.src.trim_matches('/').to_owned()))
        }
        _ => None,
    }
}

fn one(source: &SourceOp) -> Option<Source> {
    let (scheme, rest) = source.identifier.split_once("://")?;
    match scheme {
        "git" => git(rest, &source.attrs).map(Source::Git),
        // What is to be verified or sent along isn't.
        "http" | "https" if source.attrs.keys().any(|key| key.starts_with("http.") && key != FILE_NAME) => {
            None
        }
        "http" | "https" => Some(Source::File {
            url: source.identifier.clone(),
            name: source
                .attrs
                .get(FILE_NAME)
                .filter(|name| !name.is_empty())
                .map_or(FILE, String::as_str)
                .to_owned(),
        }),
        _ => None,
    }
}

/// `host/path#reference:directory` with its attributes.
fn git(identifier: &str, attributes: &BTreeMap<String, String>) -> Option<GitSource> {
    let is_set = |key: &str| attributes.get(key).is_some_and(|value| value == "true");
    let (remote, fragment) = identifier.split_once('#').unwrap_or((identifier, ""));
    let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
    let full = attributes.get("git.fullurl").filter(|url| !url.is_empty());
    if attributes.keys().any(|key| key.starts_with("git.bundle") || key.starts_with("git.sig.")) {
        return None;
    }
    Some(GitSource {
        remote: full.cloned().unwrap_or_else(|| format!("https://{remote}")),
        reference: reference.to_owned(),
        directory: directory.trim_matches('/').to_owned(),
        checksum: attributes.get("git.checksum").filter(|sum| !sum.is_empty()).cloned(),
        keep_git_dir: is_set("git.keepgitdir"),
        submodules: !is_set("git.skipsubmodules"),
        commit_time: attributes.get("git.mtime").is_some_and(|time| time == "commit"),
        fetch_by_commit: is_set("git.fetchbycommit"),
    })
}

/// The copy, where nothing else is done.
fn only_copy(file: &FileOp) -> Option<&FileActionCopy> {
    match file.actions.as_slice() {
        [action] => action.copy.as_ref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::source::{FileAction, Input};

    fn graph(ops: Vec<Op>) -> Definition {
        let last = Op { inputs: vec![Input::default()], ..Op::default() };
        let def = ops.into_iter().chain([last]).map(|op| op.encode_to_vec().into()).collect();
        Definition { def, ..Definition::default() }
    }

    fn source(identifier: &str, attributes: &[(&str, &str)]) -> Op {
        let attrs = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Op { source: Some(SourceOp { identifier: identifier.to_owned(), attrs }), ..Op::default() }
    }

    #[test]
    fn repositories_files_and_archives_are_sources() {
        let attributes = [("git.fullurl", "ssh://git@host/a.git"), ("git.keepgitdir", "true")];
        let Some(Source::Git(git)) = read(&graph(vec![source("git://host/a.git#main:sub/dir", &attributes)]))
        else {
            panic!("it is a repository")
        };
        assert_eq!(
            (&*git.remote, &*git.reference, &*git.directory),
            ("ssh://git@host/a.git", "main", "sub/dir")
        );
        assert!(git.keep_git_dir && git.submodules);
        let http = || source("https://host/x", &[("http.filename", "context")]);
        let file = Source::File { url: "https://host/x".to_owned(), name: "context".to_owned() };
        assert_eq!(read(&graph(vec![http()])), Some(file));
        let file = |copy| Op {
            file: Some(FileOp { actions: vec![FileAction { copy: Some(copy) }] }),
            ..Op::default()
        };
        let copy = |src: &str| FileActionCopy {
            src: src.to_owned(),
            dest: "/".to_owned(),
            ..FileActionCopy::default()
        };
        let unpack = FileActionCopy { attempt_unpack: true, ..copy("/context") };
        let archive = Source::Archive("https://host/x".to_owned());
        assert_eq!(read(&graph(vec![http(), file(unpack)])), Some(archive));
        let folder = FileActionCopy { dir_copy_contents: true, ..copy("/sub/") };
        let Some(Source::Below(whole, path)) = read(&graph(vec![source("git://host/a", &[]), file(folder)]))
        else {
            panic!("it is a folder")
        };
        assert!(matches!(*whole, Source::Git(_)) && path == "sub");
    }

    #[test]
    fn graphs_that_do_anything_else_are_none() {
        let image = || source("docker-image://x", &[]);
        let http = || source("https://host/x", &[]);
        // What isn't known here looks empty.
        for ops in [vec![], vec![image()], vec![http(), http()], vec![http(), Op::default()]] {
            assert_eq!(read(&graph(ops)), None);
        }
        let verified = source("https://host/x", &[("http.checksum", "sha256:0")]);
        assert_eq!(read(&graph(vec![verified])), None);
        let signed = source("git://host/a", &[("git.sig.pubkey", "x")]);
        assert_eq!(read(&graph(vec![signed])), None);
        let nonsense = Definition { def: vec!["\u{ff}".into()], ..Definition::default() };
        assert_eq!(read(&nonsense), None);
    }
}
