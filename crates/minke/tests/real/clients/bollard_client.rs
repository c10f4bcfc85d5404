//! bollard, the client library for Rust.

use std::{collections::HashMap, future::Future};

use ::bollard::{
    Docker, body_full,
    container::LogOutput,
    errors::Error,
    exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults},
    models::{ContainerCreateBody, HostConfig, VolumeCreateRequest},
    query_parameters::*,
};
use futures_util::{Stream, StreamExt, TryStreamExt};
use minke_testkit::{Host, Registry, RegistryKind, Rootfs};
use tokio::io::AsyncWriteExt;

/// Runs a test with a client of a host's engine.
fn with_client<F: Future<Output = ()>>(test: impl FnOnce(Docker, Host) -> F) {
    let host = Host::with_busybox();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let socket = host.endpoint();
    runtime.block_on(async {
        let newest = Docker::connect_with_unix(&socket, 60, ::bollard::API_DEFAULT_VERSION);
        let docker = newest.expect("a socket").negotiate_version().await.expect("a version that both speak");
        test(docker, host).await;
    });
}

fn body(cmd: &[&str]) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some("busybox".to_owned()),
        cmd: Some(cmd.iter().map(|&word| word.to_owned()).collect()),
        ..ContainerCreateBody::default()
    }
}

async fn create(docker: &Docker, name: &str, body: ContainerCreateBody) {
    let options = CreateContainerOptionsBuilder::new().name(name).build();
    docker.create_container(Some(options), body).await.expect("created");
}

async fn start(docker: &Docker, name: &str, body: ContainerCreateBody) {
    create(docker, name, body).await;
    docker.start_container(name, None).await.expect("started");
}

/// The exit code, which bollard tells as an error unless it is 0.
async fn exit_code(docker: &Docker, name: &str) -> i64 {
    let outcome = docker.wait_container(name, None::<WaitContainerOptions>).try_next().await;
    match outcome {
        Ok(answer) => answer.expect("an answer").status_code,
        Err(Error::DockerContainerWaitError { code, .. }) => code,
        Err(error) => panic!("{error}"),
    }
}

/// Standard output, standard error and a terminal's, each as text.
async fn outputs(stream: impl Stream<Item = Result<LogOutput, Error>>) -> [String; 3] {
    let mut texts = [const { String::new() }; 3];
    let mut stream = std::pin::pin!(stream);
    while let Some(output) = stream.next().await {
        let output = output.expect("whole frames");
        let index = match output {
            LogOutput::StdOut { .. } => 0,
            LogOutput::StdErr { .. } => 1,
            _ => 2,
        };
        texts[index].push_str(&output.to_string());
    }
    texts
}

fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

fn filters(name: &str, value: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([(name.to_owned(), vec![value.to_owned()])])
}

#[test]
fn containers_live_and_end() {
    with_client(async |docker, host| {
        start(&docker, "box", body(&["sh", "-c", "echo out; echo err >&2; exit 5"])).await;
        assert_eq!(exit_code(&docker, "box").await, 5);
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
        assert_eq!(outputs(docker.logs("box", Some(options))).await, ["out\n", "err\n", ""]);
        docker.remove_container("box", None).await.expect("removed");
        let gone = docker.inspect_container("box", None::<InspectContainerOptions>).await.unwrap_err();
        assert_eq!(status(&gone), Some(404));

        start(&docker, "idle", body(&["sleep", "600"])).await;
        docker.pause_container("idle").await.expect("paused");
        docker.unpause_container("idle").await.expect("goes on");
        let name = RenameContainerOptionsBuilder::new().name("other").build();
        docker.rename_container("idle", name).await.expect("renamed");
        let options = ListContainersOptionsBuilder::new().filters(&filters("name", "other")).build();
        let listed = docker.list_containers(Some(options)).await.expect("a list");
        assert_eq!(listed[0].names.as_deref(), Some(&["/other".to_owned()][..]));
        let top = docker.top_processes("other", None::<TopOptions>).await.expect("its processes");
        assert!(top.processes.expect("a list")[0].contains(&"sleep 600".to_owned()));
        let stats = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let stats = docker.stats("other", Some(stats)).try_next().await.expect("stats").expect("one");
        assert_eq!(stats.pids_stats.and_then(|pids| pids.current), Some(1));
        docker.kill_container("other", None::<KillContainerOptions>).await.expect("killed");
        // As with Docker the end is known when the kill is answered.
        docker.remove_container("other", None).await.expect("removed");
        host.expect_nothing_left();
    });
}

#[test]
fn streams_flow_both_ways() {
    with_client(async |docker, host| {
        let reads = ContainerCreateBody {
            open_stdin: Some(true),
            stdin_once: Some(true),
            ..body(&["sh", "-c", "cat; echo done >&2"])
        };
        create(&docker, "cat", reads).await;
        let options = AttachContainerOptionsBuilder::new().stream(true).stdin(true).stdout(true).stderr(true);
        let attached = docker.attach_container("cat", Some(options.build())).await.expect("attached");
        docker.start_container("cat", None).await.expect("started");
        let mut input = attached.input;
        input.write_all(b"one\ntwo\n").await.expect("it reads");
        input.shutdown().await.expect("it reads to the end");
        assert_eq!(outputs(attached.output).await, ["one\ntwo\n", "done\n", ""]);

        start(&docker, "idle", body(&["sleep", "600"])).await;
        let exec = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(vec!["sh", "-c", "echo out; echo err >&2; exit 3"]),
            ..CreateExecOptions::default()
        };
        let id = docker.create_exec("idle", exec).await.expect("prepared").id;
        let StartExecResults::Attached { output, .. } = docker.start_exec(&id, None).await.expect("started")
        else {
            panic!("it is attached")
        };
        assert_eq!(outputs(output).await, ["out\n", "err\n", ""]);
        assert_eq!(docker.inspect_exec(&id).await.expect("known").exit_code, Some(3));

        let terminal = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            tty: Some(true),
            cmd: Some(vec!["sh", "-c", "read line; stty size"]),
            ..CreateExecOptions::default()
        };
        let id = docker.create_exec("idle", terminal).await.expect("prepared").id;
        let options = StartExecOptions { tty: true, ..StartExecOptions::default() };
        let started = docker.start_exec(&id, Some(options)).await.expect("started");
        let StartExecResults::Attached { output, mut input } = started else { panic!("it is attached") };
        docker.resize_exec(&id, ResizeExecOptions { height: 20, width: 70 }).await.expect("resized");
        input.write_all(b"\n").await.expect("it reads");
        let shown = outputs(output).await.concat();
        assert!(shown.ends_with("20 70\r\n"), "{shown:?}");
        host.expect_nothing_left();
    });
}

#[test]
fn logs_are_followed_and_events_told() {
    with_client(async |docker, host| {
        let told = EventsOptionsBuilder::new().filters(&filters("container", "ticker")).build();
        let events = docker.events(Some(told));
        let seen = async {
            let actions = events.map(|event| event.expect("an event").action.expect("an action"));
            let mut until_end = std::pin::pin!(actions);
            let mut seen = Vec::new();
            while let Some(action) = until_end.next().await {
                seen.push(action);
                if seen.last().is_some_and(|last| last == "die") {
                    break;
                }
            }
            seen
        };
        let lived = async {
            start(&docker, "ticker", body(&["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done"]))
                .await;
            let options = LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).build();
            outputs(docker.logs("ticker", Some(options))).await
        };
        let (seen, said) = tokio::join!(seen, lived);
        assert_eq!(seen, ["create", "start", "die"]);
        assert_eq!(said, ["1\n2\n3\n", "", ""]);
        host.expect_nothing_left();
    });
}

#[test]
fn files_and_volumes_hold_what_was_put_in() {
    with_client(async |docker, host| {
        let volume = VolumeCreateRequest { name: Some("data".to_owned()), ..VolumeCreateRequest::default() };
        docker.create_volume(volume).await.expect("a volume");
        let with_volume = ContainerCreateBody {
            host_config: Some(HostConfig {
                binds: Some(vec!["data:/data".to_owned()]),
                ..HostConfig::default()
            }),
            ..body(&["sleep", "600"])
        };
        start(&docker, "box", with_volume).await;
        let tar = Rootfs::empty().add("file", 0o644, minke_testkit::Entry::File(b"content")).tar();
        let options = UploadToContainerOptionsBuilder::new().path("/data").build();
        docker.upload_to_container("box", Some(options), body_full(tar.into())).await.expect("copied in");
        let options = DownloadFromContainerOptionsBuilder::new().path("/data/file").build();
        let chunks: Vec<_> =
            docker.download_from_container("box", Some(options)).try_collect().await.expect("copied out");
        assert!(chunks.concat().windows(7).any(|bytes| bytes == b"content"));
        let busy = docker.remove_volume("data", None::<RemoveVolumeOptions>).await.unwrap_err();
        assert_eq!(status(&busy), Some(409));
        let force = RemoveContainerOptionsBuilder::new().force(true).build();
        docker.remove_container("box", Some(force)).await.expect("removed");
        docker.remove_volume("data", None::<RemoveVolumeOptions>).await.expect("removed");
        host.expect_nothing_left();
    });
}

#[test]
fn images_travel() {
    with_client(async |docker, host| {
        let registry = Registry::start(&host, RegistryKind::Minke);
        let name = registry.name("travels");
        let tag = TagImageOptionsBuilder::new().repo(&name).tag("1").build();
        docker.tag_image("busybox", Some(tag)).await.expect("named");
        let push = PushImageOptionsBuilder::new().tag("1").build();
        let _: Vec<_> = docker.push_image(&name, Some(push), None).try_collect().await.expect("pushed");
        let full = format!("{name}:1");
        let archive: Vec<_> = docker.export_image(&full).try_collect().await.expect("saved");
        docker.remove_image(&full, None::<RemoveImageOptions>, None).await.expect("removed");
        let pull = CreateImageOptionsBuilder::new().from_image(&name).tag("1").build();
        let _: Vec<_> = docker.create_image(Some(pull), None, None).try_collect().await.expect("pulled");
        let pulled = docker.inspect_image(&full).await.expect("here");
        assert_eq!(pulled.id, docker.inspect_image("busybox").await.expect("here").id);
        docker.remove_image(&full, None::<RemoveImageOptions>, None).await.expect("removed");
        let load = ImportImageOptionsBuilder::new().build();
        let loaded = docker.import_image(load, body_full(archive.concat().into()), None);
        let _: Vec<_> = loaded.try_collect().await.expect("loaded");
        docker.inspect_image(&full).await.expect("here again");
        let nothing = CreateImageOptionsBuilder::new().from_image(&registry.name("nothing")).tag("1").build();
        let missing = docker.create_image(Some(nothing), None, None).try_collect::<Vec<_>>().await;
        assert_eq!(status(&missing.unwrap_err()), Some(404));
        drop(registry);
        host.expect_nothing_left();
    });
}

#[test]
fn the_engine_says_what_it_is() {
    with_client(async |docker, host| {
        assert_eq!(docker.ping().await.expect("an answer"), "OK");
        assert_eq!(docker.version().await.expect("a version").api_version.as_deref(), Some("1.51"));
        assert_eq!(docker.info().await.expect("facts").images, Some(1));
        docker.df(None::<DataUsageOptions>).await.expect("sizes");
        let networks = docker.list_networks(None::<ListNetworksOptions>).await.expect("a list");
        assert_eq!(networks.len(), 3);
        host.expect_nothing_left();
    });
}
