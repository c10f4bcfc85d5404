//! Mounts of images: which directories of an image's layers make up a path in it.
//!
//! An overlay of exactly those is mounted in the container's own mount namespace: the kernel lends nobody a part of a mount
//! that another namespace has made.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use crate::rootfs::{is_opaque, is_whiteout};

/// What is at a path of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// These directories on top of each other, the topmost first.
    Directory(Vec<PathBuf>),
    /// A file.
    File(PathBuf),
}

/// What one layer has at a path.
enum Found {
    /// Nothing, and does not say that there is nothing.
    Absent,
    Directory(PathBuf),
    File(PathBuf),
    /// Something that ends the search: a deletion, a link.
    End(&'static str),
}

/// Looks through layers, the topmost first.
///
/// # Errors
/// `NotFound`; another kind when the way leads through a link.
pub fn seen(layers: &[PathBuf], subpath: &Path) -> io::Result<Seen> {
    let mut directories = Vec::new();
    for layer in layers {
        let (found, hides) = look(layer, subpath)?;
        match found {
            Found::Absent => {}
            Found::Directory(path) => directories.push(path),
            // What is below a directory counts only where it is one too.
            _ if !directories.is_empty() => break,
            Found::File(path) => return Ok(Seen::File(path)),
            Found::End("") => break,
            Found::End(why) => return Err(io::Error::other(why)),
        }
        if hides {
            break;
        }
    }
    match directories.is_empty() {
        true => Err(io::ErrorKind::NotFound.into()),
        false => Ok(Seen::Directory(directories)),
    }
}

/// What a layer has at a path, and whether it hides all layers below it there.
fn look(layer: &Path, subpath: &Path) -> io::Result<(Found, bool)> {
    let mut place = layer.to_owned();
    let mut hides = false;
    let parts: Vec<_> = subpath.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    for (index, part) in parts.iter().enumerate() {
        place.push(part);
        let metadata = match fs::symlink_metadata(&place) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Found::Absent, hides)),
            Err(error) => return Err(error),
        };
        if metadata.is_dir() {
            hides |= is_opaque(&place);
            continue;
        }
        let last = index + 1 == parts.len();
        return Ok((
            match () {
                () if is_whiteout(&metadata) => Found::End(""),
                () if metadata.is_symlink() => Found::End("a symbolic link is on the way"),
                () if last => Found::File(place),
                () => Found::End("a file is on the way"),
            },
            true,
        ));
    }
    Ok((Found::Directory(place), hides))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, XattrFlags};

    use super::*;

    fn layers() -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let layers: Vec<PathBuf> = ["top", "middle", "low"].map(|name| dir.path().join(name)).to_vec();
        for path in ["top/a", "middle/a/b", "low/a/b", "top/opaque", "low/opaque", "low/gone", "middle/file"]
        {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        rustix::fs::setxattr(layers[0].join("opaque"), "trusted.overlay.opaque", b"y", XattrFlags::empty())
            .unwrap();
        rustix::fs::mknodat(CWD, layers[1].join("gone"), FileType::CharacterDevice, Mode::empty(), 0)
            .unwrap();
        fs::write(layers[0].join("file"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", layers[0].join("link")).unwrap();
        (dir, layers)
    }

    #[test]
    fn a_path_is_made_of_every_layer_that_has_it_as_a_directory() {
        let (_dir, layers) = layers();
        let at = |path: &str| seen(&layers, Path::new(path)).map_err(|error| error.to_string());
        let directories =
            |paths: &[&str]| Ok(Seen::Directory(paths.iter().map(|path| _dir.path().join(path)).collect()));
        assert_eq!(at(""), directories(&["top", "middle", "low"]));
        assert_eq!(at("a"), directories(&["top/a", "middle/a", "low/a"]));
        assert_eq!(at("a/./b"), directories(&["middle/a/b", "low/a/b"]));
        assert_eq!(at("opaque"), directories(&["top/opaque"]));
        assert_eq!(at("file"), Ok(Seen::File(layers[0].join("file"))));
        assert!(at("gone").is_err() && at("opaque/sub").is_err() && at("nowhere").is_err());
        assert!(at("link/passwd").unwrap_err().contains("symbolic link"));
    }
}
