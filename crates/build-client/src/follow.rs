//! Which paths are meant by those that a request wants followed: themselves, and what the links on their ways lead to,
//! with the folder as the root of all links.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;

use minke_buildkit_wire::files::{SyncError, open};
use minke_dockerfile::ignore::Glob;
use rustix::fs::{self, Dir, OFlags};

/// The most paths that are followed.
const MOST: usize = 10_000;

/// The paths; `None` is all of the folder.
///
/// # Errors
/// When there are too many.
pub(crate) fn follow(root: &File, paths: &[String]) -> Result<Option<Vec<String>>, SyncError> {
    let mut following = Following { root, found: BTreeSet::new(), waiting: Vec::new() };
    following.waiting.extend(paths.iter().map(|path| clean(path)));
    while let Some(path) = following.waiting.pop() {
        following.one(&path);
        if following.found.len() + following.waiting.len() > MOST {
            return Err(SyncError::TooMuch { what: "paths to follow", most: MOST as u64 });
        }
    }
    let is_all = following.found.contains("");
    Ok((!is_all).then(|| following.found.into_iter().collect()))
}

struct Following<'a> {
    root: &'a File,
    found: BTreeSet<String>,
    waiting: Vec<String>,
}

impl Following<'_> {
    /// Goes along a path as far as no link is on it.
    fn one(&mut self, path: &str) {
        let mut current = String::new();
        let mut rest = path;
        while !rest.is_empty() {
            let (part, after) = rest.split_once('/').unwrap_or((rest, ""));
            let inner = joined(&current, part);
            let folder = std::mem::replace(&mut current, inner);
            let targets = self.targets(&folder, part);
            if after.is_empty() || !targets.is_empty() {
                // A link that was followed already leads nowhere new.
                let is_new = self.found.insert(current.clone());
                if is_new {
                    self.waiting.extend(targets.iter().map(|target| joined(target, after)));
                }
                return;
            }
            rest = after;
        }
        self.found.insert(current);
    }

    /// Where the links of this name, which may have wildcards, lead.
    fn targets(&self, folder: &str, name: &str) -> Vec<String> {
        let Ok(handle) = open(self.root, folder, OFlags::DIRECTORY) else { return Vec::new() };
        let names = match name.contains(['*', '?', '[', '\\']) {
            false => vec![name.to_owned()],
            true => match (Glob::new(name), Dir::read_from(&handle)) {
                (Ok(glob), Ok(entries)) => entries
                    .filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned))
                    .filter(|name| name != "." && name != ".." && glob.matches(name))
                    .collect(),
                _ => Vec::new(),
            },
        };
        let target = |name: String| {
            let target = fs::readlinkat(&handle, OsStr::from_bytes(name.as_bytes()), Vec::new()).ok()?;
            let target = target.to_str().ok()?.to_owned();
            Some(if target.starts_with('/') { clean(&target) } else { clean(&joined(folder, &target)) })
        };
        names.into_iter().filter_map(target).collect()
    }
}

fn joined(folder: &str, rest: &str) -> String {
    match (folder, rest) {
        ("", rest) => rest.to_owned(),
        (folder, "") => folder.to_owned(),
        (folder, rest) => format!("{folder}/{rest}"),
    }
}

/// Without what means nothing, and without leaving the root.
fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn followed(links: &[(&str, &str)], paths: &[&str]) -> Option<Vec<String>> {
        let root = tempfile::tempdir().unwrap();
        for folder in ["a/b", "c"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for (link, target) in links {
            symlink(target, root.path().join(link)).unwrap();
        }
        let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
        follow(&File::open(root.path()).unwrap(), &paths).unwrap()
    }

    #[test]
    fn what_is_no_link_is_itself_even_if_it_is_missing() {
        assert_eq!(followed(&[], &["/a/b", "./none/x", "c/*"]).unwrap(), ["a/b", "c/*", "none/x"]);
        assert_eq!(followed(&[], &["c", "."]), None);
        assert_eq!(followed(&[], &[]).unwrap(), [""; 0]);
    }

    #[test]
    fn links_are_followed_within_the_folder_however_they_try_to_leave_it() {
        let links =
            [("a/l", "../../../c"), ("abs", "/a"), ("out", "../../etc/passwd"), ("x1", "c"), ("x2", "a/b")];
        assert_eq!(followed(&links, &["a/l/f"]).unwrap(), ["a/l", "c/f"]);
        assert_eq!(followed(&links, &["abs/b"]).unwrap(), ["a/b", "abs"]);
        assert_eq!(followed(&links, &["out"]).unwrap(), ["etc/passwd", "out"]);
        assert_eq!(followed(&links, &["x?"]).unwrap(), ["a/b", "c", "x?"]);
    }

    #[test]
    fn circles_end() {
        let links = [("l", "m"), ("m", "l"), ("n", "n/x")];
        assert_eq!(followed(&links, &["l/x", "n/y"]).unwrap(), ["l", "m", "n"]);
    }
}
