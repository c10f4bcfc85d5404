//! Debian's Prometheus, in a host's network.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{Host, Run};

/// Where it listens, in the network namespace of its host.
const ADDRESS: &str = "127.0.0.1:9090";

/// A Prometheus server.
pub struct Prometheus<'a> {
    host: &'a Host,
    child: Child,
}

impl<'a> Prometheus<'a> {
    /// Starts one with this configuration.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(host: &'a Host, config: &str) -> Self {
        let file = host.path("prometheus.yml");
        std::fs::write(&file, config).expect("a configuration can be written");
        let log = std::fs::File::create(host.path("prometheus.log")).expect("a log file");
        let mut command = Command::new(program("prometheus"));
        command.arg("--config.file").arg(file);
        command.arg("--storage.tsdb.path").arg(host.path("prometheus"));
        command.args(["--web.listen-address", ADDRESS, "--log.level", "warn"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("dup")).stderr(log);
        let child = host.netns().enter(move || command.spawn()).expect("Prometheus starts");
        Self { host, child }
    }

    /// The `data` of what its API answers at this path; `Null` as long as it doesn't.
    fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let url = format!("http://{ADDRESS}/api/v1/{path}");
        let mut args = vec!["-sS".to_owned(), "-G".to_owned(), url];
        for (name, value) in parameters {
            args.extend(["--data-urlencode".to_owned(), format!("{name}={value}")]);
        }
        let answer = Run::new("curl", args).within(self.host.netns()).run();
        let mut answer: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
        answer["data"].take()
    }

    /// The value and the labels of each series that this expression gives now.
    fn query(&self, expression: &str) -> Vec<(f64, Value)> {
        let mut data = self.api("query", &[("query", expression)]);
        let series = data["result"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let value = |series: &Value| series["value"][1].as_str().and_then(|number| number.parse().ok());
        series.into_iter().map(|mut one| (value(&one).unwrap_or(f64::NAN), one["metric"].take())).collect()
    }

    /// Waits until this expression gives a series.
    ///
    /// # Panics
    /// When it doesn't within a minute.
    pub fn expect(&self, expression: &str) -> (f64, Value) {
        let mut found = Vec::new();
        self.until(expression, |this| {
            found = this.query(expression);
            !found.is_empty()
        });
        found.swap_remove(0)
    }

    /// Waits until it scrapes so many targets.
    ///
    /// # Panics
    /// When it doesn't within a minute.
    pub fn expect_targets(&self, count: usize) {
        self.until(&format!("{count} targets"), |this| {
            let data = this.api("targets", &[("state", "active")]);
            data["activeTargets"].as_array().map(Vec::len) == Some(count)
        });
    }

    /// It tells itself about new targets every five seconds only.
    fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !done(self) {
            let log = || std::fs::read_to_string(self.host.path("prometheus.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{what}: not within a minute; Prometheus said:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// What Prometheus' own checker complains about in a page of metrics, or why it can't read it.
///
/// # Panics
/// When `scripts/setup test` has not fetched it.
pub fn check_metrics(page: &str) -> String {
    Run::new(program("promtool"), ["check", "metrics"]).input(page).run().stderr
}

fn program(name: &str) -> PathBuf {
    let home = std::env::home_dir().unwrap_or_default();
    let path = home.join(".cache/minke/tools/prometheus/usr/bin").join(name);
    assert!(path.is_file(), "{name} is missing: run scripts/setup test");
    path
}

impl Drop for Prometheus<'_> {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}
