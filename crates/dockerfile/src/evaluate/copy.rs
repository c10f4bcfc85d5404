//! `COPY` and `ADD`: which files, from where, to where.

use super::{
    Action, Chmod, CopySource, CopyStep, HttpSource, PathSource,
    git::{self, is_http},
    stage::{At, Evaluation},
};
use crate::{
    ast::{Add, Copy, Files},
    diagnostic::Diagnostic,
    lint::Rule,
    paths,
    plan::Origin,
    quote::quoted,
};

type Carried = (String, Action, Option<String>);

/// What `COPY` and `ADD` have in common, and what is different.
struct Request<'a> {
    is_add: bool,
    files: &'a Files,
    from: Origin,
    chown: Option<&'a String>,
    chmod: Option<&'a String>,
    checksum: Option<&'a String>,
    exclude: &'a [String],
    parents: bool,
    link: bool,
    keep_git_dir: Option<bool>,
    unpack: Option<bool>,
}

impl Evaluation<'_> {
    pub(super) fn add(&mut self, at: At<'_>, add: &Add) -> Result<Carried, Diagnostic> {
        self.files(
            at,
            &Request {
                is_add: true,
                files: &add.files,
                from: Origin::Context,
                chown: add.chown.as_ref(),
                chmod: add.chmod.as_ref(),
                checksum: add.checksum.as_ref(),
                exclude: &add.exclude,
                parents: false,
                link: add.link,
                keep_git_dir: add.keep_git_dir,
                unpack: add.unpack,
            },
        )
    }

    pub(super) fn copy(&mut self, at: At<'_>, copy: &Copy) -> Result<Carried, Diagnostic> {
        self.files(
            at,
            &Request {
                is_add: false,
                files: &copy.files,
                from: at.planned.origins.first().cloned().unwrap_or(Origin::Context),
                chown: copy.chown.as_ref(),
                chmod: copy.chmod.as_ref(),
                checksum: None,
                exclude: &copy.exclude,
                parents: copy.parents,
                link: copy.link,
                keep_git_dir: None,
                unpack: Some(false),
            },
        )
    }

    fn files(&mut self, at: At<'_>, request: &Request<'_>) -> Result<Carried, Diagnostic> {
        let chown = self.flag(at, request.chown)?;
        let chmod = self.flag(at, request.chmod)?;
        let checksum = self.flag(at, request.checksum)?;
        let written = request.files.sources.iter().map(|source| self.word(at, source));
        let written = written.collect::<Result<Vec<String>, _>>()?;
        let destination = self.word(at, &request.files.destination)?;

        let mode = chmod.as_deref().map(Chmod::new).transpose().map_err(|message| at.wrong(message))?;
        check_checksum(&written, checksum.as_deref()).map_err(|message| at.wrong(message))?;
        let mut sources = Vec::with_capacity(written.len() + request.files.inline.len());
        for source in &written {
            sources.push(self.source(at, request, source, checksum.as_deref())?);
        }
        for heredoc in &request.files.inline {
            let text = heredoc.text();
            let content = if heredoc.expands { self.heredoc(at, &text)? } else { text };
            sources.push(CopySource::Inline { name: heredoc.name.clone(), content });
        }
        let history = history(request, &written, chown.as_deref(), chmod.as_deref(), &destination);
        let title = self.title(at, &at.planned.instruction.code, &self.plain(), &[]);
        self.spend(at, written.iter().map(String::len).sum())?;
        let step = CopyStep {
            is_add: request.is_add,
            sources,
            destination: paths::join_destination(&self.directory(), &destination),
            link: request.link && is_linkable(chown.as_deref()),
            chown,
            chmod: mode,
            exclude: request.exclude.to_vec(),
        };
        Ok((title, Action::Copy(Box::new(step)), Some(history)))
    }

    /// The value of a flag; an empty one is none.
    fn flag(&mut self, at: At<'_>, written: Option<&String>) -> Result<Option<String>, Diagnostic> {
        let value = written.map(|written| self.word(at, written)).transpose()?;
        Ok(value.filter(|value| !value.is_empty()))
    }

    fn source(
        &mut self,
        at: At<'_>,
        request: &Request<'_>,
        source: &str,
        checksum: Option<&str>,
    ) -> Result<CopySource, Diagnostic> {
        let wrong = |message: String| at.wrong(message);
        if let Some(git) = git::read(source, request.keep_git_dir, checksum).map_err(wrong)? {
            return match request.is_add {
                true => Ok(CopySource::Git(git)),
                false => Err(at.wrong("source can't be a git ref for COPY")),
            };
        }
        if is_http(source) {
            return match request.is_add {
                true => http(source, checksum, request.unpack).map(CopySource::Http).map_err(wrong),
                false => Err(at.wrong("source can't be a URL for COPY")),
            };
        }
        self.warn_of_ignored(at, request, source);
        Ok(CopySource::Path(by_path(request, source)))
    }

    /// A file of the context that isn't there, for it is ignored. With exceptions nobody can tell without looking.
    fn warn_of_ignored(&mut self, at: At<'_>, request: &Request<'_>, source: &str) {
        let ignored = self.linter.ignored().filter(|_| request.from == Origin::Context);
        let Some(ignored) = ignored.filter(|ignored| !ignored.has_exceptions()) else { return };
        let path = paths::clean(source);
        let is_root = path == "." || path == "/";
        if is_root && !ignored.ignores_all() || !ignored.matches(&path) {
            return;
        }
        let verb = if request.is_add { "Add" } else { "Copy" };
        let message =
            format!("Attempting to {verb} file {} that is excluded by .dockerignore", quoted(&path));
        self.report(at, Rule::CopyIgnoredFile, message);
    }
}

/// Files by path. With `--parents`, `/./` says from where on folders are kept.
fn by_path(request: &Request<'_>, source: &str) -> PathSource {
    let unpack = request.unpack.unwrap_or(request.is_add);
    let from = request.from.clone();
    if !request.parents {
        let must_exist = !paths::has_wildcards(source);
        return PathSource { from, path: paths::join("/", source), parents: None, must_exist, unpack };
    }
    let (root, pattern) = source.split_once("/./").unwrap_or(("/", source));
    let pattern = paths::join("/", pattern);
    let must_exist = !paths::has_wildcards(root) && !paths::has_wildcards(&pattern);
    let parents = Some(pattern.trim_start_matches('/').to_owned());
    PathSource { from, path: paths::join("/", root), parents, must_exist, unpack }
}

fn http(url: &str, checksum: Option<&str>, unpack: Option<bool>) -> Result<HttpSource, String> {
    let checksum = checksum
        .map(|text| text.parse().map_err(|error| format!("invalid checksum {}: {error}", quoted(text))))
        .transpose()?;
    let path = git::url_path(url);
    let name = match paths::base(&path) {
        // No name, or one that leaves the folder.
        "" | "." | ".." => "__unnamed__",
        name => name,
    };
    Ok(HttpSource {
        url: url.to_owned(),
        file_name: name.to_owned(),
        checksum,
        unpack: unpack.unwrap_or(false),
    })
}

fn check_checksum(sources: &[String], checksum: Option<&str>) -> Result<(), String> {
    if checksum.is_none() {
        return Ok(());
    }
    let [source] = sources else { return Err("checksum can't be specified for multiple sources".to_owned()) };
    let is_git = git::read(source, None, None).is_ok_and(|git| git.is_some());
    match is_git || is_http(source) {
        true => Ok(()),
        false => Err("checksum requires HTTP(S) or Git sources".to_owned()),
    }
}

/// What the image's history says.
fn history(
    request: &Request<'_>,
    sources: &[String],
    chown: Option<&str>,
    chmod: Option<&str>,
    destination: &str,
) -> String {
    let mut words = vec![if request.is_add { "ADD".to_owned() } else { "COPY".to_owned() }];
    words.extend(request.parents.then(|| "--parents".to_owned()));
    words.extend(chown.map(|chown| format!("--chown={chown}")));
    words.extend(chmod.map(|chmod| format!("--chmod={chmod}")));
    words.extend_from_slice(sources);
    words.extend(request.files.inline.iter().map(|heredoc| format!("<<{}", heredoc.name)));
    words.push(destination.to_owned());
    words.push("# buildkit".to_owned());
    words.join(" ")
}

/// Whether files can be in a layer that knows nothing of those below: there are no names of users in it. What can't be is copied
/// as without `--link`, as by BuildKit where it merges no layers.
fn is_linkable(chown: Option<&str>) -> bool {
    let is_known = |part: &str| part.is_empty() || part == "root" || part.parse::<u32>().is_ok();
    chown.is_none_or(|chown| chown.split(':').all(is_known))
}
