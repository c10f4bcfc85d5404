//! The project's own client against this server: both sides of the wire, and nothing but pipes between them.

use std::path::Path;

use minke_build_client::{
    BuildEvent, BuildOptions, Destination, Dockerfile, Files, Outcome, Output, Prepared, RunError, Secret,
    run,
};

use super::*;

/// A context with the file `a`, and a Dockerfile.
fn options(context: &Path, dockerfile: &str) -> BuildOptions {
    std::fs::write(context.join("a"), "hello").unwrap();
    std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    BuildOptions {
        context: Files::Folder(context.to_owned()),
        dockerfile: Dockerfile::File(context.join("Dockerfile")),
        secrets: vec![Secret { id: "key".into(), value: "+secret".into() }],
        ..BuildOptions::default()
    }
}

async fn built(options: BuildOptions) -> (Result<Outcome, RunError>, Vec<BuildEvent>) {
    let folder = tempfile::tempdir().unwrap();
    let builder = Arc::new(SmallBuilder::default());
    let kit = BuildKit::new(builder, EngineFacts::default(), folder.path().to_owned());
    let prepared = Prepared::new(options, None).unwrap();
    let headers = prepared.headers();
    kit.check_session(&headers).unwrap();
    let (session, far) = tokio::io::duplex(64 * 1024);
    let sessions = kit.clone();
    tokio::spawn(async move { sessions.session(headers, far).await });
    let (control, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move { kit.control(far).await });
    let (events, mut told) = mpsc::channel(1);
    let listening = async {
        let mut all = Vec::new();
        while let Some(event) = told.recv().await {
            all.push(event);
        }
        all
    };
    tokio::join!(run(prepared, control, session, events), listening)
}

#[tokio::test]
async fn a_build_has_its_files_and_secrets_and_its_result_comes_back() {
    let (context, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = out.path().join("out.tar");
    let outputs = vec![Output {
        kind: "tar".into(),
        attributes: BTreeMap::new(),
        destination: Destination::File(file.clone()),
    }];
    let options = BuildOptions { outputs, ..options(context.path(), "FROM x\nCOPY a /") };
    let (outcome, events) = built(options).await;
    assert_eq!(outcome.unwrap().image(), Some("sha256:abc"));
    assert_eq!(std::fs::read(file).unwrap(), b"hello+secret");
    let names = events.iter().filter_map(|event| match event {
        BuildEvent::Vertex(vertex) => Some(&*vertex.name),
        _ => None,
    });
    let names: Vec<_> = names.collect();
    for name in ["[internal] load build context", "[2/2] RUN it", "exporting to client tarball"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
}

#[tokio::test]
async fn a_failure_comes_with_its_lines() {
    let context = tempfile::tempdir().unwrap();
    let (outcome, _) = built(options(context.path(), "FROM x\nRUN false")).await;
    let Err(RunError::Failed(failure)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.message, "process failed");
    assert!(failure.snippets[0].shown().contains(">>> RUN false"), "{failure:?}");
}

#[tokio::test]
async fn a_question_is_answered_without_a_build() {
    let context = tempfile::tempdir().unwrap();
    let question = Some("targets".to_owned());
    let asked = BuildOptions { question, ..options(context.path(), "FROM x AS one\nRUN sleep") };
    let (outcome, _) = built(asked).await;
    let answer = outcome.unwrap().answer;
    assert!(String::from_utf8_lossy(&answer["result.json"]).contains("\"one\""));
}

#[tokio::test]
async fn an_engine_that_goes_away_ends_the_build() {
    let context = tempfile::tempdir().unwrap();
    let prepared = Prepared::new(options(context.path(), "FROM x"), None).unwrap();
    let (control, engine) = tokio::io::duplex(64 * 1024);
    let (session, _far) = tokio::io::duplex(64 * 1024);
    let (events, _told) = mpsc::channel(1);
    let building = tokio::spawn(run(prepared, control, session, events));
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    drop(engine);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), building).await;
    assert!(ended.expect("it ends").unwrap().is_err());
}
