//! `--metrics-addr`: what the engine tells Prometheus, and that Prometheus understands it.

use std::io::Write;

use minke_testkit::{Host, Prometheus, Run, check_metrics};

const LISTEN: [&str; 2] = ["--metrics-addr", "127.0.0.1:9323"];

/// A host whose engine offers metrics, with a web server that offers its own.
fn host_with_web() -> Host {
    let host = Host::start_with(&LISTEN);
    host.import("busybox", minke_testkit::Rootfs::busybox());
    let serve = "mkdir /www; echo demo_ready 1 >/www/metrics; exec httpd -f -p 80 -h /www";
    let options = [
        ["--name", "web"],
        ["--expose", "80"],
        ["--label", "com.example.tier=\"front\"\n\\"],
        ["--memory", "64m"],
        ["--cpus", "0.5"],
        ["--pids-limit", "50"],
        ["--health-cmd", "test -e /www/metrics"],
        ["--health-interval", "100ms"],
    ];
    let words = [&["run", "-d"], options.as_flattened(), &["busybox", "sh", "-c", serve]].concat();
    let words: [&str; 22] = words.try_into().expect("two and sixteen and four words");
    let _ = host.docker(words).ok();
    host
}

fn curl(host: &Host, args: &[&str]) -> String {
    let words = ["-sS"].iter().chain(args).copied();
    Run::new("curl", words).within(host.netns()).ok()
}

fn page(host: &Host) -> String {
    curl(host, &["http://127.0.0.1:9323/metrics"])
}

/// The number of the series whose name and labels the line contains.
fn number(page: &str, parts: &[&str]) -> Option<f64> {
    let line =
        page.lines().find(|line| !line.starts_with('#') && parts.iter().all(|part| line.contains(part)))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[test]
fn the_engine_and_its_containers_are_on_one_page() {
    let host = host_with_web();
    host.until("the health check", || {
        page(&host).contains("container_health_state{") && {
            number(&page(&host), &["container_health_state{", "name=\"web\""]) == Some(1.0)
        }
    });
    let shown = page(&host);
    let of_web = |name: &str, label: &str| number(&shown, &[&format!("{name}{{"), "name=\"web\"", label]);
    assert!(shown.contains("container_label_com_example_tier=\"\\\"front\\\"\\n\\\\\""), "{shown}");
    assert_eq!(of_web("container_spec_memory_limit_bytes", "image=\"busybox\""), Some(67_108_864.0));
    assert_eq!(of_web("container_spec_cpu_quota", ""), Some(50_000.0));
    assert_eq!(of_web("container_threads_max", ""), Some(50.0));
    assert_eq!(of_web("container_health_status", "status=\"healthy\""), Some(1.0));
    assert_eq!(of_web("container_restarts_total", ""), Some(0.0));
    for (name, label) in [
        ("container_memory_usage_bytes", ""),
        ("container_memory_working_set_bytes", ""),
        ("container_threads", ""),
        ("container_start_time_seconds", ""),
        ("container_last_seen", ""),
    ] {
        assert!(of_web(name, label).is_some_and(|number| number > 0.0), "{name}:\n{shown}");
    }
    // It may not have run on each of them.
    let on_processors = shown.lines().filter(|line| {
        line.starts_with("container_cpu_usage_seconds_total{")
            && line.contains("name=\"web\"")
            && line.contains("cpu=")
    });
    let used = on_processors.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>();
    assert!(used > 0.0, "{shown}");
    assert!(of_web("container_network_receive_bytes_total", "interface=\"eth0\"").is_some(), "{shown}");
    let running = ["engine_daemon_container_states_containers", "running"];
    assert_eq!(number(&shown, &running), Some(1.0));
    let started = ["engine_daemon_container_actions_seconds_count", "start"];
    assert_eq!(number(&shown, &started), Some(1.0));
    assert!(number(&shown, &["engine_daemon_health_checks_total"]).is_some_and(|count| count >= 1.0));
    assert!(number(&shown, &["process_resident_memory_bytes"]).is_some_and(|bytes| bytes > 1e6));

    // Debian's own checker has one complaint: a name that is Docker's.
    let complaint =
        "engine_daemon_events_subscribers_total non-counter metrics should not have \"_total\" suffix";
    assert_eq!(check_metrics(&format!("{shown}\n")).trim(), complaint);

    let _ = host.docker(["stop", "web"]).ok();
    let shown = page(&host);
    assert_eq!(number(&shown, &["container_last_seen", "name=\"web\""]), None, "it runs no more");
    assert_eq!(number(&shown, &["engine_daemon_container_states_containers", "stopped"]), Some(1.0));
    host.expect_nothing_left();
}

#[test]
fn open_metrics_is_for_who_asks_and_there_is_nothing_else() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(br#"{"metrics-addr": "127.0.0.1:9323"}"#).expect("a file can be written");
    let host = Host::start_with(&["--config-file", &file.path().display().to_string()]);
    let url = "http://127.0.0.1:9323/metrics";
    let open = curl(&host, &["-i", "-H", "Accept: application/openmetrics-text; version=1.0.0", url]);
    assert!(
        open.to_lowercase().contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{open}"
    );
    assert!(open.contains("# TYPE engine_daemon_events counter") && open.ends_with("# EOF"), "{open}");
    let plain = curl(&host, &["-i", url]);
    assert!(plain.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{plain}");
    assert!(plain.contains("# TYPE engine_daemon_events_total counter"), "{plain}");
    let status = ["-o", "/dev/null", "-w", "%{http_code}"];
    let asked = |args: &[&str]| curl(&host, &[&status, args].concat());
    assert_eq!(asked(&["http://127.0.0.1:9323/info"]), "404");
    assert_eq!(asked(&["-X", "POST", url]), "405");
    assert_eq!(asked(&["-I", url]), "200");
    let socket = host.path("docker.sock").display().to_string();
    assert_eq!(asked(&["--unix-socket", &socket, "http://minke/metrics"]), "404", "as in Docker");
    host.expect_nothing_left();
}

#[test]
fn being_watched_does_not_keep_an_idle_engine() {
    let host = Host::start_with(&[&LISTEN[..], &["--leave-when-idle=1"]].concat());
    let scrape = || Run::new("curl", ["-sf", "http://127.0.0.1:9323/metrics"]).within(host.netns()).run();
    assert_eq!(scrape().code, Some(0));
    host.until("it leaves", || scrape().code != Some(0));
    host.expect_nothing_left();
}

#[test]
fn prometheus_scrapes_the_engine_and_finds_containers_by_its_socket() {
    let host = host_with_web();
    let endpoint = host.endpoint();
    let prometheus = Prometheus::start(
        &host,
        &format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n\
             scrape_configs:\n\
             - job_name: engine\n  \
               static_configs: [{{targets: ['127.0.0.1:9323']}}]\n\
             - job_name: containers\n  \
               docker_sd_configs: [{{host: '{endpoint}', refresh_interval: 200ms}}]\n  \
               relabel_configs:\n  \
               - {{source_labels: [__meta_docker_container_name], regex: '/(.*)', target_label: container}}\n  \
               - {{source_labels: [__meta_docker_container_label_com_example_tier], regex: '(?s)(.*)', target_label: tier}}\n  \
               - {{source_labels: [__meta_docker_network_name], target_label: network}}\n"
        ),
    );
    assert_eq!(prometheus.expect("up{job='engine'} == 1").0, 1.0);
    let (limit, labels) = prometheus.expect("container_spec_memory_limit_bytes{name='web'}");
    assert_eq!(limit, 67_108_864.0);
    assert_eq!(labels["container_label_com_example_tier"], "\"front\"\n\\");
    assert!(prometheus.expect("container_memory_usage_bytes{name='web'}").0 > 0.0);
    let _ = prometheus.expect("rate(container_cpu_usage_seconds_total{name='web'}[1m]) >= 0");
    let _ = prometheus.expect(
        "histogram_quantile(0.9, engine_daemon_container_actions_seconds_bucket{action='start'}) > 0",
    );
    assert_eq!(prometheus.expect("engine_daemon_container_states_containers{state='running'}").0, 1.0);

    let (_, labels) = prometheus.expect("demo_ready{job='containers'} == 1");
    assert_eq!((&labels["container"], &labels["network"]), (&"web".into(), &"bridge".into()));
    assert_eq!(labels["tier"], "\"front\"\n\\");
    assert!(labels["instance"].as_str().is_some_and(|address| address.ends_with(":80")), "{labels}");
    prometheus.expect_targets(2);

    let _ = host.docker(["rm", "-f", "web"]).ok();
    prometheus.expect_targets(1);
    drop(prometheus);
    host.expect_nothing_left();
}
