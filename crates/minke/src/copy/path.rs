//! What SRC and DEST of `minke cp` mean, decided from their text and from what exists. No I/O.
//!
//! ```text
//!   DEST is …            SRC is a file                 SRC is a directory           SRC ends in /.
//!   a directory          DEST/<name of SRC>            DEST/<name of SRC>/…         DEST/…
//!   a file               replaces it                   error                        error
//!   absent               becomes DEST                  becomes DEST                 becomes DEST
//!   absent, ends in /    error                         becomes DEST                 becomes DEST
//! ```
//! (docker CLI reference, "docker container cp")

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Side<'a> {
    Container { name: &'a str, path: &'a str },
    Host(&'a str),
}

/// `CONTAINER:PATH`, or a path of the host, which `/` or `.` at its start make sure of where it has a colon.
pub(crate) fn side(argument: &str) -> Side<'_> {
    if argument.starts_with('/') {
        return Side::Host(argument);
    }
    match argument.split_once(':') {
        Some((name, path)) if !name.starts_with('.') => Side::Container { name, path },
        _ => Side::Host(argument),
    }
}

/// What is known of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Nothing,
    File,
    Directory,
}

/// What to do with the archive of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The directory to unpack into.
    pub(crate) directory: String,
    /// What the archive's topmost entry is to be called; `None` keeps its name.
    pub(crate) rename: Option<String>,
}

/// Why a copy can't be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("cannot copy directory")]
    DirectoryOntoFile,
    #[error("no such directory")]
    NoSuchDirectory,
}

/// Decides where a source goes.
///
/// # Errors
/// When a directory would replace a file, or a file is to go into a directory that doesn't exist.
pub(crate) fn plan(
    source_is_directory: bool,
    destination: &str,
    existing: Existing,
) -> Result<Plan, PlanError> {
    let (directory, name) = split(destination);
    match existing {
        Existing::Directory => Ok(Plan { directory: destination.to_owned(), rename: None }),
        Existing::File if source_is_directory => Err(PlanError::DirectoryOntoFile),
        Existing::Nothing if !source_is_directory && asserts_directory(destination) => {
            Err(PlanError::NoSuchDirectory)
        }
        Existing::File | Existing::Nothing => Ok(Plan { directory, rename: Some(name) }),
    }
}

/// Whether the text says that the path is a directory: it ends in `/` or `/.`.
pub(crate) fn asserts_directory(path: &str) -> bool {
    path.ends_with('/') || is_content(path)
}

/// Whether the path means a directory's content rather than the directory: it is `.` or ends in `/.`.
pub(crate) fn is_content(path: &str) -> bool {
    path == "." || path.ends_with("/.")
}

/// The directory that a path is in and its name there, without slashes and dots at its end.
pub(crate) fn split(path: &str) -> (String, String) {
    let trimmed = trim(path);
    match trimmed.rsplit_once('/') {
        Some(("", name)) => ("/".to_owned(), name.to_owned()),
        Some((directory, name)) => (directory.to_owned(), name.to_owned()),
        None => (".".to_owned(), trimmed.to_owned()),
    }
}

/// The path without `/` and `/.` at its end.
fn trim(path: &str) -> &str {
    let mut trimmed = path;
    loop {
        let next = trimmed.strip_suffix("/.").or_else(|| trimmed.strip_suffix('/'));
        match next {
            Some(shorter) if !shorter.is_empty() => trimmed = shorter,
            _ => return trimmed,
        }
    }
}

/// A link's target as a path: relative ones start in the directory that the link is in.
pub(crate) fn link_target(link: &str, target: &str) -> String {
    if target.starts_with('/') {
        return target.to_owned();
    }
    let (directory, _) = split(link);
    format!("{}/{target}", directory.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_told_apart_as_scp_does() {
        assert_eq!(side("web:/etc"), Side::Container { name: "web", path: "/etc" });
        assert_eq!(side("web:"), Side::Container { name: "web", path: "" });
        for host in ["/a:b", "./a:b", "../a:b", "plain", "-", "."] {
            assert_eq!(side(host), Side::Host(host));
        }
    }

    #[test]
    fn every_cell_of_the_table() {
        let shown = |source_is_directory, destination, existing| match plan(
            source_is_directory,
            destination,
            existing,
        ) {
            Ok(Plan { directory, rename }) => format!("{directory} {}", rename.as_deref().unwrap_or("-")),
            Err(error) => error.to_string(),
        };
        let (file, directory) = (false, true);
        assert_eq!(shown(file, "/d", Existing::Directory), "/d -");
        assert_eq!(shown(directory, "/d/", Existing::Directory), "/d/ -");
        assert_eq!(shown(file, "/d/f", Existing::File), "/d f");
        assert_eq!(shown(directory, "/d/f", Existing::File), "cannot copy directory");
        assert_eq!(shown(file, "/d/new", Existing::Nothing), "/d new");
        assert_eq!(shown(directory, "/d/new/", Existing::Nothing), "/d new");
        assert_eq!(shown(directory, "/new/.", Existing::Nothing), "/ new");
        assert_eq!(shown(file, "/d/new/", Existing::Nothing), "no such directory");
        assert_eq!(shown(file, "new", Existing::Nothing), ". new");
    }

    #[test]
    fn paths_are_split_without_slashes_and_dots_at_the_end() {
        for (path, directory, name) in [
            ("/a/b", "/a", "b"),
            ("/a/b/", "/a", "b"),
            ("/a/b/.", "/a", "b"),
            ("/a", "/", "a"),
            ("a", ".", "a"),
            ("a/./", ".", "a"),
            ("/", "/", ""),
        ] {
            assert_eq!(split(path), (directory.to_owned(), name.to_owned()), "{path}");
        }
        assert!(is_content("/a/.") && is_content(".") && !is_content("/a/..") && !is_content("/a."));
    }

    #[test]
    fn links_lead_from_where_they_are() {
        assert_eq!(link_target("/etc/link", "passwd"), "/etc/passwd");
        assert_eq!(link_target("/link", "a/b"), "/a/b");
        assert_eq!(link_target("/etc/link", "/x"), "/x");
    }
}
