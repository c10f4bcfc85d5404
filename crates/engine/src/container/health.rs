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
        let time = |name: &str, value: Option<i64>, default: u64| match value.unwrap_or(0) {
            0 => Ok(Duration::from_secs(default)),
            value if value >= 1_000_000 => Ok(Duration::from_nanos(value.unsigned_abs())),
            _ => Err(Error::invalid(format!("{name} in Healthcheck cannot be less than 1ms"))),
        };
        // Whatever the form is: an image's test may be inherited with times of the container's own.
        let interval = time("Interval", config.interval, 30)?;
        let timeout = time("Timeout", config.timeout, 30)?;
        if config.retries.unwrap_or(0) < 0 {
            return Err(Error::invalid("Retries in Healthcheck cannot be negative"));
        }
        let start_period = time("StartPeriod", config.start_period, 0)?;
        let start_interval = time("StartInterval", config.start_interval, 5)?;
        let test = config.test.clone().unwrap_or_default();
        let command = match test.split_first() {
            None => return Ok(None),
            Some((kind, _)) if kind == "NONE" => return Ok(None),
            Some((kind, command)) if kind == "CMD" && !command.is_empty() => command.to_vec(),
            Some((kind, words)) if kind == "CMD-SHELL" && !words.is_empty() => {
                let default = ["/bin/sh".to_owned(), "-c".to_owned()];
                let mut command = shell.filter(|shell| !shell.is_empty()).unwrap_or(&default).to_vec();
                command.extend_from_slice(words);
                command
            }
            _ => {
                return Err(Error::invalid(format!(
                    "invalid health check {test:?}: want NONE, CMD or CMD-SHELL"
                )));
            }
        };
        Ok(Some(Self {
            command,
            interval,
            timeout,
            start_period,
            start_interval,
            retries: config.retries.filter(|retries| *retries > 0).unwrap_or(3),
        }))
    }

    /// Whether a container that has run for so long is still in its start period.
    fn is_in_start_period(&self, ran: Duration) -> bool {
        ran < self.start_period
    }

    /// How long to wait before the next check.
    fn pause(&self, ran: Duration, is_starting: bool) -> Duration {
        if is_starting && self.is_in_start_period(ran) { self.start_interval } else { self.interval }
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
        inner.counts.health_checked(report.result.exit_code == Some(0));
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
    // It may have been started by another engine.
    let earlier = time_text::since(&container.run().started_at).unwrap_or_default();
    let began = Instant::now();
    let ran = || earlier + began.elapsed();
    loop {
        let starting =
            container.run().health.is_some_and(|health| health.status == HealthStatusEnum::STARTING);
        tokio::time::sleep(spec.pause(ran(), starting)).await;
        if container.phase() == Phase::Paused {
            continue;
        }
        let in_start_period = spec.is_in_start_period(ran());
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
        let began = std::time::Instant::now();
        let engine = self.engine.upgrade();
        let engine = engine.ok_or_else(|| Error::conflict("the engine is closing"))?;
        let id = random::hex_id()?;
        let process: Process = exec::process_for(&engine, &self.container, &self.spec.command).await?;
        engine.exec_event(&self.container, &exec::told("exec_create", &self.spec.command), &id, None);
        drop(engine);
        let streams = Streams { stdin: false, stdout: true, stderr: true };
        let failed = |error: minke_supervisor::CallError| Error::internal("run the health check", &error);
        let started = self.supervisor.exec(&id, process, streams, false).await.map_err(failed)?;
        if let Some(engine) = self.engine.upgrade() {
            engine.exec_event(&self.container, &exec::told("exec_start", &self.spec.command), &id, None);
            engine.counts.health_check_starts().since(began);
        }
        let ended = |code: i64| {
            if let Some(engine) = self.engine.upgrade() {
                engine.exec_event(&self.container, "exec_die", &id, Some(code));
            }
        };
        let mut output = Output::default();
        let target = Target::Exec(id.clone());
        let done = tokio::time::timeout(self.spec.timeout, async {
            if let Some(stream) = started.stream {
                collect(stream, &mut output).await;
            }
            self.supervisor.wait(target.clone()).await
        });
        match done.await {
            Ok(Ok(exit)) => {
                ended(exit.exit_code.into());
                Ok((exit.exit_code.into(), output.text()))
            }
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => {
                let _ = self.supervisor.signal(target, SIGKILL).await;
                ended(128 + i64::from(SIGKILL));
                Ok((-1, out_of_time(self.spec.timeout, &output.text())))
            }
        }
    }
}

/// What a check has written, as much as is kept of it.
#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    cut: bool,
}

impl Output {
    fn add(&mut self, text: &[u8]) {
        let room = OUTPUT - self.bytes.len();
        self.cut |= text.len() > room;
        self.bytes.extend_from_slice(&text[..text.len().min(room)]);
    }

    /// Docker's sign of an output that was longer follows it.
    fn text(&self) -> String {
        let dots = if self.cut { "..." } else { "" };
        format!("{}{dots}", String::from_utf8_lossy(&self.bytes))
    }
}

/// Docker's words about a check that took too long, with what it wrote until then.
fn out_of_time(timeout: Duration, output: &str) -> String {
    let text = format!("Health check exceeded timeout ({})", time_text::go_duration(timeout));
    if output.is_empty() { text } else { format!("{text}: {output}") }
}

async fn collect(mut stream: tokio::net::UnixStream, output: &mut Output) {
    let (mut splitter, mut buffer) = (Splitter::default(), vec![0; 4096]);
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        splitter.feed(&buffer[..count], |text| output.add(text));
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
    fn a_shells_check_may_have_arguments() {
        let parsed = spec(r#"{"Test":["CMD-SHELL","echo $0","x"]}"#).unwrap().unwrap();
        assert_eq!(parsed.command, ["/bin/sh", "-c", "echo $0", "x"]);
        assert!(spec(r#"{"Test":["CMD-SHELL"]}"#).is_err());
    }

    #[test]
    fn the_start_interval_holds_until_the_start_period_is_over_or_a_check_succeeds() {
        let json = r#"{"Test":["CMD","x"],"Interval":1000000000,"StartPeriod":10000000000}"#;
        let spec = spec(json).unwrap().unwrap();
        let pause = |seconds, starting| spec.pause(Duration::from_secs(seconds), starting).as_secs();
        // Docker's default of five seconds, although the interval is shorter.
        assert_eq!([pause(0, true), pause(9, true), pause(9, false), pause(10, true)], [5, 5, 1, 1]);
    }

    #[test]
    fn long_outputs_are_cut_and_a_timeout_is_told_with_the_output() {
        let mut output = Output::default();
        output.add(&[b'x'; OUTPUT]);
        assert_eq!(output.text().len(), OUTPUT);
        output.add(b"y");
        assert!(output.text().ends_with("x...") && output.text().len() == OUTPUT + 3);
        let told = |millis, output| out_of_time(Duration::from_millis(millis), output);
        assert_eq!(told(1500, ""), "Health check exceeded timeout (1.5s)");
        assert_eq!(told(90_000, "busy"), "Health check exceeded timeout (1m30s): busy");
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
