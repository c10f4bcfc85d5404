//! Reading json-file logs: the file and its rotated predecessors as one sequence of lines, from the start or
//! from so many lines before the end. Blocking, in bounded pieces; the reader of a followed log keeps its
//! place.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use minke_supervisor::LogPlace;

/// Bytes read at a time, in both directions.
const CHUNK: usize = 64 << 10;
/// A line longer than this is no log line (the supervisor splits at 16 KiB): it is skipped.
const LONGEST_LINE: usize = 1 << 20;

/// A place in a log. Its files are open, so that it makes no difference what a rotation calls them.
#[derive(Debug)]
pub(crate) struct Cursor {
    path: PathBuf,
    /// Files still to read after the current one, the next first.
    later: VecDeque<File>,
    current: Option<File>,
    /// The beginning of a line whose end has not been read.
    partial: Vec<u8>,
    /// How much of the last file there was when the log was opened, if nothing after that is wanted.
    end: Option<u64>,
}

/// Where reading ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It goes on when the log grows.
    Never,
    /// Where the log ends when it is opened, however fast it grows.
    Now,
    /// Here, whatever the file is called by then.
    Place(LogPlace),
}

impl Cursor {
    /// At the first line, or `tail` lines before the end. A log that does not exist is empty.
    ///
    /// # Errors
    /// Those of reading files.
    pub(crate) fn open(path: &Path, tail: Option<u64>, until: End) -> io::Result<Self> {
        let (mut files, mut wanted, mut offset, mut end) = (VecDeque::new(), tail, 0, 0);
        // From the newest file back, until enough lines are found.
        for number in 0..1000 {
            let name = if number == 0 { path.to_owned() } else { numbered(path, number) };
            let file = match File::open(&name) {
                Ok(file) => file,
                // Between the two renames of a rotation there is no newest.
                Err(error) if error.kind() == io::ErrorKind::NotFound && number == 0 => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
            if let Some(newer) = files.front()
                && is_same(newer, &file)?
            {
                // The log was rotated just now.
                continue;
            }
            let metadata = file.metadata()?;
            let mut length = metadata.len();
            if let (End::Place(place), true) = (until, files.is_empty()) {
                if place.inode != metadata.ino() {
                    // It has been begun since.
                    continue;
                }
                length = length.min(place.length);
            }
            if files.is_empty() {
                end = length;
            }
            if let Some(wanted) = &mut wanted {
                let (start, found) = lines_from_end(&file, length, *wanted)?;
                offset = start;
                *wanted = wanted.saturating_sub(found);
            }
            files.push_front(file);
            if wanted == Some(0) {
                break;
            }
        }
        let mut current = files.pop_front();
        if let Some(first) = &mut current {
            first.seek(SeekFrom::Start(offset))?;
        }
        let end = (until != End::Never).then_some(end);
        Ok(Self { path: path.to_owned(), later: files, current, partial: Vec::new(), end })
    }

    /// Calls `each` with the next complete lines, about [`CHUNK`] bytes of them. False when there are none
    /// (yet).
    ///
    /// # Errors
    /// Those of reading files.
    pub(crate) fn read(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<bool> {
        loop {
            if self.current.is_none() && self.end.is_none() {
                match File::open(&self.path) {
                    Ok(file) => self.current = Some(file),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            let Some(file) = &mut self.current else { return Ok(false) };
            let left = match self.end.filter(|_| self.later.is_empty()) {
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
        if let Some(next) = self.later.pop_front() {
            self.partial.clear();
            self.current = Some(next);
            return Ok(true);
        }
        if self.end.is_some() {
            return Ok(false);
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

fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
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
        match file.read_exact_at(chunk, position) {
            // Emptied in place just now.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok((0, newlines)),
            read => read?,
        }
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
            read_all(&mut Cursor::open(&self.path(), tail, End::Now).unwrap())
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
        let mut cursor = Cursor::open(&log.path(), Some(5), End::Never).unwrap();
        assert!(read_all(&mut cursor).is_empty());
        log.write("log", "a\n");
        assert_eq!(read_all(&mut cursor), ["a"]);
    }

    #[test]
    fn a_followed_log_goes_on_after_growth_and_rotation() {
        let log = Log::new();
        log.write("log", "a\nhalf");
        let mut cursor = Cursor::open(&log.path(), None, End::Never).unwrap();
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
            let mut cursor = Cursor::open(&log.path(), tail, End::Now).unwrap();
            let mut grown = fs::OpenOptions::new().append(true).open(log.path()).unwrap();
            io::Write::write_all(&mut grown, b"d\n").unwrap();
            let wanted: &[&str] = if tail.is_some() { &["c"] } else { &["a", "b", "c"] };
            assert_eq!(read_all(&mut cursor), wanted);
        }
    }

    #[test]
    fn a_rotation_while_it_is_read_takes_nothing_from_a_log() {
        for (tail, wanted) in [(None, &["a", "b", "c"][..]), (Some(1), &["c"])] {
            let log = Log::new();
            log.write("log.1", "a\n");
            log.write("log", "b\nc\n");
            let mut cursor = Cursor::open(&log.path(), tail, End::Now).unwrap();
            fs::rename(log.path(), log.0.path().join("log.1")).unwrap();
            log.write("log", "d\n");
            assert_eq!(read_all(&mut cursor), wanted);
        }
        // Emptied in place, as a log of one file is.
        let log = Log::new();
        log.write("log", "a\nb\n");
        let mut cursor = Cursor::open(&log.path(), None, End::Now).unwrap();
        log.write("log", "");
        assert!(read_all(&mut cursor).is_empty());
    }

    #[test]
    fn tails_of_long_logs_cross_chunks() {
        let log = Log::new();
        let text: String = (0..20_000).map(|n| format!("line number {n}\n")).collect();
        log.write("log", &text);
        let lines = log.read(Some(10_000));
        assert_eq!((lines.len(), lines[0].as_str()), (10_000, "line number 10000"));
    }

    #[test]
    fn a_place_is_the_end_whatever_the_file_is_called_by_then() {
        let log = Log::new();
        log.write("log", "a\nb\n");
        let inode = fs::metadata(log.path()).unwrap().ino();
        let until = |length| End::Place(LogPlace { inode, length });
        let lines = |end| read_all(&mut Cursor::open(&log.path(), None, end).unwrap());
        assert_eq!(lines(until(2)), ["a"]);
        assert_eq!(lines(until(99)), ["a", "b"]);
        fs::rename(log.path(), numbered(&log.path(), 1)).unwrap();
        log.write("log", "c\n");
        log.write("log.2", "0\n");
        assert_eq!(lines(until(2)), ["0", "a"]);
        fs::remove_file(numbered(&log.path(), 1)).unwrap();
        fs::remove_file(numbered(&log.path(), 2)).unwrap();
        assert!(lines(until(2)).is_empty());
    }
}
