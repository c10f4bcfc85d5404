//! Beside ufw and firewalld of Debian, for real: what they drop, what the documented commands let through, what `--obey-input`
//! leaves to them, and what their reloads and a flush of everything leave of ours.
//!
//! The tree that `scripts/setup test` has unpacked is laid over /usr and /etc in a mount namespace of the test's own; the tables
//! are those of the test's network namespace.

use std::{
    io::{BufRead, BufReader},
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use minke_testkit::{Cli, Host, Lan, NetworkNamespace, Ran, Run, unpacked};

/// Lays the tree over the host's folders, and has what packages would have set up.
const SETUP: &str = r#"
set -e
mount -t tmpfs firewall "$dir"
mkdir "$dir"/{usr,usr.work,etc,etc.work}
mount -t overlay overlay -o "lowerdir=$tree/usr:/usr,upperdir=$dir/usr,workdir=$dir/usr.work" /usr
mount -t overlay overlay -o "lowerdir=$tree/lib:/usr/lib" /usr/lib
mount -t overlay overlay -o "lowerdir=$tree/etc:/etc,upperdir=$dir/etc,workdir=$dir/etc.work" /etc
mount -t tmpfs run /run
mount -t tmpfs lib /var/lib
mount -t tmpfs log /var/log
mkdir -p /run/dbus /var/lib/dbus /var/lib/ufw
for name in {ip,ip6}tables{,-save,-restore}; do ln -sf xtables-nft-multi "/usr/sbin/$name"; done
cp /usr/share/ufw/iptables/*.rules /usr/share/ufw/*.init /usr/share/ufw/ufw.conf /etc/ufw/
# The machine's own settings are no part of this.
echo 'IPT_SYSCTL=' >>/etc/default/ufw
dbus-uuidgen >/var/lib/dbus/machine-id
echo ready
exec sleep 600
"#;

/// The firewalls' commands in a host's network.
struct Firewalls {
    netns: NetworkNamespace,
    holder: Child,
    started: Vec<Child>,
    _dir: tempfile::TempDir,
}

impl Firewalls {
    fn beside(host: &Host) -> Self {
        let dir = tempfile::Builder::new().prefix("mkf").tempdir().expect("a folder");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "bash", "-c", SETUP]);
        command.env("tree", unpacked("firewalls")).env("dir", dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let netns = host.netns().clone();
        let mut holder = netns.enter(|| command.spawn()).expect("unshare runs");
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("it says something");
        assert_eq!(line, "ready\n", "the firewalls were not set up");
        Self { netns, holder, started: Vec::new(), _dir: dir }
    }

    fn words<'a>(&self, words: &'a str) -> (String, Vec<&'a str>) {
        (format!("--mount=/proc/{}/ns/mnt", self.holder.id()), words.split(' ').collect())
    }

    /// Runs a command to its end.
    fn run(&self, words: &str) -> Ran {
        let (namespace, words) = self.words(words);
        let words = std::iter::once(namespace.as_str()).chain(words);
        Run::new("nsenter", words).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").within(&self.netns).run()
    }

    /// Runs a service until the end of the test.
    fn start(&mut self, words: &str) {
        let (namespace, words) = self.words(words);
        let mut command = Command::new("nsenter");
        command.arg(namespace).args(words).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        self.started.push(self.netns.enter(|| command.spawn()).expect("nsenter runs"));
    }
}

impl Drop for Firewalls {
    fn drop(&mut self) {
        for child in self.started.iter_mut().chain([&mut self.holder]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A host on a LAN, with a web server whose port 8080 is published.
fn host(flags: &[&str]) -> (Host, Lan) {
    let host = Host::start_with(flags);
    host.import("busybox", minke_testkit::Rootfs::busybox());
    let lan = Lan::of(host.netns());
    web(&host, "web", "8080:80");
    assert!(host.fetch("127.0.0.1:8080").ends_with("page\n"));
    (host, lan)
}

fn web(host: &Host, name: &str, publish: &str) {
    let server = "echo page > /var/www/index.html; exec httpd -f -h /var/www -p 80";
    let words = ["run", "-d", "--name", name, "-p", publish, "busybox", "sh", "-c", server];
    let _ = host.cli_args(Cli::Minke, &words).ok();
    // Running, it doesn't listen yet.
    let asks = ["exec", name, "wget", "-q", "-O", "-", "http://127.0.0.1/"];
    host.until("the server listens", || host.minke(asks).code == Some(0));
}

/// Whether the LAN gets a connection to a published port of the host's, with the patience that `--obey-input` asks for.
fn reached(lan: &Lan, port: u16) -> bool {
    let address = SocketAddr::new(Lan::HOST[0], port);
    lan.netns.enter(|| TcpStream::connect_timeout(&address, Duration::from_millis(2500)).is_ok())
}

/// Whether a container gets a connection to a server on the LAN.
fn reaches_out(host: &Host, lan: &Lan) -> bool {
    let IpAddr::V4(address) = Lan::OTHER[0] else { return false };
    let listener =
        lan.netns.enter(|| std::net::TcpListener::bind((address, 8099))).expect("a port of the LAN's");
    listener.set_nonblocking(true).expect("a setting");
    let address = address.to_string();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| host.minke(["exec", "web", "timeout", "2", "nc", &address, "8099"]));
        let mut reached = false;
        while !asking.is_finished() {
            // What is taken is closed at once, and the client ends.
            reached |= listener.accept().is_ok();
            std::thread::sleep(Duration::from_millis(10));
        }
        reached
    })
}

fn bridge(host: &Host) -> String {
    format!("{}0", host.prefix())
}

/// What an engine tells about the firewalls of others.
fn warned(host: &Host) -> String {
    host.docker(["info", "--format", "{{json .Warnings}}"]).ok()
}

#[test]
fn ufw_drops_what_containers_send_until_its_own_command_lets_the_bridge_through() {
    let (host, lan) = host(&[]);
    let ufw = Firewalls::beside(&host);
    assert!(reached(&lan, 8080) && reaches_out(&host, &lan));
    let _ = ufw.run("ufw --force enable").expect_code(0);
    assert!(!reached(&lan, 8080) && !reaches_out(&host, &lan), "its forward chain has the policy drop");
    let remedy = ["in", "out"].map(|way| format!("ufw route allow {way} on {}", bridge(&host)));
    let told = warned(&host);
    for command in &remedy {
        assert!(told.contains(command), "{told}");
        let _ = ufw.run(command).expect_code(0);
    }
    // `ufw deny` is about the host's own services: documented, and the same with Docker.
    let _ = ufw.run("ufw deny 8080/tcp").expect_code(0);
    assert!(reached(&lan, 8080) && reaches_out(&host, &lan));
    assert!(!warned(&host).contains("ufw"), "{}", warned(&host));

    let _ = ufw.run("ufw reload").expect_code(0);
    assert!(reached(&lan, 8080) && reaches_out(&host, &lan), "after a reload");
    let _ = ufw.run("nft flush ruleset").expect_code(0);
    assert!(!reached(&lan, 8080), "nobody's rules are there");
    web(&host, "next", "8081:80");
    assert!(reached(&lan, 8080) && reached(&lan, 8081), "the next container brings ours back");
    let _ = ufw.run("ufw reload").expect_code(0);
    assert!(reached(&lan, 8080) && reaches_out(&host, &lan), "and ufw its own");
    let _ = ufw.run("ufw --force disable").expect_code(0);
    assert!(reached(&lan, 8080));
    drop(lan);
    host.expect_nothing_left();
}

#[test]
fn ufw_decides_about_published_ports_when_its_input_rules_are_obeyed() {
    let (host, lan) = host(&["--obey-input"]);
    let ufw = Firewalls::beside(&host);
    assert!(reached(&lan, 8080), "nobody forbids it");
    let _ = ufw.run("ufw --force enable").expect_code(0);
    for way in ["in", "out"] {
        let _ = ufw.run(&format!("ufw route allow {way} on {}", bridge(&host))).expect_code(0);
    }
    // Who was let in a moment ago is for a minute; another port has nobody yet.
    web(&host, "next", "8081:80");
    assert!(!reached(&lan, 8081), "denied by default");
    assert!(reaches_out(&host, &lan));
    assert!(host.fetch("127.0.0.1:8081").ends_with("page\n"), "the host itself is not asked");
    let _ = ufw.run("ufw allow from 10.77.0.2 to any port 8081 proto tcp").expect_code(0);
    assert!(reached(&lan, 8081), "allowed");
    let _ = ufw.run("ufw reload").expect_code(0);
    assert!(reached(&lan, 8081), "after a reload");
    web(&host, "third", "8082:80");
    assert!(!reached(&lan, 8082), "and no other");
    drop(lan);
    host.expect_nothing_left();
}

/// firewalld, which has come up.
fn firewalld(host: &Host) -> Firewalls {
    let mut firewalls = Firewalls::beside(host);
    firewalls.start("dbus-daemon --system --nofork --nopidfile");
    host.until("the bus", || firewalls.run("test -S /run/dbus/system_bus_socket").code == Some(0));
    firewalls.start("python3 /usr/sbin/firewalld --nofork --nopid");
    host.until("firewalld", || firewalls.run("firewall-cmd --state").code == Some(0));
    firewalls
}

#[test]
fn firewalld_lets_the_bridge_through_when_it_is_trusted() {
    let (host, lan) = host(&[]);
    let firewalld = firewalld(&host);
    // It accepts what has been rewritten, as a published port's packets are.
    assert!(reached(&lan, 8080) && !reaches_out(&host, &lan));
    let told = warned(&host);
    assert!(told.contains("inet firewalld drops what containers send to other hosts"), "{told}");
    assert!(told.contains("firewall-cmd --permanent --zone=trusted"), "{told}");
    let trust = format!("firewall-cmd --permanent --zone=trusted --add-interface={}", bridge(&host));
    let _ = firewalld.run(&trust).expect_code(0);
    let _ = firewalld.run("firewall-cmd --reload").expect_code(0);
    assert!(reached(&lan, 8080) && reaches_out(&host, &lan), "{}", warned(&host));
    assert!(!warned(&host).contains("firewalld"), "{}", warned(&host));
    let _ = firewalld.run("firewall-cmd --complete-reload").expect_code(0);
    assert!(reached(&lan, 8080) && reaches_out(&host, &lan), "after another");
    // firewalld itself can't reload after that: it deletes a table that is gone.
    let _ = firewalld.run("nft flush ruleset").expect_code(0);
    web(&host, "next", "8081:80");
    assert!(reached(&lan, 8080) && reached(&lan, 8081), "ours come back with the next container");
    drop((firewalld, lan));
    host.expect_nothing_left();
}

#[test]
fn firewalld_decides_about_published_ports_when_its_zones_are_obeyed() {
    let (host, lan) = host(&["--obey-input"]);
    let firewalld = firewalld(&host);
    let trust = format!("firewall-cmd --zone=trusted --add-interface={}", bridge(&host));
    let _ = firewalld.run(&trust).expect_code(0);
    web(&host, "next", "8081:80");
    assert!(!reached(&lan, 8081), "the zone of lan0 doesn't have it");
    let _ = firewalld.run("firewall-cmd --permanent --add-port=8081/tcp").expect_code(0);
    let _ = firewalld.run(&trust.replace("--zone", "--permanent --zone")).expect_code(0);
    let _ = firewalld.run("firewall-cmd --reload").expect_code(0);
    assert!(reached(&lan, 8081), "now it has");
    web(&host, "third", "8082:80");
    assert!(!reached(&lan, 8082), "and no other");
    drop((firewalld, lan));
    host.expect_nothing_left();
}
