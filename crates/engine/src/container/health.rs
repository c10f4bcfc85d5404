//! Health checks: a command that runs in the container now and then and decides whether it is well (Docker,
//! "HEALTHCHECK").

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bollard_stubs::models::{HealthConfig, HealthStatusEnum, HealthcheckResult};
use minke_model::runtime_spec::Process;
use minke_supervisor::{Streams, Supervisor, Target};
use tokio::{io::AsyncReadExt, sync::mpsc, time::Instant};

use super::{Container, Phase, actor::Actor, requests::Message};
use crate::{Error, engine::Inner, exec, frames::Splitter, random, time_text};

/// Docker keeps so many results and so many bytes of output.
const KEPT: usize = 5;
const OUTPUT: usize = 4096;
const SIGKILL: i32 = 9;

/// A container's health as `inspect` shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HealthView {
    pub(crate) status: HealthStatusEnum,
    pub(crate) failing_streak: i64,
    pub(crate) log: Vec<HealthcheckResult>,
}

/// One check's result.
#[derive(Debug)]
pub(super) struct Report {
    run: u64,
    result: HealthcheckResult,
    in_start_period: bool,
}

/// A check's settings with Docker's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HealthSpec {
    command: Vec<String>,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: i64,
}

impl HealthSpec {
    /// Reads `Config.Healthcheck`; `None` when there is no check.
    ///
    /// # Errors
    /// `InvalidParameter` for an unknown form and for times below a millisecond.
    pub(super) fn parse(
        config: Option<&HealthConfig>,
        shell: Option<&[String]>,
    ) -> Result<Option<Self>, Error> {
        let Some(config) = config else { return Ok(None) };
        let test = config.test.clone().unwrap_or_default();
        let command = match test.split_first() {
            None => return Ok(None),
            Some((kind, _)) if kind == "NONE" => return Ok(None),
            Some((kind, command)) if kind == "CMD" && !command.is_empty() => command.to_vec(),
            Some((kind, [line])) if kind == "CMD-SHELL" => {
                let default = ["/bin/sh".to_owned(), "-c".to_owned()];
                let mut command = shell.filter(|shell| !shell.is_empty()).unwrap_or(&default).to_vec();
                command.push(line.clone());
                command
            }
            _ => {
                return Err(Error::invalid(format!(
                    "invalid health check {test:?}: want NONE, CMD or CMD-SHELL"
                )));
            }
        };
        let time = |name: &str, value: Option<i64>, default: u64| match value.unwrap_or(0) {
            0 => Ok(Duration::from_secs(default)),
            value if value >= 1_000_000 => Ok(Duration::from_nanos(value.unsigned_abs())),
            _ => Err(Error::invalid(format!("{name} in Healthcheck cannot be less than 1ms"))),
        };
        if config.retries.unwrap_or(0) < 0 {
            return Err(Error::invalid("Retries in Healthcheck cannot be negative"));
        }
        Ok(Some(Self {
            command,
            interval: time("Interval", config.interval, 30)?,
            timeout: time("Timeout", config.timeout, 30)?,
            start_period: time("StartPeriod", config.start_period, 0)?,
            start_interval: time("StartInterval", config.start_interval, 5)?,
            retries: config.retries.filter(|retries| *retries > 0).unwrap_or(3),
        }))
    }
}

impl HealthView {
    fn new() -> Self {
        Self { status: HealthStatusEnum::STARTING, failing_streak: 0, log: Vec::new() }
    }

    /// Takes a result in; true when the status has changed.
    fn add(&mut self, result: HealthcheckResult, retries: i64, in_start_period: bool) -> bool {
        let before = self.status;
        if result.exit_code == Some(0) {
            (self.status, self.failing_streak) = (HealthStatusEnum::HEALTHY, 0);
        } else if !(in_start_period && self.status == HealthStatusEnum::STARTING) {
            self.failing_streak += 1;
            if self.failing_streak >= retries {
                self.status = HealthStatusEnum::UNHEALTHY;
            }
        }
        self.log.push(result);
        if self.log.len() > KEPT {
            self.log.remove(0);
        }
        self.status != before
    }
}

impl Container {
    fn health_spec(&self) -> Option<HealthSpec> {
        let record = self.record();
        HealthSpec::parse(record.config.healthcheck.as_ref(), record.config.shell.as_deref()).ok().flatten()
    }
}

impl Actor {
    /// Begins to check a container that has just started, if it has a check.
    pub(super) fn start_health(&mut self, inner: &Arc<Inner>) {
        self.stop_health();
        let spec = self.container.health_spec();
        self.container.edit_run(|run| run.health = spec.as_ref().map(|_| HealthView::new()));
        let (Some(spec), Some(supervisor)) = (spec, self.container.run().supervisor) else { return };
        let checked = Checked {
            engine: Arc::downgrade(inner),
            container: Arc::clone(&self.container),
            supervisor,
            spec,
        };
        let monitor = monitor(checked, self.run, self.container.mailbox.downgrade());
        self.health = Some(tokio::spawn(monitor).abort_handle());
    }

    pub(super) fn stop_health(&mut self) {
        if let Some(task) = self.health.take() {
            task.abort();
        }
    }

    pub(super) fn health_reported(&self, inner: &Inner, report: Report) {
        let Some(spec) = self.container.health_spec().filter(|_| report.run == self.run) else { return };
        let mut changed = None;
        self.container.edit_run(|run| {
            if let Some(health) = &mut run.health
                && health.add(report.result, spec.retries, report.in_start_period)
            {
                changed = Some(health.status);
            }
        });
        if let Some(status) = changed {
            inner.container_event(&self.container, &format!("health_status: {status}"), []);
        }
    }
}

/// What is checked, and how.
struct Checked {
    engine: Weak<Inner>,
    container: Arc<Container>,
    supervisor: Supervisor,
    spec: HealthSpec,
}

async fn monitor(checked: Checked, run: u64, mailbox: mpsc::WeakUnboundedSender<Message>) {
    let (container, spec) = (&checked.container, &checked.spec);
    let began = Instant::now();
    loop {
        let starting =
            container.run().health.is_some_and(|health| health.status == HealthStatusEnum::STARTING);
        let in_start_period = began.elapsed() < spec.start_period;
        let pause =
            if starting && in_start_period { spec.start_interval.min(spec.interval) } else { spec.interval };
        tokio::time::sleep(pause).await;
        if container.phase() == Phase::Paused {
            continue;
        }
        let in_start_period = began.elapsed() < spec.start_period;
        let result = checked.check().await;
        let Some(mailbox) = mailbox.upgrade() else { return };
        if mailbox.send(Message::Health(Report { run, result, in_start_period })).is_err() {
            return;
        }
    }
}

impl Checked {
    /// Runs the check once.
    async fn check(&self) -> HealthcheckResult {
        let start = time_text::now();
        let (exit_code, output) = match self.run().await {
            Ok(done) => done,
            Err(error) => (-1, error.to_string()),
        };
        let end = time_text::now();
        HealthcheckResult {
            start: Some(start),
            end: Some(end),
            exit_code: Some(exit_code),
            output: Some(output),
        }
    }

    async fn run(&self) -> Result<(i64, String), Error> {
        let engine = self.engine.upgrade();
        let engine = engine.ok_or_else(|| Error::conflict("the engine is closing"))?;
        let id = random::hex_id()?;
        let process: Process = exec::process_for(&engine, &self.container, &self.spec.command).await?;
        drop(engine);
        let streams = Streams { stdin: false, stdout: true, stderr: true };
        let failed = |error: minke_supervisor::CallError| Error::internal("run the health check", &error);
        let started = self.supervisor.exec(&id, process, streams, false).await.map_err(failed)?;
        let mut output = Vec::new();
        let target = Target::Exec(id);
        let done = tokio::time::timeout(self.spec.timeout, async {
            if let Some(stream) = started.stream {
                collect(stream, &mut output).await;
            }
            self.supervisor.wait(target.clone()).await
        });
        match done.await {
            Ok(Ok(exit)) => Ok((exit.exit_code.into(), String::from_utf8_lossy(&output).into_owned())),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => {
                let _ = self.supervisor.signal(target, SIGKILL).await;
                Ok((-1, format!("Health check exceeded timeout ({:?})", self.spec.timeout)))
            }
        }
    }
}

async fn collect(mut stream: tokio::net::UnixStream, output: &mut Vec<u8>) {
    let (mut splitter, mut buffer) = (Splitter::default(), vec![0; 4096]);
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        splitter.feed(&buffer[..count], |text| {
            let room = OUTPUT.saturating_sub(output.len());
            output.extend_from_slice(&text[..text.len().min(room)]);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> Result<Option<HealthSpec>, Error> {
        HealthSpec::parse(Some(&serde_json::from_str(json).unwrap()), None)
    }

    fn result(exit_code: i64) -> HealthcheckResult {
        HealthcheckResult { exit_code: Some(exit_code), ..HealthcheckResult::default() }
    }

    #[test]
    fn checks_have_dockers_forms_and_defaults() {
        let parsed = spec(r#"{"Test":["CMD-SHELL","exit 0"]}"#).unwrap().unwrap();
        assert_eq!(parsed.command, ["/bin/sh", "-c", "exit 0"]);
        assert_eq!(
            (parsed.interval, parsed.timeout, parsed.retries),
            (Duration::from_secs(30), Duration::from_secs(30), 3)
        );
        assert_eq!(spec(r#"{"Test":["NONE"]}"#).unwrap(), None);
        assert!(spec(r#"{"Test":["WHAT"]}"#).is_err());
        assert!(spec(r#"{"Test":["CMD","x"],"Interval":5}"#).unwrap_err().to_string().contains("1ms"));
    }

    #[test]
    fn failures_count_after_the_start_period_and_success_forgives() {
        let mut health = HealthView::new();
        assert!(!health.add(result(1), 2, true));
        assert_eq!(health.failing_streak, 0);
        assert!(!health.add(result(1), 2, false));
        assert!(health.add(result(1), 2, false));
        assert_eq!(health.status, HealthStatusEnum::UNHEALTHY);
        assert!(health.add(result(0), 2, false));
        assert_eq!((health.status, health.failing_streak), (HealthStatusEnum::HEALTHY, 0));
        (0..9).for_each(|_| {
            health.add(result(0), 2, false);
        });
        assert_eq!(health.log.len(), KEPT);
    }
}
