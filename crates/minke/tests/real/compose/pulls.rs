//! When images are pulled again.

use minke_testkit::{Host, Registry, RegistryKind};

use super::Application;

#[test]
fn an_image_is_pulled_again_when_its_time_has_come_and_not_before() {
    let host = Host::with_busybox();
    let registry = Registry::start(&host, RegistryKind::Minke);
    let image = registry.name("app:1");
    let publish = |from: &str| {
        let _ = host.minke(["tag", from, &image]).ok();
        let _ = host.minke(["push", "-q", &image]).ok();
    };
    publish("busybox");
    let file = format!(
        "name: fresh\nservices: {{app: {{image: '{image}', command: [sleep, infinity], init: true, network_mode: none, \
         pull_policy: daily}}}}\n"
    );
    let application = Application::new(&host, "fresh", &file);
    let _ = application.compose("up -d").expect_code(0);
    let first = application.inspect("fresh-app-1")["Image"].clone();
    // Another image of that name in the registry, of which the engine doesn't know.
    let _ = host.minke(["run", "--name", "other", "busybox", "touch", "/new"]).ok();
    let _ = host.minke(["commit", "other", "other"]).ok();
    let _ = host.minke(["rm", "other"]).ok();
    publish("other");
    publish_back(&host, &image, first.as_str().unwrap());
    let daily = application.compose("up -d").expect_code(0).stderr;
    assert!(!daily.contains("Pulling"), "{daily}");
    application.write("compose.yaml", &file.replace("daily", "every_1s"));
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    let due = application.compose("up -d").expect_code(0).stderr;
    assert!(due.contains("Pulled") && due.contains("Recreated"), "{due}");
    assert_ne!(application.inspect("fresh-app-1")["Image"], first);
    application.write("compose.yaml", &file.replace("daily", "every_1h"));
    let fresh = application.compose("up -d").expect_code(0).stderr;
    assert!(!fresh.contains("Pulling"), "the pull is what its time is counted from: {fresh}");
    drop(application);
    drop(registry);
    host.expect_nothing_left();
}

/// The engine's own name leads to the image that it led to before.
fn publish_back(host: &Host, image: &str, id: &str) {
    let _ = host.minke(["tag", id, image]).ok();
}

#[test]
fn images_are_named_by_what_the_registry_has_of_them_now() {
    let host = Host::with_busybox();
    let registry = Registry::start(&host, RegistryKind::Minke);
    let image = registry.name("app:1");
    let _ = host.minke(["tag", "busybox", &image]).ok();
    let _ = host.minke(["push", "-q", &image]).ok();
    let digest = host.minke(["inspect", "--format", "{{index .RepoDigests 0}}", &image]).ok();
    let digest = digest.rsplit_once('@').expect("a digest").1;
    let pinned = format!("{image}@{digest}");
    let application = Application::new(
        &host,
        "pinned",
        &format!("name: pinned\nservices: {{app: {{image: '{image}'}}}}\n"),
    );
    let whole = application.compose("config --resolve-image-digests").ok();
    assert!(whole.contains(&format!("image: {pinned}")) && whole.contains("networks:"), "{whole}");
    let lock = application.compose("config --lock-image-digests").ok();
    assert_eq!(lock, format!("services:\n  app:\n    image: {pinned}"));
    application.write("lock.yaml", &lock);
    let _ = application.compose("-f compose.yaml -f lock.yaml pull").expect_code(0);
    let missing = application.compose("-f compose.yaml -f lock.yaml config --images").ok();
    assert_eq!(missing, pinned);
    application.write(
        "compose.yaml",
        &format!("name: pinned\nservices: {{app: {{image: '{}'}}}}\n", registry.name("none:1")),
    );
    let _ = application.compose("config --resolve-image-digests").expect_code(1).expect_stderr("none:1");
    drop(application);
    drop(registry);
    host.expect_nothing_left();
}
