//! What the words of the command line name: a directory of this host, a URL, an archive or a Dockerfile on standard input.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use minke_build_client::{Dockerfile, Files, words::is_remote};
use tokio::io::AsyncReadExt;

use crate::failure::Failure;

/// The most bytes of a Dockerfile on standard input.
const DOCKERFILE_LIMIT: u64 = 16 << 20;
/// As much of standard input as tells an archive from a Dockerfile.
const HEAD: usize = 512;

/// Where the files and the Dockerfile come from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) files: Files,
    pub(super) dockerfile: Dockerfile,
}

impl Source {
    /// What the context and `--file` mean.
    pub(super) async fn find(context: &str, file: Option<&Path>) -> Result<Self, Failure> {
        let is_stdin = |word: &str| word == "-";
        let file_is_stdin = file.is_some_and(|file| file == Path::new("-"));
        if is_stdin(context) && file_is_stdin {
            return Err(Failure::new(
                "invalid argument: can't use stdin for both build context and dockerfile",
            ));
        }
        let within =
            || Dockerfile::Within(file.map(|file| file.to_string_lossy().into_owned()).unwrap_or_default());
        if is_stdin(context) {
            return from_stdin(within()).await;
        }
        let text = match file_is_stdin {
            true => Some(Dockerfile::Text(read_stdin(Vec::new()).await?)),
            false => None,
        };
        if is_remote(context) {
            let dockerfile = text.unwrap_or_else(within);
            return Ok(Self { files: Files::Remote(context.to_owned()), dockerfile });
        }
        let directory = PathBuf::from(context);
        match fs::metadata(&directory) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(Failure::new(format!("open the build context {context}: not a directory"))),
            Err(error) => return Err(Failure::doing(format!("open the build context {context}"), error)),
        }
        let dockerfile = text.unwrap_or_else(|| Dockerfile::File(dockerfile_of(&directory, file)));
        Ok(Self { files: Files::Folder(directory), dockerfile })
    }
}

/// The file that is meant: in the working directory, else in the context.
fn dockerfile_of(directory: &Path, file: Option<&Path>) -> PathBuf {
    match file {
        Some(file) if file.exists() => file.to_owned(),
        Some(file) => directory.join(file),
        None => {
            let usual = directory.join("Dockerfile");
            let lower = directory.join("dockerfile");
            if !usual.exists() && lower.exists() { lower } else { usual }
        }
    }
}

/// An archive with the files to build from, or a Dockerfile that needs none.
async fn from_stdin(within: Dockerfile) -> Result<Source, Failure> {
    let mut head = Vec::new();
    let mut stdin = tokio::io::stdin();
    let failed = |error| Failure::doing("read standard input", error);
    while head.len() < HEAD && stdin.read_buf(&mut head).await.map_err(failed)? > 0 {}
    if is_archive(&head) {
        let archive = Box::new(std::io::Cursor::new(head).chain(stdin));
        return Ok(Source { files: Files::Archive(archive), dockerfile: within });
    }
    let text = read_stdin(head).await?;
    Ok(Source { files: Files::Nothing, dockerfile: Dockerfile::Text(text) })
}

async fn read_stdin(mut text: Vec<u8>) -> Result<Bytes, Failure> {
    let failed = |error| Failure::doing("read the Dockerfile from standard input", error);
    let mut stdin = tokio::io::stdin().take(DOCKERFILE_LIMIT);
    stdin.read_to_end(&mut text).await.map_err(failed)?;
    Ok(text.into())
}

/// Whether these are the first bytes of a tar, plain or compressed.
fn is_archive(head: &[u8]) -> bool {
    let magics: [&[u8]; 4] = [b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    magics.iter().any(|magic| head.starts_with(magic)) || head.get(257..262) == Some(b"ustar")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_told_from_a_dockerfile() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(is_archive(&tar) && is_archive(b"\x1f\x8b\x08rest"));
        assert!(!is_archive(b"FROM busybox\n") && !is_archive(b""));
    }
}
