//! Names in containers of the real engine, asked for with `dig` in their network namespaces: what the engine forwards and to
//! whom, both families, and who must not learn what. How names come to be is in `networks::names`.

use std::{
    fs,
    net::UdpSocket,
    process::{Child, Command, Stdio},
    time::Duration,
};

use minke_testkit::{Cli, Host, on_path};

/// A container that sleeps on these networks.
fn idle(host: &Host, name: &str, options: &[&str]) {
    let arguments = [&["run", "-d", "--name", name], options, &["busybox", "sleep", "600"]].concat();
    let _ = host.cli_args(Cli::Minke, &arguments).ok();
}

fn inspect(host: &Host, template: &str, name: &str) -> String {
    host.minke(["inspect", "-f", template, name]).ok()
}

pub(crate) fn address(host: &Host, network: &str, name: &str) -> String {
    inspect(host, &format!("{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}"), name)
}

/// The name of a container's network namespace.
fn namespace(host: &Host, container: &str) -> String {
    format!("--net=/proc/{}/ns/net", inspect(host, "{{.State.Pid}}", container))
}

/// What `dig` prints with these words in a container's namespace.
pub(crate) fn dig(host: &Host, container: &str, words: &str) -> String {
    let mut command = Command::new(on_path("nsenter"));
    command.arg(namespace(host, container)).arg(on_path("dig"));
    // Of several servers dig takes the first one.
    command.args(["-r", "+tries=1", "+time=20"]).args(words.split(' ')).arg("@127.0.0.11");
    String::from_utf8_lossy(&command.output().expect("dig runs").stdout).into_owned()
}

/// The data of the records that it gets.
pub(crate) fn answers(host: &Host, container: &str, words: &str) -> Vec<String> {
    dig(host, container, &format!("{words} +short")).lines().map(str::to_owned).collect()
}

/// How a question ended, e.g. `NXDOMAIN`.
pub(crate) fn status(host: &Host, container: &str, words: &str) -> String {
    let all = dig(host, container, words);
    let after = all.split_once("status: ").unwrap_or_else(|| panic!("no answer: {all}")).1;
    after.split(',').next().unwrap_or_default().to_owned()
}

/// A name server of Debian in the host's namespace.
pub(crate) struct Dnsmasq(Child);

impl Dnsmasq {
    fn start(host: &Host, address: &str) -> Self {
        let long = format!("--txt-record=long.example,{}", ["x".repeat(200).as_str(); 6].join(","));
        Self::knowing(host, address, &["--host-record=host.example,192.0.2.7,2001:db8::7".to_owned(), long])
    }

    /// One that listens on an address of the host's and knows this alone of example.
    pub(crate) fn knowing(host: &Host, address: &str, records: &[String]) -> Self {
        let mut command = Command::new(on_path("dnsmasq"));
        command
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-poll"])
            .args(["--bind-interfaces", "--log-facility=-", "--pid-file", "--user=root", "--group=root"])
            .arg("--local=/example/")
            .args(records)
            .arg(format!("--listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(host.netns().enter(|| command.spawn().expect("dnsmasq starts")))
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Containers `box` and `web` on the network `red`, and a name server at its gateway that `box` was told of.
fn with_name_server(create: &[&str]) -> (Host, Dnsmasq) {
    let host = Host::with_busybox();
    let create = [&["network", "create", "--subnet", "10.77.3.0/24"], create, &["red"]].concat();
    let _ = host.cli_args(Cli::Minke, &create).ok();
    idle(&host, "web", &["--network", "red"]);
    idle(&host, "box", &["--network", "red", "--dns", "10.77.3.1"]);
    let dnsmasq = Dnsmasq::start(&host, "10.77.3.1");
    host.until("the name server", || status(&host, "box", "host.example A") == "NOERROR");
    (host, dnsmasq)
}

#[test]
fn what_no_network_knows_is_asked_from_the_container_s_namespace() {
    let (host, _dnsmasq) = with_name_server(&[]);
    for transport in ["+notcp", "+tcp"] {
        let ask = |question: &str| answers(&host, "box", &format!("{question} {transport}"));
        assert_eq!(ask("host.example A"), ["192.0.2.7"]);
        assert_eq!(ask("host.example AAAA"), ["2001:db8::7"]);
        assert_eq!(ask("-x 192.0.2.7"), ["host.example."]);
        assert_eq!(ask("web A"), [address(&host, "red", "web")]);
    }
    assert_eq!(status(&host, "box", "none.example A"), "NXDOMAIN");
    assert_eq!(answers(&host, "box", "+noedns long.example TXT").len(), 1, "by TCP, since it is long");
    let cut = dig(&host, "box", "+noedns +ignore long.example TXT");
    assert!(cut.contains("flags: qr aa tc rd ra"), "{cut}");
    host.expect_nothing_left();
}

#[test]
fn an_internal_network_has_names_and_nobody_asks_for_others() {
    let (host, _dnsmasq) = with_name_server(&["--internal"]);
    // The gateway of an internal network is near, and so is what the container asks there by itself.
    assert_eq!(answers(&host, "box", "host.example A"), ["192.0.2.7"]);
    // The host asks nobody for a container that has no way out.
    assert_eq!(status(&host, "web", "host.example A"), "SERVFAIL");
    assert_eq!(answers(&host, "web", "box A"), [address(&host, "red", "box")]);
    host.expect_nothing_left();
}

#[test]
fn both_families_have_names_and_addresses_have_them_in_turn() {
    let host = Host::with_busybox();
    let _ = host.minke(["network", "create", "--ipv6", "--subnet", "fd77:3::/64", "two"]).ok();
    let _ = host.minke(["network", "create", "four"]).ok();
    idle(&host, "web", &["--network", "two"]);
    idle(&host, "old", &["--network", "four"]);
    idle(&host, "box", &["--network", "two", "--network", "four"]);
    let ipv4 = address(&host, "two", "web");
    let ipv6 = inspect(&host, "{{.NetworkSettings.Networks.two.GlobalIPv6Address}}", "web");
    assert_eq!(answers(&host, "box", "web A"), [ipv4.as_str()]);
    assert_eq!(answers(&host, "box", "web AAAA"), [ipv6.as_str()]);
    for address in [&ipv4, &ipv6] {
        assert_eq!(answers(&host, "box", &format!("-x {address}")), ["web.two."]);
    }
    let reply = dig(&host, "box", "old AAAA");
    assert!(reply.contains("NOERROR") && reply.contains("ANSWER: 0"), "{reply}");
    assert!(dig(&host, "box", "web A").contains("\t600\tIN\tA\t"));
    host.expect_nothing_left();
}

#[test]
fn what_is_on_other_networks_has_neither_names_nor_addresses_here() {
    let host = Host::with_busybox();
    let _ = host.minke(["network", "create", "red"]).ok();
    let _ = host.minke(["network", "create", "--internal", "blue"]).ok();
    idle(&host, "spy", &["--network", "blue"]);
    idle(&host, "far", &["--network", "red", "--network-alias", "alias"]);
    let far = address(&host, "red", "far");
    let questions = ["far A", "far AAAA", "alias A", "far.red A", "far TXT"];
    let unknown = |question: &str| status(&host, "spy", question) == "SERVFAIL";
    for question in questions.iter().map(|&text| text.to_owned()).chain([format!("-x {far}")]) {
        assert!(unknown(&question), "{question}");
    }
    let _ = host.minke(["network", "connect", "red", "spy"]).ok();
    assert_eq!(answers(&host, "spy", "far A"), [far.as_str()]);
    let _ = host.minke(["network", "disconnect", "red", "spy"]).ok();
    assert!(unknown("far A"), "disconnected");
    let _ = host.minke(["network", "connect", "blue", "far"]).ok();
    assert_eq!(answers(&host, "spy", "far A"), [address(&host, "blue", "far")]);
    let _ = host.minke(["kill", "far"]).ok();
    host.until("the name to go", || unknown("far A"));
    let _ = host.minke(["start", "far"]).ok();
    assert_eq!(answers(&host, "spy", "far A"), [address(&host, "blue", "far")]);
    host.expect_nothing_left();
}

#[test]
fn a_container_that_sends_nonsense_harms_nobody() {
    let host = Host::with_busybox();
    let _ = host.minke(["network", "create", "red"]).ok();
    idle(&host, "web", &["--network", "red"]);
    idle(&host, "box", &["--network", "red"]);
    let namespace = fs::File::open(namespace(&host, "box").trim_start_matches("--net=")).unwrap();
    let socket = minke_netlink::namespace::run_in(std::os::fd::AsFd::as_fd(&namespace), || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect("127.0.0.11:53").unwrap();
        socket
    })
    .unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let header = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0";
    let mut reply = [0; 4096];
    for n in 0..2000u32 {
        // Anything behind a header: loops, names without an end, wrong counts.
        let noise: Vec<u8> =
            (0..n % 600).map(|at| (at.wrapping_mul(n).wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let _ = socket.send(&[&header[..(n % 13) as usize], &noise].concat());
        if n % 50 == 0 {
            while socket.recv(&mut reply).is_ok() {}
        }
    }
    let web = address(&host, "red", "web");
    for container in ["box", "web"] {
        assert_eq!(answers(&host, container, "web A"), [web.as_str()]);
    }
    host.expect_nothing_left();
}

#[test]
fn port_53_is_the_container_s_own_at_all_its_other_addresses() {
    let host = Host::with_busybox();
    let _ = host.minke(["network", "create", "red"]).ok();
    idle(&host, "server", &["--network", "red"]);
    idle(&host, "client", &["--network", "red"]);
    let mut command = Command::new(on_path("nsenter"));
    command.arg(namespace(&host, "server")).arg(on_path("dnsmasq"));
    command
        .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file"])
        .args(["--log-facility=-", "--user=root", "--group=root", "--host-record=own.example,192.0.2.9"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let own = Dnsmasq(command.spawn().unwrap());
    let server = address(&host, "red", "server");
    let at_server = format!("@{server} own.example A");
    host.until("the server in the container", || answers(&host, "client", &at_server) == ["192.0.2.9"]);
    for container in ["server", "client"] {
        assert_eq!(answers(&host, container, "server A"), [server.as_str()]);
    }
    drop(own);
    host.expect_nothing_left();
}

#[test]
fn what_a_container_makes_of_its_resolv_conf_and_passwd_costs_the_engine_nothing() {
    let host = Host::with_busybox();
    let _ = host.minke(["network", "create", "named"]).ok();
    for (name, script) in
        [("large", "truncate -s 20G /etc/resolv.conf"), ("odd", "printf '\\377\\376' >/etc/resolv.conf")]
    {
        let script = format!("{script}; exec sleep 600");
        let _ = host.minke(["run", "-d", "--name", name, "busybox", "sh", "-c", &script]).ok();
        host.until("it is written", || {
            let size = host.minke(["exec", name, "stat", "-c", "%s", "/etc/resolv.conf"]).ok();
            ["21474836480", "2"].contains(&size.as_str())
        });
        let _ = host.minke(["network", "connect", "named", name]).ok();
    }
    // Not the kernel's log, which only the engine could read.
    let link = "rm /etc/passwd && ln -s /proc/kmsg /etc/passwd";
    let _ = host.minke(["exec", "odd", "sh", "-c", link]).ok();
    assert_eq!(host.minke(["exec", "-u", "0", "odd", "id", "-u"]).ok(), "0");
    host.expect_nothing_left();
}
