//! One client's containers: what is asked of them, and what must be true of them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bollard::{
    Docker,
    errors::Error,
    exec::{CreateExecOptions, StartExecResults},
    models::{ContainerCreateBody, HostConfig, PortBinding},
    query_parameters::{
        CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptions, LogsOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveVolumeOptions, StopContainerOptions, WaitContainerOptions,
    },
};
use futures_util::TryStreamExt;

use super::{
    PATIENCE,
    client::{Cut, call},
    ledger::{Known, State},
};
use crate::durability::Chance;

/// Counts until it is told to end; its last word is `end`.
const COUNTING: &str =
    "trap 'echo end; exit 0' TERM; i=0; while :; do echo $i; i=$((i+1)); usleep 5000; done";
/// Says its lines and fails.
const BRIEF: &str = "echo one; echo two >&2; exit 7";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counting,
    Brief,
}

/// A container that exists or not.
pub(super) struct Container {
    pub(super) name: String,
    kind: Kind,
    /// The volume that it has with another.
    volume: String,
    known: Known,
    /// The last call had no answer and may still have an effect: a signal is on its way.
    ending: bool,
    /// Lines of its log that were there for sure.
    logged: usize,
}

impl Container {
    pub(super) fn new(name: String, kind: Kind, volume: String) -> Self {
        Self { name, kind, volume, known: Known::is(State::Absent), ending: false, logged: 0 }
    }

    fn body(&self) -> ContainerCreateBody {
        let script = match self.kind {
            Kind::Counting => COUNTING,
            Kind::Brief => BRIEF,
        };
        let port = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None };
        ContainerCreateBody {
            image: Some("busybox".to_owned()),
            cmd: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
            host_config: Some(HostConfig {
                binds: Some(vec![format!("{}:/data", self.volume), "/anonymous".to_owned()]),
                port_bindings: Some(HashMap::from([("80/tcp".to_owned(), Some(vec![port]))])),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }

    /// Makes one call that its state allows.
    pub(super) async fn step(&mut self, docker: &Docker, chance: &mut Chance) -> Result<&'static str, Cut> {
        match (self.known.state(), self.kind) {
            (Some(State::Absent), _) => self.create(docker).await,
            (Some(State::Created), _) => self.start(docker).await,
            (Some(State::Running), _) => match chance.below(6) {
                0 | 1 => self.exec(docker, chance.below(1000)).await,
                2 | 3 => self.read_log(docker).await,
                4 => self.stop(docker).await,
                _ => self.kill(docker).await,
            },
            (Some(State::Ended), _) => match chance.below(4) {
                0 => self.start(docker).await,
                1 => self.read_log(docker).await,
                _ => self.remove(docker).await,
            },
            (None, Kind::Brief) => self.wait(docker).await,
            (None, Kind::Counting) => self.stop(docker).await,
        }
    }

    async fn create(&mut self, docker: &Docker) -> Result<&'static str, Cut> {
        self.known.may_become(&[State::Created]);
        self.logged = 0;
        let options = CreateContainerOptionsBuilder::new().name(&self.name).build();
        call("create", docker.create_container(Some(options), self.body())).await?;
        self.known.set(State::Created);
        Ok("create")
    }

    async fn start(&mut self, docker: &Docker) -> Result<&'static str, Cut> {
        // A start that did not get as far as the program is a run that was killed.
        self.known.may_become(&[State::Running, State::Ended]);
        call("start", docker.start_container(&self.name, None)).await?;
        self.known.set(State::Running);
        if self.kind == Kind::Brief {
            self.known.may_become(&[State::Ended]);
        }
        Ok("start")
    }

    /// Until a brief one has ended.
    async fn wait(&mut self, docker: &Docker) -> Result<&'static str, Cut> {
        let wait = docker.wait_container(&self.name, None::<WaitContainerOptions>);
        let waited: Result<Vec<_>, _> = std::pin::pin!(wait).try_collect().await;
        let code = match waited {
            Ok(answers) if answers.is_empty() => return Err(Cut),
            Ok(answers) => answers[0].status_code,
            Err(Error::DockerContainerWaitError { code, .. }) => code,
            Err(_) => return Err(Cut),
        };
        assert_eq!(code, 7, "{}", self.name);
        self.known.set(State::Ended);
        self.read_log(docker).await?;
        Ok("wait")
    }

    async fn exec(&mut self, docker: &Docker, number: u64) -> Result<&'static str, Cut> {
        let script = format!("echo $(({number} + 1)); exit 3");
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            cmd: Some(vec!["sh", "-c", &script]),
            ..CreateExecOptions::default()
        };
        let id = call("prepare an exec", docker.create_exec(&self.name, options)).await?.id;
        let StartExecResults::Attached { output, .. } =
            call("start an exec", docker.start_exec(&id, None)).await?
        else {
            panic!("an exec is attached")
        };
        let said: Vec<_> = call("read an exec", output.try_collect()).await?;
        let code = call("inspect an exec", docker.inspect_exec(&id)).await?.exit_code;
        let said: String = said.iter().map(ToString::to_string).collect();
        assert_eq!((said, code), (format!("{}\n", number + 1), Some(3)), "exec in {}", self.name);
        Ok("exec")
    }

    async fn stop(&mut self, docker: &Docker) -> Result<&'static str, Cut> {
        self.known.may_become(&[State::Ended]);
        self.ending = true;
        call("stop", docker.stop_container(&self.name, None::<StopContainerOptions>)).await?;
        self.ended();
        Ok("stop")
    }

    async fn kill(&mut self, docker: &Docker) -> Result<&'static str, Cut> {
        self.known.may_become(&[State::Ended]);
        self.ending = true;
        call("kill", docker.kill_container(&self.name, None::<KillContainerOptions>)).await?;
        self.ended();
        Ok("kill")
    }

    fn ended(&mut self) {
        self.ending = false;
        self.known.set(State::Ended);
    }

    async fn remove(&mut self, docker: &Docker) -> Result<&'static str, Cut> {
        self.known.may_become(&[State::Absent]);
        let options = RemoveContainerOptionsBuilder::new().v(true).build();
        call("remove", docker.remove_container(&self.name, Some(options))).await?;
        self.known.set(State::Absent);
        Ok("remove")
    }

    async fn read_log(&mut self, docker: &Docker) -> Result<&'static str, Cut> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
        let said: Vec<_> = call("read a log", docker.logs(&self.name, Some(options)).try_collect()).await?;
        let said: String = said.iter().map(ToString::to_string).collect();
        let lines: Vec<&str> = said.lines().collect();
        // An answer that is cut between two pieces looks like one that ended.
        if lines.len() < self.logged && docker.ping().await.is_err() {
            return Err(Cut);
        }
        assert!(lines.len() >= self.logged, "{} had {} lines, now {}", self.name, self.logged, lines.len());
        self.logged = lines.len();
        self.check(&lines);
        Ok("read a log")
    }

    /// Nothing is missing between two lines, and nothing stands there twice.
    fn check(&self, lines: &[&str]) {
        match self.kind {
            Kind::Brief => {
                let ones = lines.iter().filter(|line| **line == "one").count();
                assert_eq!((lines.len(), ones), (2 * ones, ones), "{}: {lines:?}", self.name);
            }
            Kind::Counting => {
                let mut next = 0;
                for line in lines {
                    let number = line.parse::<u64>().ok();
                    let follows =
                        number == Some(next) || number == Some(0) || (number.is_none() && *line == "end");
                    assert!(follows, "{}: {line:?} instead of {next}", self.name);
                    next = number.map_or(0, |number| number + 1);
                }
            }
        }
    }

    /// What there is after the engine's end must be what may be, and what runs goes on.
    pub(super) async fn compare(&mut self, docker: &Docker, state: State, round: usize) {
        let (name, known) = (&self.name, &self.known);
        assert!(known.allows(state), "round {round}: {name} is {state:?}, but {known:?} was acknowledged");
        // A signal may be on its way, and a brief one ends when it likes.
        let changes = self.ending || (self.kind == Kind::Brief && state == State::Running);
        if !changes {
            self.known.set(state);
        }
        if state == State::Absent || self.known.state().is_none() {
            return;
        }
        self.read_log(docker).await.expect("an engine");
        if state == State::Running {
            let inspected = docker.inspect_container(&self.name, None::<InspectContainerOptions>).await;
            let state = inspected.expect("it is there").state.expect("its state");
            let process = format!("/proc/{}", state.pid.unwrap_or_default());
            assert!(
                std::path::Path::new(&process).exists(),
                "round {round}: {} is only said to run",
                self.name
            );
            let (before, deadline) = (self.logged, Instant::now() + PATIENCE);
            while self.logged <= before {
                assert!(Instant::now() < deadline, "round {round}: {} counts no further", self.name);
                tokio::time::sleep(Duration::from_millis(5)).await;
                self.read_log(docker).await.expect("an engine");
            }
        }
    }

    pub(super) async fn discard(&mut self, docker: &Docker) {
        if self.known.state() != Some(State::Absent) {
            let options = RemoveContainerOptionsBuilder::new().v(true).force(true).build();
            docker.remove_container(&self.name, Some(options)).await.expect("an engine");
            self.known.set(State::Absent);
        }
        let _ = docker.remove_volume(&self.volume, None::<RemoveVolumeOptions>).await;
    }
}
