//! Root file systems: plain, overlay, read-only; devices, masked and read-only paths.

use crate::bundle::Bundle;
use minke_model::runtime_spec::{Device, DeviceType};
use std::fs;

#[test]
fn an_overlay_is_assembled_inside_the_container_and_nowhere_else() {
    let mut bundle = Bundle::new(
        "cat /top /bottom; echo new >/made; rm /bottom; cat /proc/self/mountinfo | grep -c overlay",
    );
    let base = bundle.path().to_owned();
    for (layer, file, text) in
        [("upper", "none", ""), ("work", "none", ""), ("l1", "top", "top\n"), ("l2", "bottom", "bottom\n")]
    {
        fs::create_dir_all(base.join(layer)).unwrap();
        if !text.is_empty() {
            fs::write(base.join(layer).join(file), text).unwrap();
        }
    }
    fs::rename(bundle.rootfs(), base.join("image")).unwrap();
    fs::create_dir(bundle.rootfs()).unwrap();
    let value = serde_json::json!({
        "lower": [base.join("l1"), base.join("l2"), base.join("image")],
        "upper": base.join("upper"), "work": base.join("work"), "options": [],
    });
    bundle.spec.annotations.insert("dev.minke.rootfs.overlay".into(), value.to_string());
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.lines(), ["top", "bottom", "1"]);
    assert_eq!(fs::read_to_string(base.join("upper/made")).unwrap(), "new\n");
    assert!(base.join("l2/bottom").exists());
    assert_eq!(fs::read_dir(bundle.rootfs()).unwrap().count(), 0);
    bundle.left_nothing();
}

#[test]
fn an_overlay_annotation_with_a_mistake_is_refused() {
    let mut bundle = Bundle::new("true");
    for (value, part) in [
        ("{", "EOF"),
        (r#"{"lower":[]}"#, "at least one"),
        (r#"{"lower":["/"],"upper":"/x"}"#, "need each other"),
        (r#"{"lower":["/no/such","/nor/such"]}"#, "overlay"),
    ] {
        bundle.spec.annotations.insert("dev.minke.rootfs.overlay".into(), value.into());
        bundle.run().failed_with(1, &[part]);
    }
    bundle.left_nothing();
}

#[test]
fn a_read_only_root_cannot_be_written_but_its_mounts_can() {
    let mut bundle = Bundle::new("touch /x 2>&1; touch /data/x && echo data");
    bundle.spec.root.as_mut().unwrap().readonly = true;
    bundle.mount("/data", "tmpfs", "tmpfs", &[]);
    let outcome = bundle.run().succeeded();
    assert!(outcome.lines()[0].contains("Read-only file system"), "{outcome:?}");
    assert_eq!(outcome.lines()[1], "data");
}

#[test]
fn the_root_works_without_pivot_root() {
    let bundle = Bundle::new("ls -d /bin /proc/self; pwd; ls /etc");
    let outcome = bundle.run_with(&["--no-pivot"]).succeeded();
    assert_eq!(outcome.lines(), ["/bin", "/proc/self", "/", "passwd"]);
}

#[test]
fn default_devices_and_links_are_there() {
    let bundle = Bundle::new(
        "for d in null zero full random urandom tty; do stat -c '%n %t:%T %a' /dev/$d; done; readlink /dev/fd; readlink /dev/ptmx; readlink /dev/stderr",
    );
    let outcome = bundle.run().succeeded();
    let expected = [
        "/dev/null 1:3 666",
        "/dev/zero 1:5 666",
        "/dev/full 1:7 666",
        "/dev/random 1:8 666",
        "/dev/urandom 1:9 666",
        "/dev/tty 5:0 666",
        "/proc/self/fd",
        "pts/ptmx",
        "/proc/self/fd/2",
    ];
    assert_eq!(outcome.lines(), expected);
}

#[test]
fn configured_devices_have_their_numbers_mode_and_owner() {
    let mut bundle = Bundle::new("stat -c '%F %t:%T %a %u:%g' /dev/fuse /dev/my/loop /dev/pipe");
    let device = |path: &str, kind, major, minor| Device {
        path: path.into(),
        kind,
        major,
        minor,
        file_mode: Some(0o640),
        uid: Some(1),
        gid: Some(2),
    };
    bundle.linux().devices = vec![
        device("/dev/fuse", DeviceType::Character, 10, 229),
        device("/dev/my/loop", DeviceType::Block, 7, 0),
        device("/dev/pipe", DeviceType::Fifo, 0, 0),
    ];
    let outcome = bundle.run().succeeded();
    let expected =
        ["character special file a:e5 640 1:2", "block special file 7:0 640 1:2", "fifo 0:0 640 1:2"];
    assert_eq!(outcome.lines(), expected);
}

#[test]
fn masked_paths_are_empty_and_read_only_paths_cannot_be_written() {
    let mut bundle = Bundle::new(
        "wc -c </secret; ls /hidden | wc -l; touch /hidden/x 2>&1; echo 1 2>/dev/null >/proc/sys/net/ipv4/ip_forward || echo refused; \
         echo x 2>/dev/null >/fixed/file || echo refused",
    );
    fs::write(bundle.rootfs().join("secret"), "secret").unwrap();
    for dir in ["hidden", "fixed"] {
        fs::create_dir(bundle.rootfs().join(dir)).unwrap();
        fs::write(bundle.rootfs().join(dir).join("file"), "x").unwrap();
    }
    let strings = |list: &[&str]| list.iter().map(|path| (*path).to_owned()).collect();
    bundle.linux().masked_paths = strings(&["/secret", "/hidden", "/does/not/exist", "/proc/keys"]);
    bundle.linux().readonly_paths = strings(&["/proc/sys", "/fixed", "/nor/this"]);
    let outcome = bundle.run().succeeded();
    let lines = outcome.lines();
    assert_eq!((lines[0], lines[1]), ("0", "0"));
    assert!(lines[2].contains("Read-only file system"), "{outcome:?}");
    assert_eq!(lines[3..], ["refused", "refused"]);
    assert_eq!(fs::read_to_string(bundle.rootfs().join("secret")).unwrap(), "secret");
}
