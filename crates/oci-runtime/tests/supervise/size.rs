//! How big and how quick a supervisor is; printed, and held to generous bounds since test builds are not optimised.

use std::time::Instant;

use minke_supervisor::Target;

use crate::bench::{eventually, memory_kib, shell};

#[tokio::test]
async fn a_supervisor_is_small_and_stays_it() {
    let container =
        shell("while read line; do echo $line; done; sleep 30").stdin(false).spawn().await.start().await;
    let pid = container.supervisor_pid();
    // It slims soon after a request; how soon depends on who else wants the processors.
    let slims = || memory_kib(pid, "VmRSS") < memory_kib(pid, "VmHWM") / 4 * 3;
    eventually("it slims", slims).await;
    let descriptors = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let (idle, open) = (memory_kib(pid, "VmRSS"), descriptors());
    for number in 0..200 {
        let id = format!("e{number}");
        container
            .supervisor
            .exec(&id, crate::bench::added("echo x"), crate::bench::OUTPUT, false)
            .await
            .unwrap();
        container.supervisor.wait(Target::Exec(id)).await.unwrap();
    }
    eventually("it is as small again", || memory_kib(pid, "VmRSS") < idle + 1024).await;
    println!(
        "supervisor: {idle} KiB resident when idle, {} KiB after 200 added processes",
        memory_kib(pid, "VmRSS")
    );
    eventually("the last connections are closed", || descriptors() <= open).await;
}

#[tokio::test]
async fn the_time_from_spawn_to_created_is_printed() {
    let mut times = Vec::new();
    for _ in 0..10 {
        let bench = shell("true");
        let begin = Instant::now();
        let container = bench.spawn().await;
        let created = begin.elapsed();
        let container = container.start().await;
        let started = begin.elapsed();
        container.wait().await;
        times.push((created, started, begin.elapsed()));
    }
    times.sort();
    let (created, started, ended) = times[times.len() / 2];
    println!("median of 10: created {created:?}, started {started:?}, ended {ended:?}");
}
