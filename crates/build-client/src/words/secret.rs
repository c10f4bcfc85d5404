//! `--secret`.

use std::io::Read;

use bytes::Bytes;

use super::{WordError, fields};
use crate::options::Secret;

/// The most bytes of a secret, as in BuildKit.
const MOST: u64 = 500 * 1024;

/// `id=NAME[,src=FILE][,env=VARIABLE]`, read now. Without either, it is the variable of its name if there is one, else the
/// file.
///
/// # Errors
/// Without an id, and for a secret that isn't there or too large.
pub fn secret(text: &str) -> Result<Secret, WordError> {
    let read = fields("secret", text)?;
    let wrong = |reason: String| WordError::new("secret", text, reason);
    let known = ["id", "src", "source", "env", "type"];
    if let Some((key, _)) = read.iter().find(|(key, value)| !known.contains(key) || value.is_none()) {
        return Err(wrong(format!("unexpected key {key:?}; use id=NAME,src=FILE or id=NAME,env=VARIABLE")));
    }
    let id = read.text("id");
    if id.is_empty() {
        return Err(wrong("id is missing".into()));
    }
    let file = if read.text("src").is_empty() { read.text("source") } else { read.text("src") };
    let is_variable = match (read.text("type"), file, read.text("env")) {
        ("env", ..) => true,
        ("" | "file", "", "") => read.text("type").is_empty() && std::env::var_os(id).is_some(),
        ("" | "file", _, variable) => !variable.is_empty(),
        (kind, ..) => return Err(wrong(format!("unsupported secret type {kind:?}"))),
    };
    let value = if is_variable {
        let name = [read.text("env"), file, id].into_iter().find(|name| !name.is_empty()).unwrap_or(id);
        let value = std::env::var_os(name).ok_or_else(|| wrong(format!("the variable {name} is not set")))?;
        Bytes::from(std::os::unix::ffi::OsStringExt::into_vec(value))
    } else {
        let path = if file.is_empty() { id } else { file };
        from_file(path).map_err(|error| wrong(format!("read {path}: {error}")))?
    };
    match value.len() as u64 > MOST {
        true => Err(wrong(format!("more than {MOST} bytes"))),
        false => Ok(Secret { id: id.to_owned(), value }),
    }
}

fn from_file(path: &str) -> std::io::Result<Bytes> {
    let mut value = Vec::new();
    std::fs::File::open(path)?.take(MOST + 1).read_to_end(&mut value)?;
    Ok(Bytes::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_files_or_a_variables() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "12345").unwrap();
        let read = |text: &str| secret(&text.replace("FILE", path.to_str().unwrap()));
        assert_eq!(read("id=a,src=FILE").unwrap().value, "12345");
        assert_eq!(read("type=file,id=a,source=FILE").unwrap().id, "a");
        let home = std::env::var("PATH").unwrap();
        assert_eq!(read("id=PATH").unwrap().value, home);
        assert_eq!(read("id=a,env=PATH").unwrap().value, home);
        for text in [
            "src=FILE",
            "id=a,src=FILE,mode=1",
            "id=a,src=/nowhere",
            "id=a,env=NOT_SET_AT_ALL",
            "type=x,id=a",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        std::fs::write(&path, vec![0; MOST as usize + 1]).unwrap();
        assert!(read("id=a,src=FILE").unwrap_err().to_string().contains("more than"));
        assert_eq!(format!("{:?}", Secret { id: "a".into(), value: "b".into() }), "Secret(\"a\")");
    }
}
