//! `docker buildx bake`: several builds at once that share a session and a folder, and builds on what others come to.

use minke_testkit::docker_cli;

use super::project::Project;

const FILE: &str = r#"
group "default" {
  targets = ["one", "two", "top"]
}
target "base" {
  dockerfile-inline = "FROM scratch\nARG WORD\nENV WORD=$WORD\nCOPY file /file\n"
  args = { WORD = "said" }
}
target "one" {
  inherits = ["base"]
  tags = ["one"]
}
target "two" {
  inherits = ["base"]
  tags = ["two"]
  args = { WORD = "other" }
}
target "top" {
  dockerfile-inline = "FROM below\nCOPY --from=below /file /again\nCOPY more /more\n"
  contexts = { below = "target:base" }
  tags = ["top"]
}
"#;

#[test]
fn targets_share_a_folder_and_are_built_on_each_other() {
    let project = Project::new();
    project.write("docker-bake.hcl", FILE);
    project.write("file", "content");
    project.write("more", "more");
    let baked = |args: &[&str]| {
        let folder = project.host.path("context").display().to_string();
        let file = format!("{folder}/docker-bake.hcl");
        let context = format!("*.context={folder}");
        let words =
            [&["buildx", "bake", "--progress", "plain", "-f", &file, "--set", &context], args].concat();
        project.host.client_words(docker_cli(), &words).env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1").run()
    };
    let _ = baked(&[]).expect_code(0);
    let look = |image: &str, of: &str| project.host.docker(["image", "inspect", "-f", of, image]).ok();
    assert!(look("one", "{{.Config.Env}}").contains("WORD=said"));
    assert!(look("two", "{{.Config.Env}}").contains("WORD=other"));
    // The environment and the layer are those of the target below, which has no name of its own.
    assert!(look("top", "{{.Config.Env}}").contains("WORD=said"));
    let layers = "{{json .RootFS.Layers}}";
    let below = look("one", layers);
    assert!(look("top", layers).starts_with(below.trim_end_matches(']')), "{}", look("top", layers));
    assert_eq!(project.host.docker(["images", "-q", "--filter", "dangling=true"]).ok(), "");
    let again = baked(&["top"]).expect_code(0);
    assert!(again.stderr.contains("CACHED"), "{again}");
    project.end(None);
}
