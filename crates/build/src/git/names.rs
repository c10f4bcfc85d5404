//! The words of a repository's source that reach `git`: checked before, and what a repository answers to them. Pure.

use minke_dockerfile::evaluate::GitSource;

/// Longer than any honest URL or name of a branch.
const LONGEST: usize = 2048;

/// What a repository says of a reference.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Advertised {
    pub(super) commit: String,
    /// The annotated tag that leads to the commit.
    pub(super) tag: Option<String>,
    /// Its full name, or `HEAD`.
    pub(super) reference: String,
}

/// Refuses what `git` or `ssh` could take for an option or a pattern, and what no repository has.
pub(super) fn check(source: &GitSource) -> Result<(), String> {
    let reference = &source.reference;
    let is_odd = |c: char| c.is_control() || c == ' ' || "~^:?*[\\".contains(c);
    if reference.starts_with('-')
        || reference.len() > LONGEST
        || reference.contains("..")
        || reference.contains("@{")
        || reference.contains(is_odd)
    {
        return Err(format!("invalid ref {reference:?}"));
    }
    let remote = &source.remote;
    let is_odd = |c: char| c.is_control() || c == ' ';
    if remote.starts_with('-')
        || host(remote).starts_with('-')
        || remote.len() > LONGEST
        || remote.contains(is_odd)
    {
        return Err("invalid URL".to_owned());
    }
    match &source.checksum {
        Some(checksum) if checksum.is_empty() || !is_hex(checksum) => {
            Err(format!("invalid checksum {checksum:?}: it is a commit, or the beginning of one"))
        }
        Some(checksum) if source.fetch_by_commit && !is_commit(checksum) => {
            Err(format!("fetch-by-commit needs a whole commit as checksum, not {checksum:?}"))
        }
        _ => Ok(()),
    }
}

/// The commit that a source says by itself.
pub(super) fn given(source: &GitSource) -> Option<String> {
    let checksum = source.checksum.as_ref().filter(|_| source.fetch_by_commit);
    let commit = checksum.unwrap_or(&source.reference);
    is_commit(commit).then(|| commit.to_ascii_lowercase())
}

/// A name of SHA-1 or SHA-256.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The names that a reference may stand for, the likeliest first: a branch before a tag, as in `git checkout`.
fn full_names(reference: &str) -> Vec<String> {
    match reference {
        "" | "HEAD" => vec!["HEAD".to_owned()],
        full if full.starts_with("refs/") => vec![full.to_owned()],
        short => {
            vec![format!("refs/heads/{short}"), format!("refs/tags/{short}"), format!("refs/{short}")]
        }
    }
}

/// What is asked for: the names, and what annotated tags of them lead to.
pub(super) fn patterns(reference: &str) -> Vec<String> {
    full_names(reference).into_iter().flat_map(|name| [format!("{name}^{{}}"), name]).collect()
}

/// Chooses of what `git ls-remote` lists.
pub(super) fn choose(listed: &str, reference: &str) -> Option<Advertised> {
    let find = |wanted: &str| {
        let lines = listed.lines().filter_map(|line| line.split_once('\t'));
        lines.filter(|(id, name)| *name == wanted && is_commit(id)).map(|(id, _)| id.to_owned()).next()
    };
    full_names(reference).into_iter().find_map(|name| {
        let id = find(&name)?;
        Some(match find(&format!("{name}^{{}}")) {
            Some(commit) => Advertised { commit, tag: Some(id), reference: name },
            None => Advertised { commit: id, tag: None, reference: name },
        })
    })
}

/// Whether `ssh` is spoken.
pub(super) fn is_ssh(remote: &str) -> bool {
    match remote.split_once("://") {
        Some((scheme, _)) => scheme.eq_ignore_ascii_case("ssh"),
        None => true,
    }
}

/// Scheme, host and port of a URL, as `git` compares them: `https://host:8443`.
pub(super) fn origin(remote: &str) -> Option<String> {
    let (scheme, _) = remote.split_once("://")?;
    Some(format!("{scheme}://{}", host(remote)))
}

/// Host and port, without a user.
pub(super) fn host(remote: &str) -> &str {
    let (rest, end) = match remote.split_once("://") {
        Some((_, rest)) => (rest, '/'),
        None => (remote, ':'),
    };
    let authority = rest.split(end).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// The URL as it may be shown: without a password, and, where it is asked for by HTTP, without a name, which may be a token.
pub(crate) fn redacted(remote: &str) -> String {
    let shown = || {
        let (scheme, rest) = remote.split_once("://")?;
        if matches!(scheme, "docker-image" | "oci-layout") {
            return None;
        }
        let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, _) = authority.rsplit_once('@')?;
        let name = if matches!(scheme, "http" | "https") { "xxxxx" } else { user.split(':').next()? };
        let password = if user.contains(':') { ":xxxxx" } else { "" };
        Some(format!("{scheme}://{name}{password}{}", &rest[user.len()..]))
    };
    shown().unwrap_or_else(|| remote.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(remote: &str, reference: &str) -> GitSource {
        GitSource { remote: remote.to_owned(), reference: reference.to_owned(), ..GitSource::default() }
    }

    #[test]
    fn what_could_be_an_option_or_a_pattern_is_refused() {
        for reference in ["-u", "--upload-pack=x", "a b", "a*", "x..y", "x^{}", "a:b", "main@{1}", "a\nb"] {
            assert!(check(&source("https://a/b.git", reference)).is_err(), "{reference}");
        }
        for remote in ["-oProxyCommand=x@a:b", "ssh://-oProxyCommand=x/b", "git@-x:b", "https://a/b\n.git"] {
            assert!(check(&source(remote, "")).is_err(), "{remote}");
        }
        for reference in ["", "main", "refs/pull/1/head", "v1.0-rc.1", "feature/ä"] {
            assert!(check(&source("git@a:b", reference)).is_ok(), "{reference}");
        }
        let mut wrong = source("https://a/b.git", "");
        wrong.checksum = Some("--x".to_owned());
        assert!(check(&wrong).is_err());
        wrong.checksum = Some("abc".to_owned());
        assert!(check(&wrong).is_ok());
        wrong.fetch_by_commit = true;
        assert!(check(&wrong).is_err());
    }

    #[test]
    fn a_branch_comes_before_a_tag_and_a_tag_is_peeled() {
        let (a, b, c) = ("a".repeat(40), "b".repeat(40), "c".repeat(40));
        let tags = format!("{b}\trefs/tags/v1\n{c}\trefs/tags/v1^{{}}\n");
        let tag = Advertised { commit: c, tag: Some(b.clone()), reference: "refs/tags/v1".to_owned() };
        assert_eq!(choose(&tags, "v1"), Some(tag));
        let both = format!("{tags}{a}\trefs/heads/v1\n");
        let branch = choose(&both, "v1").unwrap();
        assert_eq!((branch.commit, branch.reference), (a.clone(), "refs/heads/v1".to_owned()));
        assert_eq!(choose(&both, "refs/tags/v1").unwrap().tag, Some(b));
        assert_eq!(choose(&format!("{a}\tHEAD\n"), "").unwrap().reference, "HEAD");
        assert_eq!(choose(&format!("{a}\trefs/heads/x/v1\n"), "v1"), None);
        assert_eq!(choose("--x\trefs/heads/v1\n", "v1"), None);
    }

    #[test]
    fn passwords_are_not_shown_and_hosts_are_found() {
        assert_eq!(redacted("https://me:secret@a:1/b.git"), "https://xxxxx:xxxxx@a:1/b.git");
        assert_eq!(redacted("http://token@a/b.git"), "http://xxxxx@a/b.git");
        assert_eq!(redacted("ssh://git@a/b.git"), "ssh://git@a/b.git");
        let layout = format!("oci-layout://store:latest@sha256:{}", "0".repeat(64));
        assert_eq!(redacted(&layout), layout);
        assert_eq!(redacted("git@a:b/c"), "git@a:b/c");
        assert_eq!(origin("https://me:x@a:1/b@c.git").as_deref(), Some("https://a:1"));
        assert_eq!((host("git@a.b:c/d"), host("ssh://git@a:22/b")), ("a.b", "a:22"));
        assert!(is_ssh("git@a:b") && is_ssh("ssh://a/b") && !is_ssh("https://a/b.git"));
    }
}
