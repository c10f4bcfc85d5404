//! What a start and an end cost an engine beside few containers and many, printed for whoever looks (`--no-capture`); never
//! asserted. `MINKE_TEST_CONTAINERS` says beside how many.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    models::{
        ContainerCreateBody, EndpointSettings, HostConfig, NetworkConnectRequest, NetworkDisconnectRequest,
        NetworkingConfig, PortBinding,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};
use futures_util::{StreamExt, stream};
use minke_testkit::Host;

/// Containers that come beside each other in an ordinary run.
const BESIDE: usize = 40;
/// How often something is tried.
const TIMES: usize = 20;
/// How many are made at a time.
const AT_ONCE: usize = 8;

fn docker(host: &Host) -> Docker {
    Docker::connect_with_unix(&host.endpoint(), 120, API_DEFAULT_VERSION).expect("the engine listens")
}

/// A container `NAME` that sleeps on a network, with a port published if `port` says so.
async fn create(docker: &Docker, name: &str, network: &str, port: bool) {
    let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None };
    let settings = EndpointSettings { aliases: Some(vec!["all".to_owned()]), ..EndpointSettings::default() };
    let settings = if network == "bridge" { EndpointSettings::default() } else { settings };
    let body = ContainerCreateBody {
        image: Some("busybox".to_owned()),
        cmd: Some(vec!["sleep".to_owned(), "600".to_owned()]),
        host_config: Some(HostConfig {
            network_mode: Some(network.to_owned()),
            port_bindings: port.then(|| HashMap::from([("80/tcp".to_owned(), Some(vec![binding]))])),
            ..HostConfig::default()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network.to_owned(), settings)])),
        }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::new().name(name).build();
    docker.create_container(Some(options), body).await.expect("created");
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(work)
}

/// Runs this many containers on a network, called `box0` and so on.
pub(super) fn many(host: &Host, count: usize, network: &str) {
    let docker = docker(host);
    run(more(&docker, 0..count, network));
}

async fn more(docker: &Docker, numbers: std::ops::Range<usize>, network: &str) {
    let start = |number| async move {
        let name = format!("box{number}");
        create(docker, &name, network, false).await;
        docker.start_container(&name, None).await.expect("started");
    };
    stream::iter(numbers).map(start).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

/// The time that the engine's threads have run.
fn processor_time(host: &Host) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", host.daemon_pid())).expect("it runs").flatten();
    let run = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(run.sum())
}

/// Prints what one of several took by the clock, and the engine for each.
fn told(host: &Host, what: &str, work: impl Fn(usize) -> Vec<Duration>) {
    let before = processor_time(host);
    let mut times: Vec<Duration> = (0..TIMES).flat_map(work).collect();
    let spent = (processor_time(host).saturating_sub(before)) / u32::try_from(TIMES).unwrap_or(1);
    times.sort();
    println!("{what}: median {:?}; the engine's own {spent:?}", times[times.len() / 2]);
}

#[test]
fn a_start_and_an_end_cost_the_same_beside_many() {
    let beside =
        std::env::var("MINKE_TEST_CONTAINERS").ok().and_then(|count| count.parse().ok()).unwrap_or(BESIDE);
    let host = Host::with_busybox();
    let _ = host.minke(["network", "create", "red"]).ok();
    let _ = host.minke(["network", "create", "blue"]).ok();
    let docker = docker(&host);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        create(&docker, "web", "bridge", true).await;
        create(&docker, "moving", "blue", false).await;
        docker.start_container("moving", None).await.expect("started");
    });
    let cycle = |_| {
        runtime.block_on(async {
            let begin = Instant::now();
            docker.start_container("web", None).await.expect("started");
            let options = KillContainerOptionsBuilder::new().signal("KILL").build();
            docker.kill_container("web", Some(options)).await.expect("killed");
            vec![begin.elapsed()]
        })
    };
    let connecting = |_| {
        runtime.block_on(async {
            let begin = Instant::now();
            let (container, endpoint_config) = ("moving".to_owned(), None);
            let request = NetworkConnectRequest { container, endpoint_config };
            docker.connect_network("red", request).await.expect("connected");
            let request = NetworkDisconnectRequest { container: "moving".to_owned(), force: None };
            docker.disconnect_network("red", request).await.expect("disconnected");
            vec![begin.elapsed()]
        })
    };
    let mut there = 0;
    for count in [0, beside / 3, beside] {
        runtime.block_on(more(&docker, there..count, "red"));
        there = count;
        told(&host, &format!("beside {count:4}: start and kill"), cycle);
        told(&host, &format!("beside {count:4}: connect and disconnect"), connecting);
    }
    runtime.block_on(async {
        let remove = |number| {
            let docker = &docker;
            async move {
                let options = RemoveContainerOptionsBuilder::new().force(true).build();
                docker.remove_container(&format!("box{number}"), Some(options)).await.expect("removed");
            }
        };
        stream::iter(0..there).map(remove).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    });
    host.expect_nothing_left();
}
