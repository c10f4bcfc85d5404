//! Containers that start and stop for a long time leave the engine as big as it was.

use std::{collections::HashMap, fs};

use bollard::{
    Docker,
    models::{ContainerCreateBody, HostConfig, PortBinding},
    query_parameters::{
        CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
        WaitContainerOptions,
    },
};
use futures_util::StreamExt;
use minke_testkit::{Holdings, Host};

/// Cycles in an ordinary run; `MINKE_TEST_CYCLES` says another number.
const CYCLES: usize = 200;
/// Cycles until everything that is made once has been made.
const FIRST: usize = 40;
/// Growth of the engine's own memory in KiB that the allocator may cause whatever the number of cycles.
const NOISE: u64 = 4 << 10;

/// How big an engine is.
struct Size {
    descriptors: usize,
    threads: usize,
    memory: u64,
    holdings: Holdings,
}

impl Size {
    /// When nothing runs any more.
    fn of(host: &Host) -> Self {
        host.until("the last one is gone", || {
            let holdings = host.holdings();
            holdings.supervisors == 0 && holdings.cgroups.is_empty() && holdings.sockets.is_empty()
        });
        let process = format!("/proc/{}", host.daemon_pid());
        let count = |folder: &str| fs::read_dir(format!("{process}/{folder}")).expect("it runs").count();
        let status = fs::read_to_string(format!("{process}/status")).expect("it runs");
        let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a size");
        Self {
            descriptors: count("fd"),
            threads: count("task"),
            memory: memory.trim().trim_end_matches(" kB").parse().expect("a number"),
            holdings: host.holdings(),
        }
    }
}

fn body(cmd: &[&str]) -> ContainerCreateBody {
    let port = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None };
    ContainerCreateBody {
        image: Some("busybox".to_owned()),
        cmd: Some(cmd.iter().map(|&word| word.to_owned()).collect()),
        host_config: Some(HostConfig {
            binds: Some(vec!["/data".to_owned()]),
            port_bindings: Some(HashMap::from([("80/tcp".to_owned(), Some(vec![port]))])),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

async fn create(docker: &Docker, name: &str, cmd: &[&str]) {
    let options = CreateContainerOptionsBuilder::new().name(name).build();
    docker.create_container(Some(options), body(cmd)).await.expect("created");
}

/// One container is started and stopped, and another one lives its whole life.
async fn cycle(docker: &Docker) {
    docker.start_container("lasting", None).await.expect("started");
    create(docker, "brief", &["true"]).await;
    docker.start_container("brief", None).await.expect("started");
    let ended = docker.wait_container("brief", None::<WaitContainerOptions>).next().await;
    assert!(matches!(ended, Some(Ok(answer)) if answer.status_code == 0));
    let options = RemoveContainerOptionsBuilder::new().v(true).build();
    docker.remove_container("brief", Some(options)).await.expect("removed");
    let options = StopContainerOptionsBuilder::new().t(0).build();
    docker.stop_container("lasting", Some(options)).await.expect("stopped");
}

#[test]
fn cycles_of_start_and_stop_leave_no_growth() {
    let cycles = std::env::var("MINKE_TEST_CYCLES").ok().filter(|text| !text.is_empty());
    let cycles = cycles.map_or(CYCLES, |text| text.parse().expect("MINKE_TEST_CYCLES is a number"));
    let host = Host::with_busybox();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let run = |count: usize| {
        runtime.block_on(async {
            let docker = Docker::connect_with_unix(&host.endpoint(), 60, bollard::API_DEFAULT_VERSION);
            let docker = docker.expect("a socket").negotiate_version().await.expect("an engine");
            for _ in 0..count {
                cycle(&docker).await;
            }
        });
    };
    let _ = host
        .docker([
            "create",
            "--name",
            "lasting",
            "-p",
            "127.0.0.1::80",
            "-v",
            "/data",
            "busybox",
            "sleep",
            "600",
        ])
        .ok();
    run(FIRST);
    // Nothing runs: the kernel takes the last namespace's links in its own time.
    host.until("the links are gone", || host.holdings().links == 0);
    let before = Size::of(&host);
    run(cycles);
    let mut after = Size::of(&host);
    // The last connections close, and the kernel takes the last namespace's links.
    for _ in 0..500 {
        if after.descriptors <= before.descriptors && after.holdings == before.holdings {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        after = Size::of(&host);
    }
    assert_eq!(after.holdings, before.holdings, "the engine holds what it held");
    assert!(
        after.descriptors <= before.descriptors,
        "{} descriptors, then {}",
        before.descriptors,
        after.descriptors
    );
    assert!(after.threads <= before.threads + 16, "{} threads, then {}", before.threads, after.threads);
    let (was, is) = (before.memory, after.memory);
    eprintln!("{cycles} cycles: {was} KiB, then {is} KiB; {} descriptors", after.descriptors);
    assert!(is <= was + NOISE, "{cycles} cycles took the engine from {was} KiB to {is} KiB");
    host.expect_nothing_left();
}
