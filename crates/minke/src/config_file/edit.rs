//! Rewriting single settings of `config.json`: all else in the file stays as it was, and a crash leaves the old file or
//! the new one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::{Map, Value, ser::PrettyFormatter};

/// Why the file was not rewritten.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    /// There is no folder it could be in.
    #[error("there is no folder for config.json: set HOME or DOCKER_CONFIG, or give --config")]
    NoFolder,
    /// It can't be read.
    #[error("read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// What is in it is no object, or its `auths` are none.
    #[error("{path} is not rewritten: {problem}")]
    Content { path: PathBuf, problem: String },
    /// It can't be written.
    #[error("write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Lets `change` edit the `auths` of the file at `path` as they are now; writes only what has changed.
///
/// # Errors
/// When the file is not understood or can't be written; then it is as before.
pub(crate) fn auths(
    path: Option<&Path>,
    change: impl FnOnce(&mut Map<String, Value>),
) -> Result<(), EditError> {
    rewrite(path, |object| {
        let mut auths = match object.get("auths") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(auths)) => auths.clone(),
            Some(_) => return Err("its \"auths\" are no object"),
        };
        change(&mut auths);
        if object.contains_key("auths") || !auths.is_empty() {
            object.insert("auths".to_owned(), auths.into());
        }
        Ok(())
    })
}

/// Names the docker context to use from now on; `None` is the default one.
///
/// # Errors
/// As [`auths`].
pub(crate) fn current_context(path: Option<&Path>, name: Option<&str>) -> Result<(), EditError> {
    rewrite(path, |object| {
        match name {
            Some(name) => object.insert("currentContext".to_owned(), name.into()),
            None => object.shift_remove("currentContext"),
        };
        Ok(())
    })
}

/// Rewrites the file unless `change` left everything as it was.
fn rewrite(
    path: Option<&Path>,
    change: impl FnOnce(&mut Map<String, Value>) -> Result<(), &'static str>,
) -> Result<(), EditError> {
    let path = path.ok_or(EditError::NoFolder)?;
    let mut config = read(path)?;
    let before = config.clone();
    let content = |problem: &str| EditError::Content { path: path.to_owned(), problem: problem.to_owned() };
    let object = config.as_object_mut().ok_or_else(|| content("it holds no JSON object"))?;
    change(object).map_err(content)?;
    if config == before {
        return Ok(());
    }
    let write = |source| EditError::Write { path: path.to_owned(), source };
    replace(path, &text(&config).map_err(write)?, 0o600).map_err(write)
}

fn read(path: &Path) -> Result<Value, EditError> {
    match fs::read(path) {
        Ok(text) if text.trim_ascii().is_empty() => Ok(Value::Object(Map::new())),
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|error| EditError::Content { path: path.to_owned(), problem: error.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Value::Object(Map::new())),
        Err(source) => Err(EditError::Read { path: path.to_owned(), source }),
    }
}

/// Tabs, as the docker CLI writes them.
fn text(config: &Value) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"\t");
    config.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
    Ok(text)
}

/// Writes beside the file and renames. A file that is a symbolic link stays one. Folders that are missing are made for
/// their owner alone.
pub(crate) fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let target = behind_links(path)?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let (unfinished, mut file) = make_beside(&target, mode)?;
    let written = keep_owner(&target, &file)
        .and_then(|()| file.write_all(text))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&unfinished, &target));
    if written.is_err() {
        // Nothing half-done is left behind.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

/// Where a chain of symbolic links ends, whether or not there is a file.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    /// As the kernel's own limit.
    const LONGEST_CHAIN: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..LONGEST_CHAIN {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn make_beside(target: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    for attempt in 0..100 {
        let mut name = target.as_os_str().to_owned();
        name.push(format!(".unfinished-{}-{attempt}", std::process::id()));
        let path = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).mode(mode).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("the folder is full of unfinished files (.unfinished-…)"))
}

/// `sudo minke login` must not take a user's file away from them.
fn keep_owner(target: &Path, file: &File) -> io::Result<()> {
    match fs::metadata(target) {
        Ok(old) if (old.uid(), old.gid()) != (file.metadata()?.uid(), file.metadata()?.gid()) => {
            fchown(file, Some(old.uid()), Some(old.gid()))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use serde_json::json;

    use super::*;

    fn add(path: &Path) -> Result<(), EditError> {
        auths(Some(path), |auths| {
            auths.insert("r:5000".to_owned(), json!({"auth": "dTpw"}));
        })
    }

    #[test]
    fn unknown_settings_and_their_order_survive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let old = r#"{"zzz": {"b": 1, "a": [2.50]}, "auths": {"x": {"email": "e"}}, "aliases": {"builder": "buildx"}}"#;
        fs::write(&path, old).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        add(&path).unwrap();
        let expected = concat!(
            "{\n\t\"zzz\": {\n\t\t\"b\": 1,\n\t\t\"a\": [\n\t\t\t2.5\n\t\t]\n\t},\n\t\"auths\": {\n\t\t\"x\": {\n\t\t\t\"email\": \"e\"\n",
            "\t\t},\n\t\t\"r:5000\": {\n\t\t\t\"auth\": \"dTpw\"\n\t\t}\n\t},\n\t\"aliases\": {\n\t\t\"builder\": \"buildx\"\n\t}\n}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing unfinished is left");
    }

    #[test]
    fn the_context_is_named_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let text = || fs::read_to_string(&path).unwrap();
        current_context(Some(&path), None).unwrap();
        assert!(!path.exists());
        fs::write(&path, r#"{"a": 1}"#).unwrap();
        current_context(Some(&path), Some("there")).unwrap();
        assert_eq!(text(), "{\n\t\"a\": 1,\n\t\"currentContext\": \"there\"\n}");
        current_context(Some(&path), None).unwrap();
        assert_eq!(text(), "{\n\t\"a\": 1\n}");
    }

    #[test]
    fn a_missing_file_is_made_with_its_folders_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/config.json");
        add(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder.path().join("a"))), (0o600, 0o700));
    }

    #[test]
    fn a_link_is_written_through_also_where_it_leads_nowhere_yet() {
        let folder = tempfile::tempdir().unwrap();
        let (link, middle) = (folder.path().join("config.json"), folder.path().join("middle"));
        fs::create_dir(folder.path().join("real")).unwrap();
        symlink("middle", &link).unwrap();
        symlink("real/file", &middle).unwrap();
        for _ in 0..2 {
            add(&link).unwrap();
            auths(Some(&link), |auths| auths.insert("y".to_owned(), json!({})).map_or((), drop)).unwrap();
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(folder.path().join("real/file")).unwrap().contains("r:5000"));
        let around = folder.path().join("around");
        symlink("around", &around).unwrap();
        assert!(matches!(add(&around), Err(EditError::Read { .. })));
    }

    #[test]
    fn nothing_is_written_where_nothing_changes_or_the_file_is_not_understood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        auths(Some(&path), |auths| auths.clear()).unwrap();
        assert!(!path.exists());
        fs::write(&path, "{\"auths\":{} }").unwrap();
        auths(Some(&path), |auths| auths.clear()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"auths\":{} }");
        for broken in ["{", "[]", "{\"auths\": 1}"] {
            fs::write(&path, broken).unwrap();
            let error = add(&path).unwrap_err().to_string();
            assert!(error.contains("config.json"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), broken);
        }
        assert!(matches!(auths(None, |_| ()), Err(EditError::NoFolder)));
    }
}
