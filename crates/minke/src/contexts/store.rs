//! Contexts on disk, in the docker CLI's layout.

use std::{
    fs::{self, DirBuilder},
    io::{self, ErrorKind},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use minke_model::Digest;
use sha2::{Digest as _, Sha256};

use super::{Meta, TlsFiles};
use crate::{config_file::edit, failure::Failure};

/// The folder `contexts` beside the user's `config.json`.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    /// The store below the folder of `config.json`.
    pub(crate) fn below(folder: &Path) -> Self {
        Self { root: folder.join("contexts") }
    }

    /// Where a context's description lies.
    pub(crate) fn meta_folder(&self, name: &str) -> PathBuf {
        self.root.join("meta").join(id(name))
    }

    /// Where its certificates and keys lie.
    pub(crate) fn tls_folder(&self, name: &str) -> PathBuf {
        self.root.join("tls").join(id(name))
    }

    /// All contexts, by name. A file that can't be read is a failure: its context would be missing in silence.
    ///
    /// # Errors
    /// With the file's name.
    pub(crate) fn list(&self) -> Result<Vec<Meta>, Failure> {
        let folder = self.root.join("meta");
        let mut all = Vec::new();
        for entry in present(fs::read_dir(&folder)).map_err(read(&folder))?.into_iter().flatten() {
            let path = entry.map_err(read(&folder))?.path().join("meta.json");
            if let Some(text) = present(fs::read(&path)).map_err(read(&path))? {
                all.push(parse(&path, &text)?);
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Whether there is a context of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.meta_folder(name).join("meta.json").exists()
    }

    /// A context by its name.
    ///
    /// # Errors
    /// When there is none, in Docker's words, or it can't be read.
    pub(crate) fn get(&self, name: &str) -> Result<Meta, Failure> {
        let path = self.meta_folder(name).join("meta.json");
        match present(fs::read(&path)).map_err(read(&path))? {
            Some(text) => parse(&path, &text),
            None => Err(Failure::new(format!(
                "context {name:?}: context not found: open {}: no such file or directory",
                path.display()
            ))),
        }
    }

    /// A context's certificates and keys.
    ///
    /// # Errors
    /// When they can't be read, with the file's name.
    pub(crate) fn tls(&self, name: &str) -> Result<TlsFiles, Failure> {
        let folder = self.tls_folder(name);
        let mut all = TlsFiles::new();
        for endpoint in folders(&folder)? {
            let mut files = std::collections::BTreeMap::new();
            let inner = folder.join(&endpoint);
            for entry in fs::read_dir(&inner).map_err(read(&inner))? {
                let path = entry.map_err(read(&inner))?.path();
                let Some(file) = path.file_name().and_then(|name| name.to_str()) else { continue };
                files.insert(file.to_owned(), fs::read(&path).map_err(read(&path))?);
            }
            all.insert(endpoint, files);
        }
        Ok(all)
    }

    /// Writes a context and its certificates, in place of what was there.
    ///
    /// # Errors
    /// With the file's name.
    pub(crate) fn put(&self, meta: &Meta, tls: &TlsFiles) -> Result<(), Failure> {
        self.put_meta(meta)?;
        let folder = self.tls_folder(&meta.name);
        remove(&folder)?;
        for (endpoint, files) in tls {
            let inner = folder.join(endpoint);
            DirBuilder::new().recursive(true).mode(0o700).create(&inner).map_err(write(&inner))?;
            for (file, content) in files {
                let path = inner.join(file);
                edit::replace(&path, content, 0o600).map_err(write(&path))?;
            }
        }
        Ok(())
    }

    /// Writes a context and leaves its certificates as they are.
    ///
    /// # Errors
    /// With the file's name.
    pub(crate) fn put_meta(&self, meta: &Meta) -> Result<(), Failure> {
        let folder = self.meta_folder(&meta.name);
        DirBuilder::new().recursive(true).mode(0o755).create(&folder).map_err(write(&folder))?;
        let path = folder.join("meta.json");
        let text = serde_json::to_vec(meta).map_err(|error| Failure::doing("write a context", error))?;
        edit::replace(&path, &text, 0o644).map_err(write(&path))
    }

    /// Removes a context, whether or not there is one.
    ///
    /// # Errors
    /// With the folder's name.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Failure> {
        remove(&self.meta_folder(name))?;
        remove(&self.tls_folder(name))
    }
}

/// The folder of a context.
fn id(name: &str) -> String {
    Digest::from_bytes(Sha256::digest(name).into()).hex()
}

fn parse(path: &Path, text: &[u8]) -> Result<Meta, Failure> {
    serde_json::from_slice(text).map_err(|error| Failure::doing(format!("read {}", path.display()), error))
}

/// The names of the folders in a folder.
fn folders(folder: &Path) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for entry in present(fs::read_dir(folder)).map_err(read(folder))?.into_iter().flatten() {
        let entry = entry.map_err(read(folder))?;
        if entry.path().is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}

fn remove(folder: &Path) -> Result<(), Failure> {
    present(fs::remove_dir_all(folder)).map(drop).map_err(write(folder))
}

/// `None` for what is not there.
fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::doing(format!("read {}", path.display()), error)
}

fn write(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::doing(format!("write {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::contexts::{DockerEndpoint, files};

    #[test]
    fn a_context_lies_where_docker_looks_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::below(folder.path());
        assert!(store.list().unwrap().is_empty());
        let endpoint = DockerEndpoint { host: "tcp://1.2.3.4:2376".to_owned(), skip_verify: true };
        let meta = Meta::new("rem", &endpoint);
        let material = minke_docker_client::TlsMaterial { key: Some(b"k".to_vec()), ..Default::default() };
        store.put(&meta, &files(&material)).unwrap();
        let id = "8fbd42ad079a6ceeaf6cecc9f333f41f53335eba32cafff07f5c9555680fdce4";
        let text =
            fs::read_to_string(folder.path().join("contexts/meta").join(id).join("meta.json")).unwrap();
        assert_eq!(
            text,
            r#"{"Name":"rem","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://1.2.3.4:2376","SkipTLSVerify":true}}}"#
        );
        let key = folder.path().join("contexts/tls").join(id).join("docker/key.pem");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!((store.get("rem").unwrap(), store.list().unwrap()), (meta.clone(), vec![meta.clone()]));
        assert_eq!(store.tls("rem").unwrap(), files(&material));
        store.put(&meta, &TlsFiles::new()).unwrap();
        assert!(!key.exists());
        store.remove("rem").unwrap();
        store.remove("rem").unwrap();
        assert!(!store.has("rem") && store.get("rem").unwrap_err().message.contains("context not found"));
    }

    #[test]
    fn a_file_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::below(folder.path());
        fs::create_dir_all(store.meta_folder("bad")).unwrap();
        fs::write(store.meta_folder("bad").join("meta.json"), "{").unwrap();
        assert!(store.list().unwrap_err().message.contains("meta.json"));
    }
}
