//! /proc and /sys of the image, and volumes over them: what the runtime writes there must arrive.

use crate::bundle::Bundle;
use std::{fs, os::unix::fs::symlink};

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

/// CVE-2019-19921: /proc by another name, which only shows when the place is looked at.
#[test]
fn proc_is_not_covered_by_another_name() {
    let mut bundle = Bundle::new("true");
    fs::create_dir_all(bundle.path().join("data")).unwrap();
    let data = bundle.path().join("data").display().to_string();
    symlink("/proc", bundle.rootfs().join("alias")).unwrap();
    // Ahead of /proc itself, when nothing is mounted there yet.
    for (destination, kind) in [("/alias", "bind"), ("/tmp/../proc", "bind"), ("/alias", "tmpfs")] {
        bundle.mount(destination, kind, &data, &[]);
        let mount = bundle.spec.mounts.pop().unwrap();
        bundle.spec.mounts.insert(0, mount);
        bundle.run().failed_with(1, &["only procfs may be mounted on /proc"]);
        bundle.left_nothing();
        bundle.spec.mounts.remove(0);
    }
    // The control: the same volume elsewhere.
    bundle.mount("/elsewhere", "bind", &data, &["bind"]);
    bundle.run().succeeded();
}
