//! Containers on the bridge, without a network, and on another's.

use std::{io::Read, net::TcpStream, time::Duration};

use minke_engine::*;

use crate::harness::with_engine;

fn bridge(host: &mut bollard_stubs::models::HostConfig) {
    host.network_mode = Some("bridge".into());
}

#[test]
fn a_container_without_a_network_has_only_loopback() {
    with_engine(async |test| {
        let (_, output) = test
            .run("ip -o link | cut -d: -f2; cat /etc/hostname", |body, _| {
                body.hostname = Some("lonely".into());
            })
            .await;
        let lines: Vec<_> = output.lines().map(str::trim).filter(|name| !name.ends_with("0@NONE")).collect();
        assert!(lines.contains(&"lo") && lines.contains(&"lonely") && !output.contains("eth0"), "{output}");
    });
}

#[test]
fn a_published_port_is_reached_and_free_again_after_the_end() {
    with_engine(async |test| {
        let id = test
            .start("web", "while :; do echo hello | nc -l -p 80; done", |body, host| {
                bridge(host);
                body.exposed_ports = Some(vec!["80/tcp".into()]);
                host.port_bindings =
                    serde_json::from_str(r#"{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":""}]}"#).unwrap();
            })
            .await;
        let inspect = test.engine.inspect(&id, false).await.unwrap();
        let settings = inspect.network_settings.unwrap();
        let port: u16 = settings.ports.unwrap()["80/tcp"].as_ref().unwrap()[0]
            .host_port
            .as_ref()
            .unwrap()
            .parse()
            .unwrap();
        assert!(!settings.networks.unwrap()["bridge"].ip_address.as_ref().unwrap().is_empty());
        let read = move || {
            for _ in 0..100 {
                let mut text = String::new();
                if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
                    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
                    let _ = stream.read_to_string(&mut text);
                    if text == "hello\n" {
                        return text;
                    }
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            String::new()
        };
        assert_eq!(tokio::task::spawn_blocking(read).await.unwrap(), "hello\n");
        let network = test.engine.network_inspect("bridge").await.unwrap();
        assert_eq!(network.containers.unwrap()[&id].name.as_deref(), Some("web"));
        test.engine.stop(&id, Some("KILL"), None).await.unwrap();
        // The supervisor holds the port, and it is just leaving.
        let free = || std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        let freed = async {
            while !free() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(2), freed).await.expect("the port is free");
    });
}

#[test]
fn a_container_joins_anothers_network_and_names() {
    with_engine(async |test| {
        let donor = test.start("donor", "exec sleep 1000", |_, host| bridge(host)).await;
        let (code, theirs) = test
            .run("hostname; ip -4 -o addr show eth0 | grep -c inet", |_, host| {
                host.network_mode = Some("container:donor".into());
            })
            .await;
        assert_eq!((code, theirs), (0, format!("{}\n1\n", &donor[..12])));
        test.engine.stop("donor", Some("KILL"), None).await.unwrap();
        let id = test
            .create("", "true", |_, host| host.network_mode = Some("container:donor".into()))
            .await
            .unwrap();
        assert_eq!(test.engine.start(&id).await.unwrap_err().kind(), ErrorKind::Conflict);
    });
}

#[test]
fn processes_can_be_shared() {
    with_engine(async |test| {
        test.start("donor", "exec sleep 4242", |_, host| host.ipc_mode = Some("shareable".into())).await;
        let (_, output) = test
            .run("ps; touch /dev/shm/seen", |_, host| {
                host.pid_mode = Some("container:donor".into());
                host.ipc_mode = Some("container:donor".into());
            })
            .await;
        assert!(output.contains("sleep 4242"), "{output}");
        let stat = test.engine.archive_stat("donor", "/dev/shm/seen").await;
        assert!(stat.is_ok(), "{stat:?}");
    });
}

#[test]
fn the_hosts_network_is_the_hosts() {
    with_engine(async |test| {
        let (code, output) =
            test.run("hostname; cat /etc/hosts", |_, host| host.network_mode = Some("host".into())).await;
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        assert_eq!(code, 0);
        assert!(output.starts_with(&name), "{output}");
    });
}
