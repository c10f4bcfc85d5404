//! Reading json-file logs: the file and its rotated predecessors as one sequence of lines, from the start or
//! from so many lines before the end. Blocking, in bounded pieces; the reader of a followed log keeps its
//! place.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Bytes read at a time, in both directions.
const CHUNK: usize = 64 << 10;
/// A line longer than this is no log line (the supervisor splits at 16 KiB): it is skipped.
const LONGEST_LINE: usize = 1 << 20;

/// A place in a log.
#[derive(Debug)]
pub(crate) struct Cursor {
    path: PathBuf,
    /// Files still to read after the current one, the next first.
    later: Vec<PathBuf>,
    current: Option<File>,
    /// The beginning of a line whose end has not been read.
    partial: Vec<u8>,
    /// Where the log ended when it was opened, if nothing after that is wanted.
    end: Option<End>,
}

/// A place in a file, whatever the file is called by now.
#[derive(Debug, Clone, Copy)]
struct End {
    device: u64,
    inode: u64,
    position: u64,
}

impl End {
    /// The end of what has this name now.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(file) => Ok(Some(Self { device: file.dev(), inode: file.ino(), position: file.len() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The position, if it is in this file.
    fn within(self, file: &File) -> io::Result<Option<u64>> {
        let metadata = file.metadata()?;
        Ok(((metadata.dev(), metadata.ino()) == (self.device, self.inode)).then_some(self.position))
    }
}

impl Cursor {
    /// At the first line, or `tail` lines before the end. A log that does not exist is empty. One that isn't followed ends
    /// where it ends now, however fast it grows.
    ///
    /// # Errors
    /// Those of reading files.
    pub(crate) fn open(path: &Path, tail: Option<u64>, follow: bool) -> io::Result<Self> {
        let end = if follow { None } else { End::of(path)? };
        let mut files = existing(path);
        let mut offset = 0;
        if let Some(tail) = tail {
            let mut wanted = tail;
            // From the newest file back, until enough lines are found.
            while let Some((file, older)) =
                files.split_last().map(|(last, older)| (last.clone(), older.len()))
            {
                let newest = File::open(&file)?;
                let length = match end.map(|end| end.within(&newest)).transpose()?.flatten() {
                    Some(position) => position.min(newest.metadata()?.len()),
                    None => newest.metadata()?.len(),
                };
                let (start, found) = lines_from_end(&newest, length, wanted)?;
                wanted = wanted.saturating_sub(found);
                if wanted == 0 || older == 0 {
                    offset = start;
                    let keep = files.split_off(files.len() - 1);
                    return Self::start(path, keep, later_of(path, &file), offset, end);
                }
                files.pop();
            }
        }
        let later = files.split_off(files.len().min(1));
        Self::start(path, files, later, offset, end)
    }

    fn start(
        path: &Path,
        first: Vec<PathBuf>,
        later: Vec<PathBuf>,
        offset: u64,
        end: Option<End>,
    ) -> io::Result<Self> {
        let mut current = None;
        if let Some(first) = first.first() {
            let mut file = File::open(first)?;
            file.seek(SeekFrom::Start(offset))?;
            current = Some(file);
        }
        Ok(Self { path: path.to_owned(), later, current, partial: Vec::new(), end })
    }

    /// Calls `each` with the next complete lines, about [`CHUNK`] bytes of them. False when there are none
    /// (yet).
    ///
    /// # Errors
    /// Those of reading files.
    pub(crate) fn read(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<bool> {
        loop {
            if self.current.is_none() {
                match File::open(&self.path) {
                    Ok(file) => self.current = Some(file),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            let Some(file) = &mut self.current else { return Ok(false) };
            let left = match self.end.map(|end| end.within(file)).transpose()?.flatten() {
                Some(end) => end.saturating_sub(file.stream_position()?),
                None => u64::MAX,
            };
            if left == 0 {
                return Ok(false);
            }
            let before = self.partial.len();
            self.partial.resize(before + usize::try_from(left).unwrap_or(CHUNK).min(CHUNK), 0);
            let count = file.read(&mut self.partial[before..]);
            self.partial.truncate(before + *count.as_ref().unwrap_or(&0));
            if count? == 0 {
                if !self.next_file()? {
                    return Ok(false);
                }
                continue;
            }
            let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
                if self.partial.len() > LONGEST_LINE {
                    self.partial.clear();
                }
                continue;
            };
            self.partial[..end].split(|byte| *byte == b'\n').for_each(&mut each);
            self.partial.drain(..=end);
            return Ok(true);
        }
    }

    /// At the end of a file: goes on with the next, if there is one or the log was rotated meanwhile.
    fn next_file(&mut self) -> io::Result<bool> {
        if !self.later.is_empty() {
            self.partial.clear();
            self.current = match File::open(self.later.remove(0)) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            return Ok(true);
        }
        let Some(current) = &mut self.current else { return Ok(false) };
        let ours = current.metadata()?;
        let now = match std::fs::metadata(&self.path) {
            Ok(now) => now,
            // Between the two renames of a rotation, or removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if (now.dev(), now.ino()) != (ours.dev(), ours.ino()) {
            self.partial.clear();
            self.current = Some(File::open(&self.path)?);
            return Ok(true);
        }
        // A log that keeps one file is emptied in place.
        if ours.len() < current.stream_position()? {
            self.partial.clear();
            current.seek(SeekFrom::Start(0))?;
            return Ok(true);
        }
        Ok(false)
    }
}

/// The log's files that exist, the oldest first.
fn existing(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        (1..1000).map(|n| numbered(path, n)).take_while(|file| file.exists()).collect();
    files.reverse();
    if path.exists() {
        files.push(path.to_owned());
    }
    files
}

fn later_of(path: &Path, file: &Path) -> Vec<PathBuf> {
    existing(path).into_iter().skip_while(|other| other != file).skip(1).collect()
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Where the last `wanted` complete lines of the first `length` bytes begin, and how many there are at most.
fn lines_from_end(file: &File, length: u64, wanted: u64) -> io::Result<(u64, u64)> {
    if wanted == 0 {
        return Ok((length, 0));
    }
    let (mut position, mut newlines, mut buffer) = (length, 0, vec![0; CHUNK]);
    while position > 0 {
        let size = position.min(CHUNK as u64);
        position -= size;
        let chunk = &mut buffer[..usize::try_from(size).unwrap_or(CHUNK)];
        file.read_exact_at(chunk, position)?;
        for (index, byte) in chunk.iter().enumerate().rev() {
            // The newline at the very end closes the last line and begins none.
            if *byte == b'\n' {
                newlines += 1;
                if newlines == wanted + 1 {
                    return Ok((position + index as u64 + 1, wanted));
                }
            }
        }
    }
    Ok((0, newlines))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Log(tempfile::TempDir);

    impl Log {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("log")
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.0.path().join(name), text).unwrap();
        }

        fn read(&self, tail: Option<u64>) -> Vec<String> {
            read_all(&mut Cursor::open(&self.path(), tail, false).unwrap())
        }
    }

    fn read_all(cursor: &mut Cursor) -> Vec<String> {
        let mut lines = Vec::new();
        while cursor.read(|line| lines.push(String::from_utf8_lossy(line).into_owned())).unwrap() {}
        lines
    }

    #[test]
    fn rotated_files_are_read_first() {
        let log = Log::new();
        log.write("log.2", "a\nb\n");
        log.write("log.1", "c\n");
        log.write("log", "d\ne\n");
        assert_eq!(log.read(None), ["a", "b", "c", "d", "e"]);
        assert_eq!(log.read(Some(2)), ["d", "e"]);
        assert_eq!(log.read(Some(3)), ["c", "d", "e"]);
        assert_eq!(log.read(Some(4)), ["b", "c", "d", "e"]);
        assert_eq!(log.read(Some(99)), ["a", "b", "c", "d", "e"]);
        assert!(log.read(Some(0)).is_empty());
    }

    #[test]
    fn a_log_that_does_not_exist_is_empty_and_may_appear() {
        let log = Log::new();
        let mut cursor = Cursor::open(&log.path(), Some(5), true).unwrap();
        assert!(read_all(&mut cursor).is_empty());
        log.write("log", "a\n");
        assert_eq!(read_all(&mut cursor), ["a"]);
    }

    #[test]
    fn a_followed_log_goes_on_after_growth_and_rotation() {
        let log = Log::new();
        log.write("log", "a\nhalf");
        let mut cursor = Cursor::open(&log.path(), None, true).unwrap();
        assert_eq!(read_all(&mut cursor), ["a"]);
        log.write("log", "a\nhalf a line\n");
        assert_eq!(read_all(&mut cursor), ["half a line"]);
        fs::rename(log.path(), log.0.path().join("log.1")).unwrap();
        log.write("log", "new\n");
        assert_eq!(read_all(&mut cursor), ["new"]);
        log.write("log", "");
        assert!(read_all(&mut cursor).is_empty());
        log.write("log", "x\n");
        assert_eq!(read_all(&mut cursor), ["x"]);
    }

    #[test]
    fn a_log_that_is_not_followed_ends_where_it_ended_when_it_was_opened() {
        for tail in [None, Some(1)] {
            let log = Log::new();
            log.write("log.1", "a\n");
            log.write("log", "b\nc\n");
            let mut cursor = Cursor::open(&log.path(), tail, false).unwrap();
            let mut grown = fs::OpenOptions::new().append(true).open(log.path()).unwrap();
            io::Write::write_all(&mut grown, b"d\n").unwrap();
            let wanted: &[&str] = if tail.is_some() { &["c"] } else { &["a", "b", "c"] };
            assert_eq!(read_all(&mut cursor), wanted);
        }
        // Also when what is read has another name by then.
        let log = Log::new();
        log.write("log", "a\nb\n");
        let mut cursor = Cursor::open(&log.path(), Some(1), false).unwrap();
        fs::rename(log.path(), log.0.path().join("log.1")).unwrap();
        log.write("log", "c\n");
        assert_eq!(read_all(&mut cursor), ["b"]);
    }

    #[test]
    fn tails_of_long_logs_cross_chunks() {
        let log = Log::new();
        let text: String = (0..20_000).map(|n| format!("line number {n}\n")).collect();
        log.write("log", &text);
        let lines = log.read(Some(10_000));
        assert_eq!((lines.len(), lines[0].as_str()), (10_000, "line number 10000"));
    }
}
