//! `minke image tree` and `image explore`: what layers add, replace and delete.

use minke_testkit::{Cli, Entry, Host, Rootfs};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::pty::Terminal;

/// An archive as `docker save` makes it, of these layers.
fn saved(name: &str, layers: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let digest =
        |bytes: &[u8]| -> String { Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect() };
    let diff_ids: Vec<_> = layers.iter().map(|(_, tar)| format!("sha256:{}", digest(tar))).collect();
    let history: Vec<_> = layers.iter().map(|(step, _)| json!({"created_by": step})).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "config": {},
                        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history});
    let names: Vec<_> = (0..layers.len()).map(|at| format!("{at}/layer.tar")).collect();
    let list = json!([{"Config": "config.json", "RepoTags": [name], "Layers": names}]);
    let mut archive = Rootfs::empty();
    for (name, (_, tar)) in names.iter().zip(layers) {
        archive = archive.add(name, 0o644, Entry::File(tar));
    }
    archive
        .add("config.json", 0o644, Entry::File(config.to_string().as_bytes()))
        .add("manifest.json", 0o644, Entry::File(list.to_string().as_bytes()))
        .tar()
}

fn host_with_layers() -> Host {
    let host = Host::start();
    let base = Rootfs::empty()
        .add("etc", 0o755, Entry::Dir)
        .add("etc/motd", 0o644, Entry::File(&[b'a'; 1000]))
        .add("usr/share/doc/big", 0o644, Entry::File(&[b'b'; 50_000]))
        .add("usr/bin/tool", 0o755, Entry::File(&[b'c'; 2000]))
        .tar();
    let cleanup = Rootfs::empty()
        .add("etc/motd", 0o644, Entry::File(&[b'd'; 500]))
        .add("usr/share/.wh.doc", 0o644, Entry::File(b""))
        .tar();
    let archive = saved("demo:1", &[("ADD rootfs /", base), ("RUN rm -r /usr/share/doc", cleanup)]);
    let _ =
        host.minke_run(["load"]).input(archive).run().expect_code(0).expect_stdout("Loaded image: demo:1");
    host
}

#[test]
fn a_loaded_image_shows_what_each_layer_does() {
    let host = host_with_layers();
    let shown = host.minke(["image", "tree", "--format", "json", "demo:1"]).expect_code(0).json();
    assert_eq!(
        (&shown["Size"], &shown["Wasted"], &shown["Files"]),
        (&json!(53_500), &json!(51_000), &json!(2))
    );
    let sums = |layer: usize| {
        ["Size", "Added", "Replaced", "Deleted", "Wasted", "CreatedBy"]
            .map(|field| shown["Layers"][layer][field].clone())
    };
    assert_eq!(sums(0), [json!(53_000), json!(3), json!(0), json!(0), json!(51_000), json!("ADD rootfs /")]);
    assert_eq!(
        sums(1),
        [json!(500), json!(0), json!(1), json!(1), json!(0), json!("RUN rm -r /usr/share/doc")]
    );
    let paths: Vec<&Value> = shown["Layers"][1]["Largest"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|share| &share["Path"])
        .collect();
    assert_eq!(paths, ["usr/share/", "etc/motd"]);
    let text = host.minke(["image", "tree", "--depth", "0", "demo:1"]).ok();
    for line in
        ["2         500B", "     -50kB  D  usr/share/doc/big", "      500B  M  etc/motd", "Wasted most:"]
    {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    assert_eq!(host.minke(["image", "explore", "--depth", "0", "demo:1"]).ok(), text, "without a terminal");
    let template = "{{range .Layers}}{{.Deleted}} {{end}}";
    assert_eq!(host.minke(["image", "tree", "--format", template, "demo:1"]).ok(), "0 1");
    host.expect_nothing_left();
}

#[test]
fn an_imported_image_has_one_layer_that_wastes_nothing() {
    let host = Host::with_busybox();
    let shown = host.minke(["image", "tree", "--format", "json", "busybox"]).expect_code(0).json();
    assert_eq!((&shown["Wasted"], &shown["Efficiency"]), (&json!(0), &json!(1.0)));
    assert_eq!(shown["Layers"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown["Layers"][0]["Largest"][0]["Path"], "bin/busybox");
    let _ = host.minke(["image", "tree", "no/such"]).expect_code(1).expect_stderr("No such image: no/such");
    host.expect_nothing_left();
}

#[test]
fn the_explorer_follows_keys_and_leaves_the_terminal_as_it_was() {
    let host = host_with_layers();
    let terminal = Terminal::start(&host, Cli::Minke, ["image", "explore", "demo:1"]);
    terminal.expect("\x1b[?1049h");
    terminal.expect("Changes of layer 1");
    assert!(!terminal.echoes());
    // Only what changes is drawn, but for a window of another size all of it; and keys and windows are seen when the program
    // gets to them.
    let redrawn = |height: u16, width: u16, text: &str| {
        let other = std::cell::Cell::new(false);
        terminal.until(text, |terminal| {
            terminal.resize(height + u16::from(other.replace(!other.get())), width);
            std::thread::sleep(std::time::Duration::from_millis(20));
            terminal.shows(text)
        });
    };
    terminal.type_in("\x1b[B");
    redrawn(30, 100, "/usr/share/doc");
    redrawn(30, 100, "▾ etc/");
    // To the last file, to the folder around it, and that one closed.
    terminal.type_in("\t\x1b[F\x1b[D\x1b[D");
    redrawn(8, 30, "M ▸");
    terminal.type_in("q");
    terminal.expect("\x1b[?1049l");
    assert_eq!(terminal.end().code(), Some(0));
    let terminal = Terminal::start(&host, Cli::Minke, ["image", "explore", "demo:1"]);
    terminal.expect("Changes of layer 1");
    terminal.signal(rustix::process::Signal::TERM);
    terminal.expect("\x1b[?1049l");
    terminal.until("what is typed is shown again", Terminal::echoes);
    assert_eq!(terminal.end().code(), Some(143));
    host.expect_nothing_left();
}
