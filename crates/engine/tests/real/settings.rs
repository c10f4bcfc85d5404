//! What Config and HostConfig do inside the container.

use minke_engine::*;

use crate::harness::with_engine;

fn list(items: &[&str]) -> Option<Vec<String>> {
    Some(items.iter().map(|item| (*item).to_owned()).collect())
}

#[test]
fn user_directory_variables_and_host_name() {
    with_engine(async |test| {
        let (_, output) = test
            .run("id -u; id -G; pwd; echo $A $HOME $HOSTNAME; hostname", |body, host| {
                body.user = Some("alice".into());
                body.working_dir = Some("/new/place".into());
                body.env = list(&["A=b"]);
                body.hostname = Some("box".into());
                host.group_add = list(&["33"]);
            })
            .await;
        assert_eq!(output, "1000\n1000 29 33\n/new/place\nb /home box\nbox\n");
    });
}

#[test]
fn limits_reach_the_kernel() {
    with_engine(async |test| {
        let script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us; ulimit -n; df -m /dev/shm | tail -1";
        let (_, output) = test
            .run(script, |_, host| {
                host.memory = Some(32 << 20);
                host.pids_limit = Some(20);
                host.nano_cpus = Some(500_000_000);
                host.shm_size = Some(4 << 20);
                host.ulimits = serde_json::from_str(r#"[{"Name":"nofile","Soft":100,"Hard":200}]"#).unwrap();
            })
            .await;
        let lines: Vec<_> = output.lines().collect();
        assert_eq!(lines[..4], ["33554432", "20", "50000", "100"], "{output}");
        assert!(lines[4].split_whitespace().any(|word| word == "4"), "{output}");
    });
}

#[test]
fn too_much_memory_is_punished_and_told() {
    with_engine(async |test| {
        let id = test
            .start("", "dd if=/dev/zero of=/dev/null bs=100M count=1", |_, host| {
                (host.memory, host.memory_swap) = (Some(8 << 20), Some(8 << 20));
            })
            .await;
        assert_eq!(test.wait(&id).await, 137);
        assert_eq!(test.engine.inspect(&id, false).await.unwrap().state.unwrap().oom_killed, Some(true));
    });
}

#[test]
fn capabilities_seccomp_and_masks_confine() {
    with_engine(async |test| {
        let script = "grep -E 'CapBnd|NoNewPrivs|^Seccomp:' /proc/self/status | tr -d '\\t'; mount -t tmpfs x /tmp 2>/dev/null || echo no mount; \
            unshare -m true 2>/dev/null || echo no unshare; echo x 2>/dev/null > /proc/sysrq-trigger || echo no sysrq; test -s /proc/kcore || echo no kcore";
        let (_, output) = test
            .run(script, |_, host| {
                host.cap_drop = list(&["MKNOD"]);
                host.security_opt = list(&["no-new-privileges"]);
            })
            .await;
        assert_eq!(
            output,
            "CapBnd:00000000a00425fb\nNoNewPrivs:1\nSeccomp:2\nno mount\nno unshare\nno sysrq\nno kcore\n"
        );
        let (_, output) = test
            .run("mount -t tmpfs x /tmp && echo mounted; ls /dev | grep -c .", |_, host| {
                host.privileged = Some(true);
            })
            .await;
        assert!(output.starts_with("mounted\n"), "{output}");
        assert!(output.lines().nth(1).unwrap().parse::<u32>().unwrap() > 20, "{output}");
    });
}

#[test]
fn a_read_only_root_with_a_writable_place() {
    with_engine(async |test| {
        let (_, output) = test
            .run("touch /x 2>/dev/null || echo read-only; touch /scratch/y && echo writable; grep ' /scratch ' /proc/mounts", |_, host| {
                host.readonly_rootfs = Some(true);
                host.tmpfs = Some([("/scratch".to_owned(), "size=1m".to_owned())].into());
            })
            .await;
        assert!(
            output.starts_with("read-only\nwritable\n")
                && output.contains("size=1024k")
                && output.contains("noexec"),
            "{output}"
        );
    });
}

#[test]
fn a_seccomp_profile_of_ones_own_is_applied() {
    with_engine(async |test| {
        let profile = r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#;
        let (_, output) = test.run("mkdir /x 2>&1", |_, host| host.security_opt = list(&[profile])).await;
        assert!(output.contains("No space left"), "{output}");
        let error =
            test.create("", "true", |_, host| host.security_opt = list(&["seccomp={"])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidParameter);
    });
}

#[test]
fn devices_and_sysctls() {
    with_engine(async |test| {
        let (_, output) = test
            .run("head -c 3 /dev/nothing | wc -c; cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_unprivileged_port_start", |_, host| {
                host.devices = serde_json::from_str(r#"[{"PathOnHost":"/dev/zero","PathInContainer":"/dev/nothing","CgroupPermissions":"r"}]"#).unwrap();
                host.sysctls = Some([("net.core.somaxconn".to_owned(), "77".to_owned())].into());
            })
            .await;
        assert_eq!(output, "3\n77\n0\n");
    });
}

#[test]
fn limits_of_a_running_container_can_be_changed() {
    with_engine(async |test| {
        let id = test.start("", "exec sleep 1000", |_, _| {}).await;
        let body =
            serde_json::from_str(r#"{"Memory":33554432,"MemorySwap":67108864,"PidsLimit":9}"#).unwrap();
        test.engine.update(&id, body).await.unwrap();
        let stats = test.engine.stats(&id).await.unwrap();
        assert_eq!(stats.memory_stats.unwrap().limit, Some(32 << 20));
        assert_eq!(stats.pids_stats.unwrap().limit, Some(9));
        assert_eq!(
            test.engine.inspect(&id, false).await.unwrap().host_config.unwrap().memory,
            Some(32 << 20)
        );
    });
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name_and_leaves_nothing() {
    with_engine(async |test| {
        let refused = async |word: &str, json: &str| {
            let host = serde_json::from_str(json).unwrap();
            let error = test.create("", "true", |_, other| *other = host).await.unwrap_err();
            assert!(error.to_string().contains(word), "{word}: {error}");
        };
        refused("CpuCount", r#"{"CpuCount":2}"#).await;
        refused("UsernsMode", r#"{"UsernsMode":"1000"}"#).await;
        refused("gelf", r#"{"LogConfig":{"Type":"gelf"}}"#).await;
        refused("vm.swappiness", r#"{"Sysctls":{"vm.swappiness":"1"}}"#).await;
        refused("apparmor", r#"{"SecurityOpt":["apparmor=x"]}"#).await;
        refused("6MB", r#"{"Memory":1024}"#).await;
        refused("/nope", r#"{"Mounts":[{"Type":"bind","Source":"/nope","Target":"/x"}]}"#).await;
        assert!(test.list().await.is_empty());
        let left = std::fs::read_dir(test.dir.path().join("root/containers")).unwrap().count();
        assert_eq!(left, 0);
    });
}

#[test]
fn a_network_that_is_not_there_fails_the_start_and_not_the_creation() {
    with_engine(async |test| {
        let id =
            test.create("", "true", |_, host| host.network_mode = Some("blue".to_owned())).await.unwrap();
        let error = test.engine.start(&id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().ends_with("network blue not found"), "{error}");
    });
}

#[test]
fn the_engine_tells_about_itself() {
    with_engine(async |test| {
        let info = test.engine.info().await.unwrap();
        assert_eq!((info.images, info.server_version.as_deref()), (Some(1), Some("28.5.2+minke.0.0.0-test")));
        assert_eq!(test.engine.version().api_version.as_deref(), Some("1.51"));
        assert!(test.engine.disk_usage().await.unwrap().image_usage.unwrap().total_size.unwrap() > 0);
        assert_eq!(test.engine.network_list(&Filters::default(), false).await.unwrap().len(), 3);
        assert!(test.engine.is_idle_since().is_some());
        let id = test.start("", "exec sleep 1000", |_, _| {}).await;
        assert!(test.engine.is_idle_since().is_none());
        test.engine.kill(&id, "KILL").await.unwrap();
        test.wait(&id).await;
        assert!(test.engine.is_idle_since().is_some());
    });
}
