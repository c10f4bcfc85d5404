//! `--pidfile`: the engine's process id in a file, for those who want to signal it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// The file, until it is dropped.
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Writes it, in place of one whose process is gone.
    ///
    /// # Errors
    /// When another process is alive that it names, or it can't be written.
    pub(super) fn write(path: &Path) -> Result<Self, Failure> {
        let own = std::process::id();
        if let Some(pid) =
            named(path).filter(|pid| *pid != own && Path::new(&format!("/proc/{pid}")).exists())
        {
            return Err(Failure::new(format!(
                "minke daemon: the process with the id {pid} that {} names is alive: end it, or remove the file",
                path.display()
            )));
        }
        let failed = |error| Failure::doing(format!("minke daemon: write {}", path.display()), error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        fs::write(path, own.to_string()).map_err(failed)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // What has become another engine's is left to it.
        if named(&self.0) == Some(std::process::id()) {
            let _ = fs::remove_file(&self.0);
        }
    }
}

fn named(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_process_that_is_gone_is_replaced_and_goes_with_the_engine() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/minke.pid");
        fs::create_dir(folder.path().join("run")).unwrap();
        // No process has this id: it is beyond the largest.
        fs::write(&path, "4194305").unwrap();
        let file = PidFile::write(&path).unwrap();
        assert_eq!(named(&path), Some(std::process::id()));
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_process_that_is_alive_keeps_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("minke.pid");
        fs::write(&path, "1\n").unwrap();
        let Err(told) = PidFile::write(&path) else { panic!("process 1 is alive") };
        assert!(told.message.contains("the process with the id 1"), "{}", told.message);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    }
}
