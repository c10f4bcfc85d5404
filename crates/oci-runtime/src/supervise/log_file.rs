//! The container's log file: batches of records in, rotation, and survival of a full disk.
//!
//! One write(2) per batch. A disk that is full (or broken) must not stop the container: records that
//! don't fit are dropped and counted, a half-written record is cut off again, and a note says how
//! much was lost once writing works again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    json_line::{RecordTail, append_record},
    protocol::{LogConfig, LogPlace},
    record::Record,
};

/// A batch of this many bytes is written even when more is to come: short lines grow forty-fold in the log.
const FULL_BATCH: usize = 256 << 10;

/// An open log.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    max_size: Option<u64>,
    max_files: u32,
    batch: Vec<u8>,
    lost: u64,
}

impl LogFile {
    /// Opens the log for appending; `None` when `config` names none.
    ///
    /// # Errors
    /// Those of open(2).
    pub(super) fn open(config: &LogConfig) -> io::Result<Option<Self>> {
        let Some(path) = &config.path else { return Ok(None) };
        let file = open_append(path)?;
        let size = file.metadata()?.len();
        Ok(Some(Self {
            path: path.clone(),
            file,
            size,
            max_size: config.max_size.filter(|size| *size > 0),
            max_files: config.max_files.unwrap_or(1).max(1),
            batch: Vec::new(),
            lost: 0,
        }))
    }

    /// Appends a record to the batch, until [`LogFile::flush`].
    pub(super) fn take(&mut self, record: Record<'_>) {
        append_record(&mut self.batch, record.text, record.ends_line, &record.origin.tail);
    }

    /// Whether nothing is to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Whether the batch should be written before more is added.
    pub(super) fn is_full(&self) -> bool {
        self.batch.len() >= FULL_BATCH
    }

    /// Where the file ends.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub(super) fn end(&self) -> io::Result<LogPlace> {
        let metadata = self.file.metadata()?;
        Ok(LogPlace { inode: metadata.ino(), length: metadata.len() })
    }

    /// Gives the memory of past batches back.
    pub(super) fn release(&mut self) {
        if self.batch.is_empty() {
            self.batch = Vec::new();
        }
    }

    /// Writes the batch, and says whether the file has grown. `time` is that of the note about losses.
    pub(super) fn flush(&mut self, time: &str) -> bool {
        if self.batch.is_empty() {
            return false;
        }
        let mut batch = std::mem::take(&mut self.batch);
        let before = self.lost;
        let mut note = 0;
        if before > 0 {
            let noted = with_note(before, time, &batch);
            note = (noted.len() - batch.len()) as u64;
            batch = noted;
        }
        let grew = self.write_batch(&batch);
        if before > 0 {
            // Either the note told of the earlier losses, or it is itself among what was lost now.
            self.lost = self.lost.saturating_sub(if grew { before } else { note });
        }
        batch.clear();
        self.batch = batch;
        grew
    }

    /// Writes records, rotating between two of them where the size limit falls.
    fn write_batch(&mut self, batch: &[u8]) -> bool {
        let mut rest = batch;
        let mut grew = false;
        while !rest.is_empty() {
            let mut end = self.fitting(rest);
            if end == 0 && self.size > 0 && self.rotate().is_ok() {
                end = self.fitting(rest);
            }
            if end == 0 {
                end = record_end(rest, 0); // longer than a whole file may be, or rotation failed
            }
            let (now, later) = rest.split_at(end);
            rest = later;
            if self.write_records(now) {
                grew = true;
            }
        }
        grew
    }

    /// How many bytes of whole records fit under the size limit.
    fn fitting(&self, records: &[u8]) -> usize {
        let Some(max) = self.max_size else { return records.len() };
        let room = usize::try_from(max.saturating_sub(self.size)).unwrap_or(usize::MAX);
        if records.len() <= room {
            return records.len();
        }
        memchr::memrchr(b'\n', &records[..room]).map_or(0, |at| at + 1)
    }

    /// Writes whole records; on an error keeps those that were written whole, and counts the rest as lost.
    fn write_records(&mut self, records: &[u8]) -> bool {
        let mut written = 0;
        while written < records.len() {
            match self.file.write(&records[written..]) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let whole = memchr::memrchr(b'\n', &records[..written]).map_or(0, |at| at + 1);
        self.size += whole as u64;
        if whole < written {
            // Freeing space is possible on a full disk. If even this fails, one line of the log is damaged.
            let _ = self.file.set_len(self.size);
        }
        self.lost += (records.len() - whole) as u64;
        whole > 0
    }

    /// `path` becomes `path.1`, `path.1` becomes `path.2`, …; with a single file it is emptied.
    fn rotate(&mut self) -> io::Result<()> {
        if self.max_files == 1 {
            self.file.set_len(0)?;
        } else {
            for number in (1..self.max_files - 1).rev() {
                rename_if_there(&numbered(&self.path, number), &numbered(&self.path, number + 1))?;
            }
            rename_if_there(&self.path, &numbered(&self.path, 1))?;
            self.file = open_append(&self.path)?;
        }
        self.size = 0;
        Ok(())
    }
}

fn open_append(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
    end_last_record(&file)?;
    Ok(file)
}

/// A supervisor that was killed in the middle of a write leaves half a record; a newline keeps it from
/// swallowing the next one.
fn end_last_record(mut file: &File) -> io::Result<()> {
    let size = file.metadata()?.len();
    let mut last = [b'\n'];
    if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    if last != [b'\n'] { file.write_all(b"\n") } else { Ok(()) }
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// The end of the record that begins at `start`.
fn record_end(records: &[u8], start: usize) -> usize {
    memchr::memchr(b'\n', &records[start..]).map_or(records.len(), |at| start + at + 1)
}

fn with_note(lost: u64, time: &str, batch: &[u8]) -> Vec<u8> {
    let text = format!("minke: {lost} bytes of this log could not be written and are lost");
    let mut noted = Vec::with_capacity(batch.len() + 256);
    append_record(&mut noted, text.as_bytes(), true, &RecordTail::new("stderr", time));
    noted.extend_from_slice(batch);
    noted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, max_size: Option<u64>, max_files: Option<u32>) -> LogFile {
        let config = LogConfig { path: Some(path.to_owned()), max_size, max_files, collector: None };
        LogFile::open(&config).unwrap().unwrap()
    }

    fn write(log: &mut LogFile, records: &str) -> bool {
        log.batch.extend_from_slice(records.as_bytes());
        log.flush("2026-01-02T03:04:05Z")
    }

    #[test]
    fn batches_are_appended_and_growth_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = open(&path, None, None);
        assert!(!write(&mut log, ""));
        assert!(write(&mut log, "one\ntwo\n"));
        drop(log);
        assert!(write(&mut open(&path, None, None), "three\n"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn rotation_happens_between_records_and_keeps_so_many_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = open(&path, Some(10), Some(3));
        write(&mut log, "aaaa\nbbbb\ncccc\ndddd\neeee\nffff\ngggg\n");
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(
            (read("log"), read("log.1"), read("log.2")),
            ("gggg\n".into(), "eeee\nffff\n".into(), "cccc\ndddd\n".into())
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_single_file_is_emptied_and_a_huge_record_is_kept_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = open(&path, Some(10), Some(1));
        write(&mut log, "aaaa\nbbbb\n0123456789abcdef\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "0123456789abcdef\n");
        write(&mut log, "cccc\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "cccc\n");
    }

    #[test]
    fn half_a_record_of_a_killed_supervisor_does_not_swallow_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "{\"log\":\"ha").unwrap();
        write(&mut open(&path, None, None), "{}\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"log\":\"ha\n{}\n");
    }

    #[test]
    fn a_full_disk_loses_records_and_says_so_when_there_is_room_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = open(&path, None, None);
        log.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert!(!write(&mut log, "lost\n"));
        assert!(!write(&mut log, "gone\n"));
        log.file = open_append(&path).unwrap();
        assert!(write(&mut log, "kept\n"));
        assert!(write(&mut log, "more\n"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\"log\":\"minke: "), "{text}");
        assert!(text.ends_with("}\nkept\nmore\n"), "{text}");
        assert_eq!(text.lines().count(), 3);
    }
}
