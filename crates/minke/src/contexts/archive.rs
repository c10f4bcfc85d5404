//! A context as one tar, as `docker context export` writes it: `meta.json`, and `tls/<endpoint>/<file>`.

use std::io::{self, Read};

use super::{Meta, TlsFiles};
use crate::failure::Failure;

/// More than any context holds: the tar is read into memory.
const LIMIT: u64 = 10 << 20;

/// What a tar is made of.
const BLOCK: usize = 512;

/// Writes a context.
///
/// # Errors
/// When a file has a name that no tar can hold.
pub(crate) fn pack(meta: &Meta, tls: &TlsFiles) -> Result<Vec<u8>, Failure> {
    let packed = || -> io::Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |path: &str, mode: u32, kind: tar::EntryType, content: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_mode(mode);
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content)
        };
        let (file, folder) = (tar::EntryType::Regular, tar::EntryType::Directory);
        add("meta.json", 0o644, file, &serde_json::to_vec(meta)?)?;
        add("tls", 0o700, folder, &[])?;
        for (endpoint, files) in tls {
            add(&format!("tls/{endpoint}"), 0o700, folder, &[])?;
            for (name, content) in files {
                add(&format!("tls/{endpoint}/{name}"), 0o600, file, content)?;
            }
        }
        tar.into_inner()
    };
    packed().map_err(|error| Failure::doing("write a context's archive", error))
}

/// Reads a context that will have the `name`. Nothing but the files of a context may be in it: names become paths.
///
/// # Errors
/// When it is no such tar, says where it goes wrong.
pub(crate) fn unpack(name: &str, archive: impl Read) -> Result<(Meta, TlsFiles), Failure> {
    let wrong = |error: io::Error| Failure::doing("read a context's archive", error);
    let mut bytes = Vec::new();
    archive.take(LIMIT).read_to_end(&mut bytes).map_err(wrong)?;
    let length = bytes.len();
    // Docker's exports end with the last file's content, without what fills its block and the two blocks that end a tar.
    bytes.resize(length.next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    let mut tar = tar::Archive::new(&bytes[..]);
    let (mut meta, mut tls) = (None, TlsFiles::new());
    for entry in tar.entries().map_err(wrong)? {
        let mut entry = entry.map_err(wrong)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.raw_file_position().saturating_add(entry.size()) > length as u64 {
            return Err(wrong(io::Error::other(format!("it is cut off in {path}"))));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(wrong)?;
        let parts: Vec<&str> = path.split('/').collect();
        match parts[..] {
            ["meta.json"] => {
                let read: Meta = serde_json::from_slice(&content)
                    .map_err(|error| Failure::doing("read meta.json of a context's archive", error))?;
                meta = Some(Meta { name: name.to_owned(), ..read });
            }
            ["tls", endpoint, file] if is_plain(endpoint) && is_plain(file) => {
                tls.entry(endpoint.to_owned()).or_default().insert(file.to_owned(), content);
            }
            _ => {
                return Err(Failure::new(format!(
                    "{path}: unexpected context file: want meta.json and tls/ENDPOINT/FILE"
                )));
            }
        }
    }
    let meta =
        meta.ok_or_else(|| Failure::new("invalid context: no metadata found: want a tar with meta.json"))?;
    Ok((meta, tls))
}

/// Whether it names something in a folder and nothing outside.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['\\', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contexts::DockerEndpoint;

    #[test]
    fn a_context_comes_back_under_another_name() {
        let meta = Meta::new("one", &DockerEndpoint { host: "tcp://x:1".to_owned(), skip_verify: false });
        let tls: TlsFiles = [("docker".to_owned(), [("ca.pem".to_owned(), b"x".to_vec())].into())].into();
        let (back, files) = unpack("two", &pack(&meta, &tls).unwrap()[..]).unwrap();
        assert_eq!((back, files), (Meta { name: "two".to_owned(), ..meta.clone() }, tls.clone()));

        // As docker leaves it: nothing after the last file's content.
        let packed = pack(&meta, &tls).unwrap();
        let end = packed.iter().rposition(|byte| *byte == b'x').unwrap() + 1;
        assert_eq!(unpack("two", &packed[..end]).unwrap().1, tls);
        assert!(
            unpack("two", &packed[..end - 1]).unwrap_err().message.contains("cut off in tls/docker/ca.pem")
        );
    }

    #[test]
    fn what_is_no_context_is_refused() {
        let with = |path: &str| {
            let mut tar = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_size(2);
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            tar.append(&header, &b"{}"[..]).unwrap();
            tar.into_inner().unwrap()
        };
        for path in ["tls/../x", "tls/a/..", "tls/a/b/c", "/meta.json", "x", "tls/a/b\\c"] {
            let message = unpack("x", &with(path)[..]).unwrap_err().message;
            assert!(message.contains("unexpected context file"), "{path}: {message}");
        }
        assert!(unpack("x", &[][..]).unwrap_err().message.contains("no metadata"));
        assert!(unpack("x", &b"not a tar"[..]).is_err());
    }
}
