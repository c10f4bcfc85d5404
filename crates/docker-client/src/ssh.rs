//! Engines behind ssh: the user's own `ssh` runs `system dial-stdio` on the other host, and its standard input and output
//! are the connection. Keys, agents, jump hosts and known hosts are ssh's business, as the docker CLI has it.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// What runs there: minke where it is installed, else docker.
const REMOTE: &str = "sh -c 'if command -v minke >/dev/null; then exec minke system dial-stdio; else exec docker system dial-stdio; fi'";

/// Where ssh goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshDestination {
    /// The user there; `None` leaves it to ssh's configuration.
    pub user: Option<String>,
    /// A name, an address, or an alias of ssh's configuration.
    pub host: String,
    /// The port; `None` leaves it to ssh's configuration.
    pub port: Option<u16>,
}

impl SshDestination {
    /// Reads what follows `ssh://`.
    pub(crate) fn parse(rest: &str) -> Result<Self, &'static str> {
        let rest = rest.trim_end_matches('/');
        let (user, address) = match rest.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, rest),
        };
        let (host, port) = match address.strip_prefix('[') {
            Some(v6) => {
                let (host, after) =
                    v6.split_once(']').ok_or("the bracket of the IPv6 address is not closed")?;
                (host, after.strip_prefix(':'))
            }
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        if host.is_empty() {
            return Err("the host is missing");
        }
        if user.is_some_and(|user| user.contains(':')) {
            return Err("ssh takes no password from an address");
        }
        // They become words of a command line, where a leading hyphen is a flag.
        let is_plain = |text: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:%+".contains(&b))
        };
        if !is_plain(host) || !user.is_none_or(is_plain) {
            return Err("the user or the host has characters that neither has");
        }
        let port = port.map(str::parse).transpose().map_err(|_| "the port is no number from 1 to 65535")?;
        Ok(Self { user: user.map(str::to_owned), host: host.to_owned(), port })
    }

    /// Starts ssh. What it has to say goes to this program's standard error.
    pub(crate) fn connect(&self) -> io::Result<SshStream> {
        let mut command = Command::new("ssh");
        command.args(["-o", "ConnectTimeout=30", "-T"]);
        if let Some(user) = &self.user {
            command.args(["-l", user]);
        }
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        command.args(["--", &self.host, REMOTE]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("run ssh: {error}")))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = output.ok_or_else(|| io::Error::other("ssh has no standard output"))?;
        Ok(SshStream { input, output, has_answered: false, _child: child })
    }
}

impl std::fmt::Display for SshDestination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A running ssh, which ends with this.
#[derive(Debug)]
pub(crate) struct SshStream {
    /// `None` once the writing half is shut down.
    input: Option<ChildStdin>,
    output: ChildStdout,
    has_answered: bool,
    _child: Child,
}

impl AsyncRead for SshStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.output).poll_read(cx, buf))?;
        self.has_answered |= buf.filled().len() > before;
        Poll::Ready(match self.has_answered {
            true => Ok(()),
            false => Err(io::Error::other("ssh ended before an engine answered; see what it says above")),
        })
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_write(cx, buf),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A pipe ends when it is closed.
        self.input = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_and_printed() {
        for text in ["host", "me@host", "me@host:22", "[::1]:22", "me@alias_1"] {
            assert_eq!(SshDestination::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(SshDestination::parse("host/").unwrap().host, "host");
    }

    #[test]
    fn nothing_in_a_destination_becomes_a_flag_or_a_password() {
        for text in ["-oProxyCommand=x", "-l@host", "me@", "", "me:secret@host", "host:0x", "a b", "$(x)"] {
            assert!(SshDestination::parse(text).is_err(), "{text}");
        }
    }
}
