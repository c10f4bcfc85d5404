//! Paths as text, for Linux images wherever the build runs: no file is looked at.

/// The shortest path that means the same: no `//`, `.`, `..` (above `/` there is nothing) or trailing `/`; `.` when empty.
pub(crate) fn clean(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => (),
            ".." if kept.last().is_some_and(|last| *last != "..") => {
                kept.pop();
            }
            ".." if is_absolute => (),
            _ => kept.push(part),
        }
    }
    match (is_absolute, kept.join("/")) {
        (true, path) => format!("/{path}"),
        (false, path) if path.is_empty() => ".".to_owned(),
        (false, path) => path,
    }
}

/// `path` seen from the folder `from`: absolute and clean.
pub(crate) fn join(from: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("/{from}/{path}")) }
}

/// The same for a destination, where `/` and `/.` at the end say that it is a folder. Nothing means `.`.
pub(crate) fn join_destination(from: &str, path: &str) -> String {
    let path = if path.is_empty() || path == "." { "./" } else { path };
    let joined = join(from, path);
    let end = if path.ends_with("/.") {
        "/."
    } else if path.ends_with('/') {
        "/"
    } else {
        ""
    };
    match joined.as_str() {
        "/" => format!("/{}", end.trim_start_matches('/')),
        _ => joined + end,
    }
}

/// What follows the last `/`; nothing for a path without a name.
pub(crate) fn base(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// Whether a path has `*`, `?` or `[` that isn't escaped.
pub(crate) fn has_wildcards(path: &str) -> bool {
    let mut characters = path.chars();
    while let Some(c) = characters.next() {
        match c {
            '*' | '?' | '[' => return true,
            '\\' => drop(characters.next()),
            _ => (),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_path_is_the_shortest() {
        for (path, wanted) in [
            ("", "."),
            ("/", "/"),
            ("//a/./b/../c/", "/a/c"),
            ("../a/..", ".."),
            ("/../a", "/a"),
            ("a/../../b", "../b"),
            ("./a", "a"),
        ] {
            assert_eq!(clean(path), wanted, "{path}");
        }
    }

    #[test]
    fn a_destination_keeps_what_makes_it_a_folder() {
        for (path, wanted) in [
            ("", "/w/"),
            (".", "/w/"),
            ("a", "/w/a"),
            ("a/", "/w/a/"),
            ("../..", "/"),
            ("/x/.", "/x/."),
            ("/", "/"),
            ("/.", "/."),
            ("/x/../y/", "/y/"),
        ] {
            assert_eq!(join_destination("/w", path), wanted, "{path}");
        }
    }

    #[test]
    fn an_escaped_star_is_none() {
        assert!(
            has_wildcards("a/*.go")
                && has_wildcards("[a]")
                && !has_wildcards(r"a\*\[b")
                && !has_wildcards("a\\")
        );
    }
}
