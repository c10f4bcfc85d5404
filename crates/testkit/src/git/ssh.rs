//! Repositories by ssh: a server and an agent.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::Serving;
use crate::{Host, Run};

/// An `sshd` of the host's at port 2222, and an agent with the one key that it lets in.
pub struct Ssh {
    _server: Serving,
    agent: Child,
    socket: PathBuf,
}

impl Ssh {
    /// Starts both.
    ///
    /// # Panics
    /// When they don't come up, or `scripts/setup test` has not fetched `sshd`.
    pub fn start(host: &Host) -> Self {
        let folder = host.path("ssh");
        fs::create_dir(&folder).expect("a folder can be made");
        for name in ["host_key", "key"] {
            let path = folder.join(name).display().to_string();
            let _ =
                Run::new("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", &path]).run().expect_code(0);
        }
        let server = Self::serve(host, &folder);
        let socket = folder.join("agent");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket).stdin(Stdio::null()).stdout(Stdio::null());
        let agent = command.spawn().expect("ssh-agent starts");
        host.until("the agent listens", || socket.exists());
        let add = Run::new("ssh-add", ["-q"]).arg(&folder.join("key").display().to_string());
        let _ = add.env("SSH_AUTH_SOCK", &socket).run().expect_code(0);
        Self { _server: server, agent, socket }
    }

    /// `sshd` wants a user of its own and a folder below `/run`: it gets them in a mount namespace.
    fn serve(host: &Host, folder: &Path) -> Serving {
        let home = std::env::home_dir().unwrap_or_default();
        let tools = home.join(".cache/minke/tools/sshd/usr");
        let program = tools.join("sbin/sshd");
        assert!(program.is_file(), "{} is missing: run scripts/setup test", program.display());
        let libraries = fs::read_dir(tools.join("lib")).into_iter().flatten().flatten();
        let libraries = libraries
            .map(|entry| entry.path())
            .find(|path| path.ends_with("x86_64-linux-gnu") || path.ends_with("aarch64-linux-gnu"));
        let path = std::env::var("PATH").unwrap_or_default();
        let shown = folder.display();
        let config = format!(
            "Port 2222\nListenAddress 127.0.0.1\nHostKey {shown}/host_key\nAuthorizedKeysFile {shown}/key.pub\nStrictModes no\nUsePAM no\n\
             PidFile none\nPermitRootLogin yes\nPasswordAuthentication no\nSetEnv PATH={path}\n"
        );
        fs::write(folder.join("sshd_config"), config).expect("a file can be written");
        let users = "root:*:0:0:root:/root:/bin/sh\nsshd:*:74:74:sshd:/run/sshd:/bin/false\n";
        fs::write(folder.join("passwd"), users).expect("a file can be written");
        let script = format!(
            "mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && mount --bind {shown}/passwd /etc/passwd && exec {} -D -e -f {shown}/sshd_config",
            program.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).envs(libraries.map(|path| ("LD_LIBRARY_PATH", path)));
        Serving::start(host, command, 2222)
    }

    /// Where the agent listens.
    pub fn agent(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}
