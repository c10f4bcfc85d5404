//! Links in the image, or made by a process that shares a volume, at the places of mounts, masks and the terminal.

use super::all_capabilities;
use crate::{bundle::Bundle, namespaces::map};
use std::{fs, os::unix::fs::symlink};

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

/// Masks in /proc hold in user namespaces too: procfs can be mounted anew only where a whole one is visible. Without pivot_root(2)
/// the host's would be.
#[test]
fn a_nested_user_namespace_gets_no_whole_proc() {
    let script = "unshare -U -r -m -p -f mount -t proc proc /tmp 2>&1; unshare -U -r -m echo made";
    let mut bundle = Bundle::new(script);
    bundle.process().user.uid = 33;
    bundle.linux().masked_paths = vec!["/proc/keys".into()];
    for flags in [&[][..], &["--no-pivot"]] {
        let outcome = bundle.run_with(flags).succeeded();
        assert!(
            outcome.stdout.contains("ermitted") || outcome.stdout.contains("denied"),
            "{flags:?} {outcome:?}"
        );
        assert!(outcome.stdout.ends_with("made\n"), "{flags:?} {outcome:?}");
    }
    bundle.linux().masked_paths.clear();
    bundle.linux().readonly_paths.clear();
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.stdout, "made\n", "where nothing is masked, it may");
}

/// What a container with users of its own binds is a copy that was made for it: no peer of the host's mount, and with what the host
/// has restricted locked.
#[test]
fn a_container_with_its_own_users_changes_no_mount_of_the_hosts() {
    let mut bundle = Bundle::new(
        "mount -t tmpfs inner /vol/inner && echo mounted; \
         mount -o remount,bind,rw /vol 2>/dev/null; touch /vol/file 2>/dev/null && echo written",
    );
    all_capabilities(&mut bundle);
    map(&mut bundle);
    let volume = bundle.path().join("vol");
    fs::create_dir_all(volume.join("inner")).unwrap();
    bundle.mount("/vol", "bind", volume.to_str().unwrap(), &["rbind"]);
    bundle.write_config();
    let words: Vec<_> = {
        let command = bundle.command(&["run", "--bundle", bundle.path().to_str().unwrap(), &bundle.id]);
        std::iter::once(command.get_program()).chain(command.get_args()).map(ToOwned::to_owned).collect()
    };
    // A host whose mounts are shared, as systemd makes them, and whose volume is read-only.
    let script = "mount --make-rshared / && mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && mount --make-shared \"$0\" && \
                  \"$@\"; echo host; cat /proc/self/mountinfo";
    let run = std::process::Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .arg(&volume)
        .args(words)
        .output()
        .unwrap();
    let said = String::from_utf8(run.stdout).unwrap();
    let (inside, host) = said.split_once("host\n").unwrap();
    assert_eq!(inside, "mounted\n", "{}", String::from_utf8_lossy(&run.stderr));
    assert!(!host.contains("/vol/inner"), "{host}");
    assert!(!volume.join("file").exists());
}
