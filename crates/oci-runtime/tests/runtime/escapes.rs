//! Escapes of the past, each of which must fail here.

use crate::bundle::Bundle;
use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

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
    let program = Path::new(env!("CARGO_BIN_EXE_minke-oci"));
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

/// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: /proc and /sys of the image are links.
#[test]
fn proc_and_sys_are_not_mounted_through_links_of_the_image() {
    for name in ["proc", "sys"] {
        let bundle = Bundle::new("true");
        fs::remove_dir(bundle.rootfs().join(name)).unwrap();
        symlink("/tmp", bundle.rootfs().join(name)).unwrap();
        bundle.run().failed_with(1, &[&format!("(/{name}).destination")]);
        bundle.left_nothing();
    }
}

/// CVE-2019-16884: a volume over /proc hides that the runtime's writes go nowhere.
#[test]
fn volumes_are_not_mounted_over_proc_or_inside_it() {
    let mut bundle = Bundle::new("true");
    let data = bundle.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("cpuinfo"), "").unwrap();
    let source = data.display().to_string();
    for place in ["/proc", "/proc/self/attr", "/proc/sys/kernel", "/tmp/../proc/sys"] {
        bundle.mount(place, "bind", &source, &["bind"]);
        bundle.run().failed_with(1, &["procfs"]);
        bundle.spec.mounts.pop();
    }
    bundle.mount("/proc/sys", "tmpfs", "tmpfs", &[]);
    bundle.run().failed_with(1, &["inside procfs"]);
    bundle.spec.mounts.pop();
    symlink("/proc/sys", bundle.rootfs().join("alias")).unwrap();
    bundle.mount("/alias", "bind", &source, &["bind"]);
    bundle.run().failed_with(1, &["inside procfs"]);
    bundle.spec.mounts.pop();
    bundle.mount("/proc/cpuinfo", "bind", data.join("cpuinfo").to_str().unwrap(), &["bind"]);
    bundle.run().succeeded();
}

/// CVE-2021-30465, CVE-2024-45310: links in the root lead mounts and new files to the host.
#[test]
fn mount_points_are_made_inside_the_root_whatever_links_say() {
    let mut bundle = Bundle::new("cat /mnt/file");
    let outside = bundle.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(bundle.path().join("file"), "bound\n").unwrap();
    symlink(&outside, bundle.rootfs().join("abs")).unwrap();
    symlink("../../../../../../../..", bundle.rootfs().join("up")).unwrap();
    let file = bundle.path().join("file").display().to_string();
    bundle.mount(&format!("/up{}/new", outside.display()), "bind", &file, &["bind"]);
    bundle.mount("/mnt/file", "bind", &file, &["bind"]);
    assert_eq!(bundle.run().succeeded().stdout, "bound\n");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // A link to a place that exists only outside is dangling inside.
    bundle.mount("/abs/new", "tmpfs", "tmpfs", &[]);
    bundle.run().failed_with(1, &["(/abs/new).destination"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

/// CVE-2024-21626: a working directory that is a descriptor of the host.
#[test]
fn the_working_directory_cannot_be_a_leaked_descriptor() {
    let mut bundle = Bundle::new("pwd; ls");
    for number in 3..40 {
        bundle.process().cwd = format!("/proc/self/fd/{number}");
        let outcome = bundle.run();
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert_eq!(outcome.stdout, "");
    }
    bundle.start_sleeping_at_root();
    for number in 3..40 {
        let cwd = format!("/proc/self/fd/{number}");
        let outcome = bundle.call(&["exec", "--cwd", &cwd, &bundle.id, "ls"]);
        assert_ne!(outcome.code, Some(0), "{outcome:?}");
    }
}

impl Bundle {
    fn start_sleeping_at_root(&mut self) {
        self.process().cwd = "/".into();
        self.start_sleeping();
    }
}

/// CVE-2024-21626 again: no descriptor of the host in any process.
#[test]
fn no_descriptor_of_the_host_is_open_in_the_container() {
    let mut bundle = Bundle::new("");
    bundle.process().args = ["sleep", "1000"].map(str::to_owned).to_vec();
    bundle.write_config();
    // The caller itself has something open that isn't close-on-exec.
    let line = format!(
        "exec 5</ 6</etc/passwd; {} --root {} run -d --bundle {} {}",
        env!("CARGO_BIN_EXE_minke-oci"),
        bundle.state_root().display(),
        bundle.path().display(),
        bundle.id
    );
    let mut command = Command::new("sh");
    command.args(["-c", &line]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    let open = |pid: i32| {
        let dir = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let mut names: Vec<_> = dir.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(open(bundle.pid()), ["0", "1", "2"]);
    let outcome = bundle.call(&["exec", &bundle.id, "ls", "/proc/self/fd"]).succeeded();
    assert_eq!(outcome.lines(), ["0", "1", "2", "3"]);
}

/// CVE-2025-31133: the image's own /dev/null must not be what masks.
#[test]
fn masks_are_the_hosts_null_device_whatever_the_image_has() {
    let mut bundle = Bundle::new("cat /secret; echo x >/secret; cat /dev/null");
    bundle.spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
    fs::write(bundle.rootfs().join("secret"), "secret\n").unwrap();
    symlink("/secret", bundle.rootfs().join("dev/null")).unwrap();
    bundle.linux().masked_paths = vec!["/secret".into()];
    // A link where a device belongs is refused rather than used.
    bundle.run().failed_with(1, &["/dev/null"]);
    bundle.left_nothing();
}

/// CVE-2025-52565: /dev/console of the image is a link.
#[test]
fn the_terminal_is_not_bound_through_a_link_of_the_image() {
    let mut bundle = Bundle::new("tty");
    bundle.process().terminal = true;
    bundle.spec.mounts.retain(|mount| mount.destination != "/dev");
    symlink("/proc/sys/kernel/hostname", bundle.rootfs().join("dev/console")).unwrap();
    bundle.run().failed_with(1, &["/dev/console", "too many levels of symbolic links"]);
    bundle.left_nothing();
}

/// What covers a masked file is a device node: it must not be the host's, nor one that can be changed.
#[test]
fn a_masked_path_gives_no_hold_on_the_hosts_null_device() {
    let mut bundle = Bundle::new(
        "chmod 666 /proc/keys; chown 0 /proc/keys; echo x >/proc/keys && stat -c %d /proc/keys /dev/null | uniq",
    );
    let all = ["CAP_FOWNER", "CAP_CHOWN", "CAP_DAC_OVERRIDE"].map(str::to_owned).to_vec();
    bundle.process().capabilities = Some(minke_model::runtime_spec::Capabilities {
        bounding: all.clone(),
        effective: all.clone(),
        permitted: all,
        ..Default::default()
    });
    bundle.spec.linux.as_mut().unwrap().masked_paths = vec!["/proc/keys".into()];
    let outcome = bundle.run();
    assert_eq!(outcome.stderr.matches("Read-only file system").count(), 2, "{outcome:?}");
    let host = std::os::unix::fs::MetadataExt::dev(&std::fs::metadata("/dev/null").unwrap());
    let device = outcome.stdout.trim();
    assert!(device.parse::<u64>().is_ok_and(|device| device != host), "{outcome:?}");
    // With the host's /dev in the container, its null device is the host's, and can't be changed through the mask either.
    bundle.spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
    bundle.mount("/dev", "bind", "/dev", &["rbind", "ro"]);
    assert_eq!(bundle.run().stderr.matches("Read-only file system").count(), 2);
}

/// CVE-2022-0492: release_agent needs a writable v1 hierarchy and CAP_SYS_ADMIN.
#[test]
fn a_release_agent_cannot_be_set() {
    let mut bundle = Bundle::new(
        "mkdir /tmp/c; mount -t cgroup -o memory c /tmp/c 2>&1; echo /x 2>&1 >/sys/fs/cgroup/memory/release_agent",
    );
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]);
    let outcome = bundle.run();
    assert_ne!(outcome.code, Some(0));
    assert!(
        outcome.stdout.contains("permission denied") || outcome.stdout.contains("not permitted"),
        "{outcome:?}"
    );
}
