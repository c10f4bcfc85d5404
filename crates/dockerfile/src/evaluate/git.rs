//! Which sources of `ADD` and which contexts are repositories, and what their URLs ask for: `https://host/repo.git?branch=main#:docs`.

use std::collections::BTreeMap;

use super::GitSource;
use crate::{csv::boolean, paths, quote::quoted};

/// A URL, taken apart.
struct Url<'a> {
    /// Without query and fragment.
    remote: &'a str,
    query: &'a str,
    fragment: &'a str,
}

/// Whether a source is downloaded (unless it is a repository).
pub(super) fn is_http(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// The repository that a context's URL names; `None` when it is none. Other than a source of `ADD`, one at GitHub needs no scheme.
///
/// # Errors
/// A repository with a query that isn't known.
pub fn git_context(url: &str, keep_git_dir: Option<bool>) -> Result<Option<GitSource>, String> {
    match url.starts_with("github.com/") {
        true => of_url(&split(&format!("https://{url}")), keep_git_dir, None).map(Some),
        false => read(url, keep_git_dir, None),
    }
}

/// The repository that a source names; `None` when it is none.
///
/// # Errors
/// A repository with a query that isn't known, or that says something else than the flags.
pub(super) fn read(
    source: &str,
    keep_git_dir: Option<bool>,
    checksum: Option<&str>,
) -> Result<Option<GitSource>, String> {
    repository(source).map(|url| of_url(&url, keep_git_dir, checksum)).transpose()
}

fn of_url(url: &Url<'_>, keep_git_dir: Option<bool>, checksum: Option<&str>) -> Result<GitSource, String> {
    let (reference, directory) = url.fragment.split_once(':').unwrap_or((url.fragment, ""));
    let mut git = GitSource {
        remote: url.remote.to_owned(),
        reference: reference.to_owned(),
        directory: paths::join("/", directory).trim_start_matches('/').to_owned(),
        submodules: true,
        ..GitSource::default()
    };
    let asked = query(&mut git, url.query)?;
    if let (Some(flag), Some(asked)) = (keep_git_dir, asked)
        && flag != asked
    {
        return Err("inconsistent keep-git-dir configuration".to_owned());
    }
    git.keep_git_dir = asked.or(keep_git_dir).unwrap_or(false);
    match (checksum, &git.checksum) {
        (Some(flag), Some(asked)) if flag != asked => {
            return Err(format!("checksum mismatch {} != {}", quoted(flag), quoted(asked)));
        }
        (Some(flag), None) => git.checksum = Some(flag.to_owned()),
        _ => (),
    }
    Ok(git)
}

/// A repository by the form of its URL. `github.com/…` without a scheme is a path.
fn repository(source: &str) -> Option<Url<'_>> {
    if source.starts_with("./") || source.starts_with("../") {
        return None;
    }
    let url = split(source);
    match source.split_once("://") {
        Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) && !scheme.is_empty() => {
            match scheme.to_lowercase().as_str() {
                "http" | "https" => url_path(source).ends_with(".git").then_some(url),
                "ssh" | "git" => Some(url),
                _ => None,
            }
        }
        _ => is_scp_style(source).then_some(url),
    }
}

/// `git@host:path`.
fn is_scp_style(source: &str) -> bool {
    let within = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    source.split_once('@').is_some_and(|(user, rest)| {
        within(user, "-_") && rest.split_once(':').is_some_and(|(host, _)| within(host, "-."))
    })
}

fn split(source: &str) -> Url<'_> {
    let (rest, fragment) = source.split_once('#').unwrap_or((source, ""));
    let (remote, query) = rest.split_once('?').unwrap_or((rest, ""));
    Url { remote, query, fragment }
}

/// The path of a URL, without percent signs.
pub(super) fn url_path(source: &str) -> String {
    let remote = split(source).remote;
    let after = remote.split_once("://").map_or(remote, |(_, after)| after);
    after.find('/').map_or_else(String::new, |at| decoded(&after[at..], false))
}

/// With `%41` and, in queries, `+` replaced. What makes no text stays as it is.
fn decoded(text: &str, plus_is_space: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = &after[2..];
                continue;
            }
            (b'+', ..) if plus_is_space => out.push(b' '),
            _ => out.push(*first),
        }
        rest = after;
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// Carries out a query; says whether `.git` is to be kept.
fn query(git: &mut GitSource, query: &str) -> Result<Option<bool>, String> {
    let mut keep = None;
    let mut reference = None;
    let mut seen = BTreeMap::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (key, value) = (decoded(key, true), decoded(value, true));
        if seen.insert(key.clone(), ()).is_some() {
            return Err(format!("query {} has multiple values", quoted(&key)));
        }
        let is_switch = matches!(key.as_str(), "submodules" | "keep-git-dir" | "fetch-by-commit");
        if value.is_empty() && !is_switch {
            return Err(format!("query {} has no value", quoted(&key)));
        }
        let switch = || match value.as_str() {
            "" => Ok(true),
            text => boolean(text).ok_or_else(|| format!("invalid {key} value: {}", quoted(text))),
        };
        match key.as_str() {
            "ref" => name(&mut git.reference, &mut reference, &value)?,
            "tag" => name(&mut git.reference, &mut reference, &prefixed(&value, "refs/tags/"))?,
            "branch" => name(&mut git.reference, &mut reference, &prefixed(&value, "refs/heads/"))?,
            "subdir" => {
                if !git.directory.is_empty() && git.directory != value {
                    let (before, value) = (quoted(&git.directory), quoted(&value));
                    return Err(format!("subdir conflicts: {before} vs {value}"));
                }
                git.directory = paths::join("/", &value).trim_start_matches('/').to_owned();
            }
            "checksum" | "commit" => git.checksum = Some(value),
            "keep-git-dir" => keep = Some(switch()?),
            "submodules" => git.submodules = switch()?,
            "fetch-by-commit" => git.fetch_by_commit = switch()?,
            "mtime" if value == "checkout" || value == "commit" => git.commit_time = value == "commit",
            "mtime" => {
                let value = quoted(&value);
                return Err(format!("invalid mtime value: {value} (must be \"checkout\" or \"commit\")"));
            }
            _ => return Err(format!("unexpected query {}", quoted(&key))),
        }
    }
    Ok(keep)
}

fn prefixed(value: &str, prefix: &str) -> String {
    if value.starts_with(prefix) { value.to_owned() } else { format!("{prefix}{value}") }
}

/// Sets the reference, which the fragment or another key may have set.
fn name(current: &mut String, by_query: &mut Option<String>, value: &str) -> Result<(), String> {
    let before = by_query.as_deref().unwrap_or(current.as_str());
    if !before.is_empty() && before != value {
        return Err(format!("ref conflicts: {} vs {}", quoted(before), quoted(value)));
    }
    value.clone_into(current);
    *by_query = Some(value.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(source: &str) -> GitSource {
        read(source, None, None).unwrap().unwrap()
    }

    #[test]
    fn a_repository_is_known_by_its_url() {
        for source in
            ["https://a/b.git", "git@github.com:a/b", "ssh://git@a/b", "git://a/b", "https://a/b.git#v1"]
        {
            assert!(read(source, None, None).unwrap().is_some(), "{source}");
        }
        for source in
            ["https://a/b", "./git@a:b", "github.com/a/b", "a/b.git", "ftp://a/b.git", "https://a/b?x=.git"]
        {
            assert!(read(source, None, None).unwrap().is_none(), "{source}");
        }
    }

    #[test]
    fn a_context_at_github_needs_no_scheme() {
        let git = git_context("github.com/a/b#v1:docs", None).unwrap().unwrap();
        assert_eq!(
            (&*git.remote, &*git.reference, &*git.directory),
            ("https://github.com/a/b", "v1", "docs")
        );
        assert!(git_context("https://a/b.git", Some(true)).unwrap().unwrap().keep_git_dir);
        assert!(git_context("https://a/b.tar", None).unwrap().is_none());
    }

    #[test]
    fn a_fragment_names_a_reference_and_a_folder() {
        let git = git("https://a/b.git#v1:docs/../src/");
        assert_eq!(
            (git.remote.as_str(), git.reference.as_str(), git.directory.as_str()),
            ("https://a/b.git", "v1", "src")
        );
        assert!(git.submodules && !git.keep_git_dir);
    }

    #[test]
    fn a_query_says_the_same_and_more() {
        let git =
            git("https://a/b.git?tag=v1&subdir=docs&submodules=false&keep-git-dir&mtime=commit&checksum=abc");
        assert_eq!((git.reference.as_str(), git.directory.as_str()), ("refs/tags/v1", "docs"));
        assert!(!git.submodules && git.keep_git_dir && git.commit_time);
        assert_eq!(git.checksum.as_deref(), Some("abc"));
    }

    #[test]
    fn contradictions_are_refused() {
        let wrong = |source: &str| read(source, None, None).unwrap_err();
        assert_eq!(wrong("https://a/b.git?foo=1"), "unexpected query \"foo\"");
        assert_eq!(wrong("https://a/b.git?ref=a#b"), "ref conflicts: \"b\" vs \"a\"");
        assert_eq!(wrong("https://a/b.git?ref="), "query \"ref\" has no value");
        assert!(read("https://a/b.git?keep-git-dir=1", Some(false), None).is_err());
        assert!(
            read("https://a/b.git?commit=a", None, Some("b")).unwrap_err().starts_with("checksum mismatch")
        );
    }
}
