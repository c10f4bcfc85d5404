//! Names, ids, lists, history and removal, with Docker's rules.

use std::cell::RefCell;

use minke_image::{Removed, User};
use minke_model::ImageId;

use crate::support::{Store, TestImage, docker_archive, image, layer, plain};

fn app(tag: &str) -> TestImage {
    image(tag, &[layer("base", "shared"), layer("own", tag)], plain)
}

fn with(images: &[TestImage]) -> Store {
    let store = Store::new();
    store.load(&docker_archive(images, false)).unwrap();
    store
}

fn unused(_: &ImageId) -> Option<User> {
    None
}

fn removed(store: &Store, what: &str, force: bool) -> Vec<String> {
    let removed = store.store.remove(what, force, &unused).unwrap();
    let text = |removed: &Removed| match removed {
        Removed::Untagged(name) => format!("untagged {name}"),
        Removed::Deleted(_) => "deleted".to_owned(),
    };
    removed.iter().map(text).collect()
}

fn conflict(store: &Store, what: &str, force: bool, user: Option<User>) -> String {
    let before = (store.on_disk(), store.store.list().unwrap().len());
    let error = store.store.remove(what, force, &|_| user.clone()).unwrap_err();
    assert_eq!((store.on_disk(), store.store.list().unwrap().len()), before);
    error.to_string()
}

#[test]
fn images_are_found_by_every_kind_of_name() {
    let store = with(&[app("redis:7"), app("redis:latest")]);
    let id = app("redis:7").id();
    for text in [
        "redis:7",
        "docker.io/library/redis:7",
        "library/redis:7",
        &id,
        &id[7..],
        &id[..20],
        &id[7..19],
        &format!("redis@{id}"),
    ] {
        assert_eq!(store.store.find(text).unwrap().id.to_string(), id, "{text}");
    }
    assert_eq!(store.store.find("redis").unwrap().names, ["redis:latest"]);
}

#[test]
fn what_is_not_found_is_named_as_docker_does() {
    let store = with(&[app("redis:7")]);
    let error = |text: &str| store.store.find(text).unwrap_err().to_string();
    assert_eq!(error("redis"), "No such image: redis:latest");
    assert_eq!(error("ghcr.io/a/b:1"), "No such image: ghcr.io/a/b:1");
    assert_eq!(error(&"0".repeat(64)), format!("No such image: sha256:{}", "0".repeat(64)));
    assert_eq!(error("Redis"), "invalid reference format: repository name (Redis) must be lowercase");
    assert!(error("a b").contains("invalid reference format"));
}

#[test]
fn a_name_wins_over_the_beginning_of_an_id_and_ambiguity_is_an_error() {
    let images: Vec<TestImage> = (0..40).map(|i| app(&format!("a:{i}"))).collect();
    let store = with(&images);
    let mut firsts: Vec<char> = images.iter().map(|image| image.id().chars().nth(7).unwrap()).collect();
    firsts.sort_unstable();
    let twice = firsts.windows(2).find(|pair| pair[0] == pair[1]).unwrap()[0].to_string();
    let error = store.store.find(&twice).unwrap_err().to_string();
    assert!(error.contains("is ambiguous"), "{error}");
    store.store.tag("a:0", &twice).unwrap();
    assert_eq!(store.store.find(&twice).unwrap().id.to_string(), images[0].id());
}

#[test]
fn tags_move_and_leave_the_old_image_dangling() {
    let store = with(&[app("a:1"), app("a:2")]);
    store.store.tag("a:2", "a:1").unwrap();
    assert_eq!(store.store.find("a:1").unwrap().names, ["a:1", "a:2"]);
    assert!(store.store.find(&app("a:1").id()).unwrap().names.is_empty());
    let error = |source: &str, name: &str| store.store.tag(source, name).unwrap_err().to_string();
    assert_eq!(error("nope", "x"), "No such image: nope:latest");
    assert!(error("a:1", "X").contains("must be lowercase"));
    assert!(error("a:1", &format!("x@{}", app("a:1").id())).contains("digest reference"));
    assert!(error("a:1", "sha256:abc").contains("ambiguous tag"));
}

#[test]
fn history_is_newest_first_with_the_layers_sizes() {
    let store = with(&[app("a:1")]);
    let history = store.store.history("a:1").unwrap();
    let lines: Vec<(&str, u64)> =
        history.iter().map(|entry| (entry.created_by.as_str(), entry.size)).collect();
    assert_eq!(lines, [("ENV 1", 0), ("COPY 1", 3), ("ENV 0", 0), ("COPY 0", 6)]);
    assert_eq!(
        (history[0].id.clone(), history[0].tags.clone()),
        (app("a:1").id(), Some(vec!["a:1".to_owned()]))
    );
    assert_eq!(
        (history[1].id.as_str(), &history[1].tags, history[1].created),
        ("<missing>", &None, 1_714_979_289)
    );
    let json = serde_json::to_value(&history[0]).unwrap();
    // Whether a map keeps its order depends on who else is built with serde_json.
    let keys: std::collections::BTreeSet<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(
        keys.into_iter().collect::<Vec<_>>(),
        ["Comment", "Created", "CreatedBy", "Id", "Size", "Tags"]
    );
}

#[test]
fn removing_a_name_removes_the_image_only_with_its_last_name() {
    let store = with(&[app("a:1"), app("b:1")]);
    store.store.tag("a:1", "other:1").unwrap();
    assert_eq!(removed(&store, "a:1", false), ["untagged a:1"]);
    assert_eq!(store.on_disk().1.len(), 3);
    assert_eq!(removed(&store, "other:1", false), ["untagged other:1", "deleted", "deleted"]);
    assert_eq!(store.on_disk().1.len(), 2, "the shared layer stays");
    assert_eq!(removed(&store, "b:1", false), ["untagged b:1", "deleted", "deleted", "deleted"]);
    assert_eq!(store.on_disk(), (vec![], vec![]));
}

#[test]
fn an_id_with_several_names_needs_force() {
    let store = with(&[app("a:1")]);
    store.store.tag("a:1", "b:1").unwrap();
    let id = app("a:1").id();
    let short = &id[7..19];
    let expected = format!(
        "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
    );
    assert_eq!(conflict(&store, short, false, None), expected);
    assert_eq!(removed(&store, short, true)[..2], ["untagged a:1", "untagged b:1"]);
    assert_eq!(store.on_disk(), (vec![], vec![]));
}

#[test]
fn an_id_with_one_name_goes_with_it() {
    let store = with(&[app("a:1")]);
    assert_eq!(
        removed(&store, &app("a:1").id()[7..12], false),
        ["untagged a:1", "deleted", "deleted", "deleted"]
    );
}

#[test]
fn containers_stand_in_the_way() {
    let store = with(&[app("a:1")]);
    let id = app("a:1").id();
    let short = &id[7..19];
    let user = |running| Some(User { container: "c0ffee123456".to_owned(), running });
    assert_eq!(
        conflict(&store, "a:1", false, user(false)),
        format!(
            "conflict: unable to remove repository reference \"a:1\" (must force) - container c0ffee123456 is using its referenced image {short}"
        )
    );
    assert_eq!(
        conflict(&store, short, false, user(false)),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is being used by stopped container c0ffee123456"
        )
    );
    assert_eq!(
        conflict(&store, short, true, user(true)),
        format!(
            "conflict: unable to delete {short} (cannot be forced) - image is being used by running container c0ffee123456"
        )
    );
    let removed = store.store.remove("a:1", true, &|_| user(true)).unwrap();
    assert_eq!(removed, [Removed::Untagged("a:1".to_owned())]);
    let kept = store.store.find(short).unwrap();
    assert!(
        kept.names.is_empty() && store.store.lower_dirs(&kept).unwrap().iter().all(|folder| folder.is_dir())
    );
    assert_eq!(
        store.store.remove(short, true, &|_| user(false)).unwrap(),
        [],
        "a stopped container keeps its image"
    );
    assert!(store.store.find(short).is_ok());
    assert_eq!(store.store.remove(short, false, &unused).unwrap().len(), 4 - 1);
}

#[test]
fn the_question_who_uses_an_image_is_asked_about_that_image() {
    let store = with(&[app("a:1"), app("b:1")]);
    let asked = RefCell::new(Vec::new());
    store
        .store
        .remove("a:1", false, &|id| {
            asked.borrow_mut().push(id.to_string());
            None
        })
        .unwrap();
    assert!(asked.borrow().iter().all(|id| *id == app("a:1").id()));
}

#[test]
fn a_blob_and_a_layer_with_one_digest_are_counted_apart() {
    let plain_one = image("a:1", &[layer("x", "1")], plain);
    let zipped = TestImage {
        config: image("b:1", &[layer("x", "1")], plain).config,
        ..image("b:1", &[layer("x", "1")], crate::support::gzip)
    };
    let store = with(&[plain_one, zipped]);
    assert_eq!(store.on_disk().1.len(), 1);
    assert_eq!(store.on_disk().0.len(), 6);
    removed(&store, "a:1", false);
    assert_eq!((store.on_disk().0.len(), store.on_disk().1.len()), (3, 1), "the blob goes, the layer stays");
    removed(&store, "b:1", false);
    assert_eq!(store.on_disk(), (vec![], vec![]));
}

#[test]
fn an_opaque_root_ends_the_list_of_lower_directories() {
    let opaque = crate::support::Tar::default().file(".wh..wh..opq", b"").file("new", b"").end();
    let store = with(&[image("a:1", &[layer("x", "1"), opaque, layer("y", "2")], plain)]);
    assert_eq!(store.store.lower_dirs(&store.store.find("a:1").unwrap()).unwrap().len(), 2);
}

#[test]
fn lists_are_newest_first() {
    let mut old = app("old:1");
    old.config = String::from_utf8(old.config).unwrap().replace("2024", "1999").into_bytes();
    let store = with(&[old, app("new:1")]);
    let names: Vec<_> = store.store.list().unwrap().iter().flat_map(|image| image.names.clone()).collect();
    assert_eq!(names, ["new:1", "old:1"]);
}
