//! Bind mounts, tmpfs, attributes, propagation.

use crate::{
    bundle::{Bundle, Outcome},
    namespaces::map,
};
use minke_kernel::mount::{self, Attribute};
use minke_model::runtime_spec::{IdMapping, NamespaceType};
use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

#[test]
fn directories_and_files_are_bound_with_their_attributes() {
    let mut bundle = Bundle::new(
        "cat /deep/er/file; echo x 2>/dev/null >/deep/er/file || echo refused; cat /data/a; touch /data/b; \
         mount | grep ' /data ' | grep -o 'nosuid,nodev,noexec'",
    );
    let data = bundle.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("a"), "a\n").unwrap();
    bundle.mount("/deep/er/file", "bind", data.join("a").to_str().unwrap(), &["bind", "ro"]);
    // Relative to the bundle.
    bundle.mount("/data", "", "data", &["rbind", "nosuid", "nodev", "noexec"]);
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.lines(), ["a", "refused", "a", "nosuid,nodev,noexec"]);
    assert!(data.join("b").exists());
}

#[test]
fn a_recursive_attribute_reaches_mounts_below_and_a_plain_one_does_not() {
    let script =
        "touch /outer/sub/x 2>/dev/null && echo plain; touch /rec/sub/x 2>/dev/null || echo recursive";
    let mut bundle = Bundle::new(script);
    // What is bound has a mount below it: the container's own tmpfs, made first.
    bundle.mount("/src", "tmpfs", "tmpfs", &[]);
    let outer = bundle.path().join("outer");
    fs::create_dir_all(outer.join("sub")).unwrap();
    let tmpfs = minke_kernel::mount::filesystem("tmpfs", None, &[], &Default::default()).unwrap();
    minke_kernel::mount::attach_at(&tmpfs, &outer.join("sub")).unwrap();
    bundle.mount("/outer", "bind", outer.to_str().unwrap(), &["rbind", "ro"]);
    bundle.mount("/rec", "bind", outer.to_str().unwrap(), &["rbind", "rro"]);
    let outcome = bundle.run();
    minke_kernel::mount::detach(&outer.join("sub")).unwrap();
    assert_eq!(outcome.succeeded().lines(), ["plain", "recursive"]);
}

#[test]
fn a_tmpfs_has_its_options_and_may_start_with_the_images_files() {
    let mut bundle = Bundle::new(
        "stat -c %a /tmp /fresh; df -k /small | tail -1 | tr -s ' ' | cut -d' ' -f2; cat /var/dir/file; stat -c '%a %u' /var/dir/file; readlink /var/link",
    );
    let var = bundle.rootfs().join("var");
    fs::create_dir_all(var.join("dir")).unwrap();
    fs::write(var.join("dir/file"), "from the image\n").unwrap();
    std::os::unix::fs::chown(var.join("dir/file"), Some(33), Some(33)).unwrap();
    std::os::unix::fs::symlink("dir/file", var.join("link")).unwrap();
    bundle.process().env.push("X=1".into());
    fs::set_permissions(bundle.rootfs().join("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o1777))
        .unwrap();
    bundle.mount("/tmp", "tmpfs", "tmpfs", &["nodev"]);
    bundle.mount("/fresh", "tmpfs", "tmpfs", &[]);
    bundle.mount("/small", "tmpfs", "tmpfs", &["size=64k", "mode=0700"]);
    bundle.mount("/var", "tmpfs", "tmpfs", &["tmpcopyup", "ro"]);
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.lines(), ["1777", "1777", "64", "from the image", "644 33", "dir/file"]);
}

#[test]
fn an_overlay_may_have_long_paths_and_an_option_may_be_empty() {
    let mut bundle = Bundle::new("cat /over/a /over/b; touch /over/c; stat -f -c %T /run");
    let layer = |name: &str| {
        let layer = bundle.path().join("l".repeat(120)).join(name);
        fs::create_dir_all(&layer).unwrap();
        layer
    };
    let (one, two, upper, work) = (layer("one:1"), layer("two"), layer("upper"), layer("work"));
    fs::write(one.join("a"), "one\n").unwrap();
    fs::write(two.join("b"), "two\n").unwrap();
    let lower = format!("lowerdir={}:{}", one.display().to_string().replace(':', "\\:"), two.display());
    let (up, wk) = (format!("upperdir={}", upper.display()), format!("workdir={}", work.display()));
    bundle.mount("/over", "overlay", "overlay", &[&lower, &up, &wk, "nodev"]);
    bundle.mount("/run", "tmpfs", "tmpfs", &["nosuid", ""]);
    assert_eq!(bundle.run().succeeded().lines(), ["one", "two", "tmpfs"]);
    assert!(upper.join("c").exists());
    let long = format!("mode={}", "7".repeat(300));
    bundle.mount("/long", "tmpfs", "tmpfs", &[&long]);
    bundle.run().failed_with(1, &["mode: the kernel takes values of at most 255 bytes"]);
}

#[test]
fn propagation_of_a_mount_is_what_was_asked_for() {
    let mut bundle = Bundle::new(
        "grep -E ' /(shared|slave|private) ' /proc/self/mountinfo | cut -d' ' -f5,7 | sed 's/:[0-9]*//'",
    );
    bundle.mount("/shared", "tmpfs", "tmpfs", &["rshared"]);
    bundle.mount("/private", "tmpfs", "tmpfs", &["rprivate"]);
    bundle.mount("/slave", "bind", "/sys/fs/cgroup", &["rbind", "rslave"]);
    let outcome = bundle.run().succeeded();
    assert!(outcome.stdout.contains("/shared shared"), "{outcome:?}");
    assert!(outcome.stdout.contains("/private -"), "{outcome:?}");
}

#[test]
fn ids_of_a_bind_mount_can_be_mapped() {
    let mut bundle = Bundle::new("stat -c %u /data/file; touch /data/made");
    let data = bundle.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "").unwrap();
    std::os::unix::fs::chown(&data, Some(5000), Some(5000)).unwrap();
    std::os::unix::fs::chown(data.join("file"), Some(5001), Some(5001)).unwrap();
    bundle.mount("/data", "bind", data.to_str().unwrap(), &["rbind", "idmap"]);
    let map = vec![IdMapping { container_id: 5000, host_id: 0, size: 10 }];
    let mount = bundle.spec.mounts.last_mut().unwrap();
    mount.uid_mappings = map.clone();
    mount.gid_mappings = map;
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.lines(), ["1"]);
    assert_eq!(fs::metadata(data.join("made")).unwrap().uid(), 5000);
}

/// A bundle with a tmpfs of these flags beside it on the host, bound at /vol with these options.
fn bound(flags: &[Attribute], options: &[&str]) -> (Bundle, PathBuf) {
    let mut bundle = Bundle::new("grep ' /vol ' /proc/self/mounts | cut -d' ' -f4");
    let volume = bundle.path().join("volume");
    fs::create_dir(&volume).unwrap();
    let tmpfs = mount::filesystem("tmpfs", None, &[], &flags.iter().copied().collect()).unwrap();
    mount::attach_at(&tmpfs, &volume).unwrap();
    bundle.mount("/vol", "bind", volume.to_str().unwrap(), options);
    (bundle, volume)
}

#[test]
fn a_bind_mount_has_the_flags_that_are_named_but_what_is_locked() {
    const LOCKED: &str = "ro,noexec,noatime,nodiratime";
    let flags = [Attribute::ReadOnly, Attribute::NoExec, Attribute::NoAtime, Attribute::NoDirAtime];
    let seen = |outcome: &Outcome| {
        let all = outcome.lines().first().copied().unwrap_or_default().to_owned();
        let known = ["ro", "rw", "nosuid", "nodev", "noexec", "noatime", "relatime", "nodiratime"];
        all.split(',').filter(|flag| known.contains(flag)).collect::<Vec<_>>().join(",")
    };
    // By the host's users, and by others: to those, flags of the host's are locked.
    for (options, wanted, with_users) in [
        (&["bind"][..], LOCKED, Some(LOCKED)),
        (&["bind", "dev"], "rw,noatime,nodiratime", Some(LOCKED)),
        (
            &["bind", "nosuid", "rprivate"],
            "rw,nosuid,noatime,nodiratime",
            Some("ro,nosuid,noexec,noatime,nodiratime"),
        ),
        (&["bind", "rw"], "rw,noatime,nodiratime", None),
        (&["bind", "atime"], "rw,noatime,nodiratime", None),
        (&["bind", "ro", "relatime"], "ro,relatime", None),
        (&["bind", "ro", "noatime", "nodiratime"], "ro,noatime,nodiratime", Some(LOCKED)),
    ] {
        let (mut bundle, volume) = bound(&flags, options);
        let alone = bundle.run();
        map(&mut bundle);
        let inside = bundle.run();
        mount::detach(&volume).unwrap();
        assert_eq!(seen(&alone.succeeded()), wanted, "{options:?}");
        match with_users {
            Some(with_users) => assert_eq!(seen(&inside.succeeded()), with_users, "{options:?}"),
            None => drop(inside.failed_with(1, &["error mounting", "operation not permitted"])),
        }
    }
}

#[test]
fn what_is_bound_may_be_what_an_earlier_mount_shows() {
    let mut bundle = Bundle::new("cat /shown/file; stat -c %u /shown/file");
    map(&mut bundle);
    let data = bundle.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "in the first\n").unwrap();
    bundle.mount("/first", "bind", data.to_str().unwrap(), &["rbind"]);
    let inside = bundle.rootfs().join("first");
    bundle.mount("/shown", "bind", inside.to_str().unwrap(), &["bind", "idmap"]);
    assert_eq!(bundle.run().succeeded().lines(), ["in the first", "0"]);
}

#[test]
fn mapped_ids_may_be_those_of_a_user_namespace_that_is_joined() {
    let mut first = Bundle::new("");
    map(&mut first);
    first.start_sleeping();
    let mut second = Bundle::new("stat -c %u /data");
    map(&mut second);
    second.linux().uid_mappings.clear();
    second.linux().gid_mappings.clear();
    second.namespace(NamespaceType::User, Some(Some(format!("/proc/{}/ns/user", first.pid()))));
    let data = second.path().join("data");
    fs::create_dir(&data).unwrap();
    std::os::unix::fs::chown(&data, Some(7), Some(7)).unwrap();
    second.mount("/data", "bind", data.to_str().unwrap(), &["bind", "idmap"]);
    assert_eq!(second.run().succeeded().lines(), ["7"]);
    second.namespace(NamespaceType::User, None);
    second.run().failed_with(1, &["mounts[4].uidMappings: missing"]);
}

#[test]
fn a_mistake_in_a_mount_names_the_mount_and_the_file_systems_reason() {
    let mut bundle = Bundle::new("true");
    bundle.mount("/x", "tmpfs", "tmpfs", &["size=nonsense"]);
    bundle.run().failed_with(1, &["mounts[4] (/x)", "size"]);
    bundle.spec.mounts.pop();
    bundle.mount("/x", "bind", "/no/such", &["bind"]);
    bundle.run().failed_with(1, &["mounts[4] (/x).source: bind /no/such", "no such file"]);
    bundle.spec.mounts.pop();
    bundle.mount("/x", "nosuchfs", "none", &[]);
    bundle.run().failed_with(1, &["mounts[4] (/x): mount nosuchfs", "no such device"]);
    bundle.left_nothing();
}
