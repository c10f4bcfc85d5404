//! CVE-2019-5736: root in the container overwrites the runtime's executable, which the host's root runs next.

use crate::{bundle::Bundle, joining::Held};
use std::{fs, path::Path, process::Command};

/// CVE-2019-5736: the runtime's own file is what /proc/self/exe of a container's process may lead to.
#[test]
fn the_runtimes_executable_cannot_be_written_through_proc_self_exe() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    // Root in the container with every right to look at processes, as in the published exploit.
    let mut privileged = Bundle::new("");
    let all: Vec<String> = minke_kernel::caps::names().iter().map(|name| (*name).to_owned()).collect();
    privileged.process().capabilities = Some(minke_model::runtime_spec::Capabilities {
        bounding: all.clone(),
        effective: all.clone(),
        permitted: all,
        ..Default::default()
    });
    // The entry point is the runtime itself.
    privileged.process().args = ["/proc/self/exe", "--version"].map(str::to_owned).to_vec();
    let outcome = privileged.run();
    assert!(outcome.stdout.contains("minke-oci version") || outcome.code != Some(0), "{outcome:?}");
    let program = Path::new(minke_testkit::runtime());
    let before = fs::metadata(program).unwrap().len();
    // While the entry point is the runtime, a second process tries to write to it.
    privileged.process().args = ["/proc/self/exe", "exec", "-h"].map(str::to_owned).to_vec();
    privileged.run();
    assert_eq!(fs::metadata(program).unwrap().len(), before);
}

#[test]
fn a_process_that_is_the_runtime_cannot_open_itself_for_writing() {
    let mut bundle = Bundle::new("");
    // `supervise FILE` reads FILE: the runtime itself waits on a FIFO while it is looked at.
    assert!(Command::new("mkfifo").arg(bundle.rootfs().join("tmp/fifo")).status().unwrap().success());
    bundle.process().args = ["/proc/self/exe", "exec", "-p", "/tmp/fifo", "x"].map(str::to_owned).to_vec();
    bundle.write_config();
    bundle.create().succeeded();
    let pid = bundle.pid();
    // Between create and start, the container's process is the runtime.
    let exe = format!("/proc/{pid}/exe");
    assert!(fs::read(&exe).unwrap().starts_with(b"\x7fELF"));
    // A running program is busy for writers, which is over when it ends; only a read-only mount lasts. Changing the mode
    // asks for the mount alone.
    let error = fs::set_permissions(&exe, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(30), "{error}");
}

/// Root in the container with every capability finds a process that is still the runtime and tries all it can on its file; then the
/// same on a program of its own, as the control.
const ATTACK: &str = r#"while :; do for p in /proc/[0-9]*; do
    read name <$p/comm && [ "$name" = minke-oci ] || continue
    attack() {
        echo x >>$1/exe
        mount -o remount,rw,bind $1/exe
        touch /tmp/copy; mount -o bind $1/exe /tmp/copy && echo bound
        chmod 755 $1/exe && echo changed
    }
    attack $p; echo then; attack /proc/1; echo over; exec sleep 1000
done; done 2>&1"#;

#[test]
fn root_with_all_capabilities_cannot_change_the_runtimes_file() {
    let mut bundle = Bundle::new(ATTACK);
    super::all_capabilities(&mut bundle);
    let program = Path::new(minke_testkit::runtime());
    let before = fs::read(program).unwrap();
    bundle.create().succeeded();
    bundle.on("start").succeeded();
    let _held = Held::at(&mut bundle, "execve");
    crate::bundle::wait_until("end of the attack", || bundle.output().contains("over\n"));
    let output = bundle.output();
    let output = &output[output.find("/exe").unwrap()..];
    let (runtimes, own) = output.split_once("then\n").unwrap();
    assert!(runtimes.contains("Read-only file system"), "{output}");
    assert!(!runtimes.contains("bound") && !runtimes.contains("changed"), "{output}");
    // Its own program is busy, but its mode can be changed: these attempts do reach a file.
    assert!(own.contains("Text file busy") && own.contains("changed"), "{output}");
    assert_eq!(fs::read(program).unwrap(), before);
}
