//! The exit record that a supervisor leaves behind: how a container ended while nobody listened.

use std::{fs, io, path::Path};

use minke_oci_runtime::supervise::protocol::ExitRecord;

/// The record at `path`; `None` when the container has not ended (or never began).
///
/// # Errors
/// Those of reading the file; [`io::ErrorKind::InvalidData`] when it is no exit record, which a
/// supervisor never leaves since it renames a complete file.
pub fn read_exit_record(path: &Path) -> io::Result<Option<ExitRecord>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let record = serde_json::from_slice(&bytes).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("read exit record {}: {error}", path.display()))
    })?;
    Ok(Some(record))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_no_record_and_a_broken_file_is_an_error() {
        let missing = Path::new("/proc/self/no-such-record");
        assert!(read_exit_record(missing).unwrap().is_none());
        let broken = read_exit_record(Path::new("/proc/self/stat")).unwrap_err();
        assert_eq!(broken.kind(), io::ErrorKind::InvalidData);
    }
}
