//! The output of several containers, line by line.

use std::collections::VecDeque;

use minke_docker_client::{Body, Client, Error, HeaderMap, Method, stdcopy};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

/// A line longer than this is handed on in pieces; one without an end must not fill the memory.
const LONGEST: usize = 64 * 1024;

/// A line of a container's output, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The container's name.
    pub container: String,
    /// What it wrote.
    pub text: Vec<u8>,
    /// It wrote it to its standard error.
    pub error: bool,
}

/// Which part of a log is wanted (Docker Engine API, ContainerLogs).
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Also what comes.
    pub follow: bool,
    /// A time, as the API takes it.
    pub since: Option<String>,
    /// A time, as the API takes it.
    pub until: Option<String>,
    /// So many lines from the end, or `all`.
    pub tail: Option<String>,
    /// Each line with its time.
    pub timestamps: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Inspected {
    config: Config,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    tty: bool,
}

/// Sends the lines of a container's log to `sink` until it ends, or nobody takes them any more.
///
/// # Errors
/// When the engine refuses, e.g. since the log's driver can't be read.
pub async fn copy(
    client: &Client,
    container: &str,
    name: &str,
    wanted: &Wanted,
    sink: mpsc::Sender<Line>,
) -> Result<(), Error> {
    let inspected: Inspected = client.get(&format!("/containers/{container}/json"), &[]).await?;
    let flag = |on: bool| u8::from(on).to_string();
    let mut query = vec![("stdout", flag(true)), ("stderr", flag(true)), ("follow", flag(wanted.follow))];
    query.push(("timestamps", flag(wanted.timestamps)));
    let texts = [("since", &wanted.since), ("until", &wanted.until), ("tail", &wanted.tail)];
    query.extend(texts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    let path = format!("/containers/{container}/logs");
    let response = client.stream(Method::GET, &path, &query, Body::Empty, HeaderMap::new()).await?;
    split(response.body, inspected.config.tty, name, &sink).await;
    Ok(())
}

/// Splits a stream into lines. Its end, a broken connection and a reader that left all end it.
async fn split(mut stream: impl AsyncRead + Unpin, raw: bool, name: &str, sink: &mpsc::Sender<Line>) {
    let mut streams = [Lines::default(), Lines::default()];
    let mut buffer = vec![0; 32 * 1024];
    let mut frame: Option<(usize, usize)> = None;
    loop {
        let (at, most) = match (raw, frame) {
            (true, _) => (0, buffer.len()),
            (false, Some((at, left))) if left > 0 => (at, left.min(buffer.len())),
            (false, _) => match header(&mut stream).await {
                Some(next) => {
                    frame = Some(next);
                    continue;
                }
                None => break,
            },
        };
        let count = match stream.read(&mut buffer[..most]).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        if let Some((_, left)) = &mut frame {
            *left -= count;
        }
        streams[at].push(&buffer[..count]);
        if !hand_on(&mut streams[at], name, at == 1, sink).await {
            return;
        }
    }
    for (at, lines) in streams.iter_mut().enumerate() {
        lines.end();
        hand_on(lines, name, at == 1, sink).await;
    }
}

/// The next frame's stream and length; none at the end.
async fn header(stream: &mut (impl AsyncRead + Unpin)) -> Option<(usize, usize)> {
    let mut header = [0; stdcopy::HEADER];
    stream.read_exact(&mut header).await.ok()?;
    let (kind, length) = stdcopy::parse_header(header).ok()?;
    Some((usize::from(kind != stdcopy::Kind::Stdout), length as usize))
}

async fn hand_on(lines: &mut Lines, name: &str, error: bool, sink: &mpsc::Sender<Line>) -> bool {
    while let Some(text) = lines.ready.pop_front() {
        if sink.send(Line { container: name.to_owned(), text, error }).await.is_err() {
            return false;
        }
    }
    true
}

#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
    ready: VecDeque<Vec<u8>>,
}

impl Lines {
    fn push(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(&bytes[..end]);
            // A terminal ends its lines with both.
            if self.begun.last() == Some(&b'\r') {
                self.begun.pop();
            }
            self.ready.push_back(std::mem::take(&mut self.begun));
            bytes = &bytes[end + 1..];
        }
        self.begun.extend_from_slice(bytes);
        if self.begun.len() > LONGEST {
            self.ready.push_back(std::mem::take(&mut self.begun));
        }
    }

    fn end(&mut self) {
        if !self.begun.is_empty() {
            self.ready.push_back(std::mem::take(&mut self.begun));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(wire: &[u8], raw: bool) -> Vec<(String, bool)> {
        let (sink, mut lines) = mpsc::channel(100);
        split(wire, raw, "web-1", &sink).await;
        drop(sink);
        let mut all = Vec::new();
        while let Some(line) = lines.recv().await {
            all.push((String::from_utf8(line.text).unwrap(), line.error));
        }
        all
    }

    #[tokio::test]
    async fn lines_are_whole_however_they_arrive() {
        let mut wire = Vec::new();
        for (kind, text) in [
            (stdcopy::Kind::Stdout, "one\ntw"),
            (stdcopy::Kind::Stderr, "oops\n"),
            (stdcopy::Kind::Stdout, "o\nlast"),
        ] {
            wire.extend_from_slice(&stdcopy::header(kind, text.len() as u32));
            wire.extend_from_slice(text.as_bytes());
        }
        let of = |text: &str, error| (text.to_owned(), error);
        let expected = [of("one", false), of("oops", true), of("two", false), of("last", false)];
        assert_eq!(lines(&wire, false).await, expected);
        assert_eq!(lines(b"a\r\nb\n", true).await, [of("a", false), of("b", false)]);
    }
}
