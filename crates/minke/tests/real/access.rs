//! The addresses that an engine listens at: several, TLS both ways, plain TCP for those who insist, a group's socket, sockets
//! that a service manager hands over.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::{UnixDatagram, UnixListener},
    },
    process::{Command, Stdio},
    time::Duration,
};

use minke_testkit::{Cli, Host, Run, program};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    certificates::{ADDRESS, Authority, Validity, bare, over_tls, tls_flags},
    reload::hang_up,
};

fn strs(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

#[rstest]
fn an_engine_is_used_over_tls_as_over_its_socket(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("ours");
    let server = authority.folder(folder.path().join("server"), &authority, Validity::Valid);
    let client = authority.folder(folder.path().join("client"), &authority, Validity::Valid);
    let host = Host::start_with(&strs(&tls_flags(&server)));
    host.import("busybox", minke_testkit::Rootfs::busybox());
    let run = |args: &[&str]| over_tls(&host, cli, &client, args);
    // The end of the input has to arrive, and the output after it to come back.
    let counted = run(&["run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo end"]).input("in\n").run();
    let _ = counted.expect_code(0).expect_exact("in\nend\n");
    let _ = run(&["run", "-d", "--name", "box", "busybox", "sleep", "600"]).ok();
    assert_eq!(run(&["exec", "box", "echo", "here"]).ok(), "here");
    assert_eq!(run(&["ps", "--format", "{{.Names}}"]).ok(), "box");
    assert_eq!(host.cli(cli, ["ps", "--format", "{{.Names}}"]).ok(), "box");
    host.expect_nothing_left();
}

#[rstest]
#[case::no_certificate("none", "certificate required", "it wants a certificate of this client")]
// Go's client keeps a certificate to itself that none of the authorities which the engine names has signed.
#[case::another_ca("stranger", "certificate required", "no authority that has signed this client's")]
#[case::an_old_one("old", "expired certificate", "this client's certificate (cert.pem) has expired")]
#[case::not_trusting(
    "distrustful",
    "certificate signed by unknown authority",
    "give the right CA with --tlscacert"
)]
fn certificates_that_do_not_fit_are_told_apart(
    #[case] folder: &str,
    #[case] dockers: &str,
    #[case] minkes: &str,
) {
    let dir = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let at = |name: &str| dir.path().join(name);
    let server = ours.folder(at("server"), &ours, Validity::Valid);
    let none = ours.folder(at("none"), &ours, Validity::Valid);
    for file in ["cert.pem", "key.pem"] {
        fs::remove_file(none.join(file)).expect("it is there");
    }
    theirs.folder(at("stranger"), &ours, Validity::Valid);
    ours.folder(at("old"), &ours, Validity::Expired);
    ours.folder(at("distrustful"), &theirs, Validity::Valid);
    let host = Host::start_with(&strs(&tls_flags(&server)));
    let _ = over_tls(&host, Cli::Docker, &at(folder), &["ps"]).run().expect_code(1).expect_stderr(dockers);
    let _ = over_tls(&host, Cli::Minke, &at(folder), &["ps"]).run().expect_code(1).expect_stderr(minkes);
    host.expect_nothing_left();
}

#[test]
fn an_engine_whose_certificate_is_old_or_anothers_is_not_trusted() {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = Authority::new("ours");
    let server = ours.folder(dir.path().join("server"), &ours, Validity::Expired);
    let client = ours.folder(dir.path().join("client"), &ours, Validity::Valid);
    let host = Host::start_with(&strs(&tls_flags(&server)));
    let run = |args: &[&str]| over_tls(&host, Cli::Minke, &client, args).run();
    let _ = run(&["ps"]).expect_code(1).expect_stderr("its certificate has expired");
    let _ = run(&["-H", "tcp://localhost:2376", "ps"]).expect_code(1).expect_stderr("certificate");
    // --tls alone trusts whoever answers, and still shows who it is.
    let trusting = run(&["--tlsverify=false", "ps"]);
    let _ = trusting.expect_code(0).expect_stdout("CONTAINER ID");
    host.expect_nothing_left();
}

#[test]
fn a_renewed_certificate_is_shown_after_a_hangup() {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = Authority::new("ours");
    let server = ours.folder(dir.path().join("server"), &ours, Validity::Expired);
    let client = ours.folder(dir.path().join("client"), &ours, Validity::Valid);
    let host = Host::start_with(&strs(&tls_flags(&server)));
    let run = || over_tls(&host, Cli::Minke, &client, &["ps"]).run();
    let _ = run().expect_code(1).expect_stderr("its certificate has expired");
    fs::write(server.join("cert.pem"), "half").expect("a file");
    hang_up(&host);
    host.until("a word about it", || host.daemon_log().contains("the certificates stay as they were"));
    ours.folder(server, &ours, Validity::Valid);
    hang_up(&host);
    host.until("the new certificate", || run().code == Some(0));
    host.expect_nothing_left();
}

#[test]
fn who_speaks_the_wrong_protocol_is_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = Authority::new("ours");
    let server = ours.folder(dir.path().join("server"), &ours, Validity::Valid);
    let client = ours.folder(dir.path().join("client"), &ours, Validity::Valid);
    let host = Host::start_with(&strs(&tls_flags(&server)));
    for cli in [Cli::Docker, Cli::Minke] {
        let plain = bare(&host, cli, &["-H", ADDRESS, "ps"]).run();
        let _ = plain.expect_code(1).expect_stderr("Client sent an HTTP request to an HTTPS server.");
    }
    host.expect_nothing_left();

    let host = Host::start_with(&["--host", ADDRESS, "--tls=false"]);
    let _ = over_tls(&host, Cli::Minke, &client, &["ps"])
        .run()
        .expect_code(1)
        .expect_stderr("it doesn't speak TLS there");
    host.expect_nothing_left();
}

#[test]
fn tcp_without_tls_has_to_be_asked_for_twice() {
    let host = Host::without_engine();
    let _ = daemon(&host, &["--host", "tcp://127.0.0.1:2375"])
        .run()
        .expect_code(1)
        .expect_stderr("TCP without TLS gives root to whoever reaches the port")
        .expect_stderr("--tls=false");
    let config = host.path("daemon.json");
    fs::write(&config, r#"{"tls": false, "hosts": ["tcp://127.0.0.1:2375"]}"#).expect("a file");
    let config = config.display().to_string();
    let _ = daemon(&host, &["--validate", "--config-file", &config]).run().expect_exact("configuration OK\n");
    let _ = daemon(&host, &["--config-file", &config, "--tls"])
        .run()
        .expect_code(1)
        .expect_stderr("tls set both as a flag and in the configuration file");

    let host = Host::start_with(&["--host", ":2375", "--tls=false"]);
    assert!(host.daemon_log().contains("served without TLS"), "{}", host.daemon_log());
    for cli in [Cli::Docker, Cli::Minke] {
        let _ = bare(&host, cli, &["-H", "tcp://127.0.0.1:2375", "version"]).run().expect_code(0);
    }
    host.expect_nothing_left();
}

#[test]
fn a_client_that_never_finishes_its_handshake_holds_up_nobody() {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = Authority::new("ours");
    let server = ours.folder(dir.path().join("server"), &ours, Validity::Valid);
    let client = ours.folder(dir.path().join("client"), &ours, Validity::Valid);
    let host = Host::start_with(&strs(&tls_flags(&server)));
    let silent: Vec<_> = (0..50)
        .map(|_| {
            let mut stream =
                host.netns().enter(|| TcpStream::connect("127.0.0.1:2376")).expect("the engine listens");
            stream.write_all(&[22, 3, 1]).expect("the engine reads");
            stream
        })
        .collect();
    let _ = over_tls(&host, Cli::Minke, &client, &["ps"]).run().expect_code(0);
    drop(silent);
    host.expect_nothing_left();
}

#[test]
fn several_sockets_belong_to_the_group_that_was_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let second = dir.path().join("second.sock");
    let address = format!("unix://{}", second.display());
    let host = Host::start_with(&["--host", &address, "--group", "12345"]);
    for path in [&second, &host.path("docker.sock")] {
        let meta = fs::metadata(path).expect("a socket");
        assert_eq!((meta.gid(), meta.permissions().mode() & 0o777), (12345, 0o660), "{}", path.display());
    }
    let _ = bare(&host, Cli::Docker, &["-H", &address, "version"]).run().expect_code(0);
    host.expect_nothing_left();
    assert!(!second.exists());
    let host = Host::without_engine();
    let _ = daemon(&host, &["--host", &address, "--group", "no-such-group"])
        .run()
        .expect_code(1)
        .expect_stderr("no-such-group");
}

#[test]
fn sockets_of_a_service_manager_are_served_and_it_is_told_how_things_are() {
    let host = Host::without_engine();
    let config = host.path("daemon.json");
    fs::write(&config, "{}").expect("a file");
    let listener = UnixListener::bind(host.path("docker.sock")).expect("a socket");
    let notified = UnixDatagram::bind(host.path("notify.sock")).expect("a socket");
    notified.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let heard = || {
        let mut text = [0; 500];
        let length = notified.recv(&mut text).expect("the engine says how it is");
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    // What systemd does: the socket as descriptor 3, and the variables that say so to this very process.
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"";
    let mut command = Command::new("/bin/busybox");
    command.args(["sh", "-c", script, "sh"]).arg(program("minke")).arg("daemon").args(own_flags(&host));
    command.arg("--host=fd://").arg("--config-file").arg(&config);
    command.env("NOTIFY_SOCKET", host.path("notify.sock"));
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(listener.try_clone().expect("a copy"))));
    let log = fs::File::create(host.path("daemon.log")).expect("a log");
    command.stdout(log.try_clone().expect("a copy")).stderr(log);
    let mut engine = host.netns().enter(|| command.spawn()).expect("it starts");

    assert_eq!(heard().trim(), "READY=1", "{}", host.daemon_log());
    let _ = host.docker(["version"]).expect_code(0);
    let _ = host.minke(["version"]).expect_code(0);
    assert!(host.daemon_log().contains("API listen on fd://3 (unix://"), "{}", host.daemon_log());

    let pid = Pid::from_child(&engine);
    kill_process(pid, Signal::HUP).expect("it is there");
    let reloading = heard();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(heard().trim(), "READY=1");
    kill_process(pid, Signal::TERM).expect("it is there");
    assert_eq!(heard().trim(), "STOPPING=1");
    assert!(engine.wait().expect("a child").success(), "{}", host.daemon_log());
    assert!(host.path("docker.sock").exists(), "the socket is the service manager's");

    let _ =
        daemon(&host, &["--host", "fd://"]).run().expect_code(1).expect_stderr("no sockets were handed over");
}

#[test]
fn the_raw_connection_to_an_engine_is_handed_through() {
    let host = Host::start();
    let mut child = host.minke_run(["system", "dial-stdio"]).spawn();
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\nOK"), "{answer}");
    assert!(child.wait().expect("a child").success());
    host.expect_nothing_left();
}

#[test]
fn an_engine_behind_ssh_is_used_like_any_other() {
    let host = Host::with_busybox();
    // In place of the way to another host: what ssh would run there, with the engine there as the default one.
    let bin = host.path("bin");
    fs::create_dir(&bin).expect("a folder");
    let ssh = format!(
        "#!/bin/busybox sh\necho \"$@\" >>{log}\nwhile [ \"$1\" != -- ]; do shift; done\nshift 2\nexport DOCKER_HOST={engine}\neval \"$@\"\n",
        log = host.path("ssh.log").display(),
        engine = host.endpoint()
    );
    fs::write(bin.join("ssh"), ssh).expect("a file");
    fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o755)).expect("a file of ours");
    std::os::unix::fs::symlink(program("minke"), bin.join("minke")).expect("a link");
    let run = |args: &[&str]| {
        bare(&host, Cli::Minke, args)
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("DOCKER_HOST", "ssh://me@far.example:2222")
    };
    let _ = run(&["run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo end"])
        .input("in\n")
        .run()
        .expect_code(0)
        .expect_exact("in\nend\n");
    let _ = run(&["ps"]).run().expect_code(0).expect_stdout("CONTAINER ID");
    let asked = fs::read_to_string(host.path("ssh.log")).expect("ssh was run");
    assert!(asked.contains("-T -l me -p 2222 -- far.example"), "{asked}");
    fs::write(bin.join("ssh"), "#!/bin/busybox sh\nread -r line\necho no way there >&2\nexit 255\n")
        .expect("a file");
    let _ =
        run(&["ps"]).run().expect_code(1).expect_stderr("no way there\n").expect_stderr("ssh ended before");
    let _ = run(&["-H", "ssh://-oProxyCommand=x", "ps"])
        .run()
        .expect_code(1)
        .expect_stderr("no engine's address");
    host.expect_nothing_left();
}

/// Flags for an engine of this host that is started by hand.
fn own_flags(host: &Host) -> Vec<String> {
    let path = |name: &str| host.path(name).display().to_string();
    let flags = [("root", path("root")), ("state", path("state")), ("name-prefix", host.prefix().to_owned())];
    flags.map(|(flag, value)| format!("--{flag}={value}")).into()
}

/// An engine that is expected to leave at once.
fn daemon(host: &Host, flags: &[&str]) -> Run {
    let flags = flags.iter().map(|flag| (*flag).to_owned());
    let all: Vec<String> = ["daemon".to_owned()].into_iter().chain(own_flags(host)).chain(flags).collect();
    Run::new(program("minke"), all).within(host.netns())
}
