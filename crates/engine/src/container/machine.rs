//! The life of one container as a pure state machine: events in, commands out.
//!
//! ```text
//!            Start            Exited, policy says no            Remove
//!  created ────────▶ running ───────────────────────▶ exited ──────────▶ removing
//!              Pause │  ▲ │ Exited, policy says again   │ ▲
//!                    ▼  │ └──────────▶ restarting ──────┘ │ Stop
//!                  paused            (Elapsed: Launch)────┘
//! ```
//! The actor feeds it and carries out what it answers, in order; nothing here waits or fails but by
//! refusing an event.

use std::time::Duration;

use super::restart::{Backoff, RestartPolicy};

pub(crate) const SIGKILL: i32 = 9;

/// Where a container stands, in Docker's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    /// Its removal failed half-way.
    Dead,
}

impl Phase {
    /// Docker's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// A process lives.
    pub(crate) fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// What happens to a container. Times are since some fixed instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Somebody wants it to run.
    Start,
    /// [`Command::Launch`] succeeded.
    Launched { at: Duration },
    /// [`Command::Launch`] failed.
    LaunchFailed,
    /// Somebody wants it to end: this signal, and SIGKILL after that time (`None`: never).
    Stop { signal: i32, patience: Option<Duration> },
    /// The time of [`Command::KillAfter`] is over.
    OutOfPatience { generation: u64 },
    /// Somebody sends it a signal; `ends`: SIGKILL or its stop signal, so that its end is no accident.
    Kill { signal: i32, ends: bool },
    /// Somebody wants it to end and start again.
    Restart { signal: i32, patience: Option<Duration> },
    /// Its first process ended.
    Exited { code: i64, at: Duration },
    /// The time of [`Command::LaunchAfter`] is over.
    Elapsed { generation: u64 },
    /// Somebody wants it frozen.
    Pause,
    /// Somebody wants it thawed.
    Unpause,
    /// Somebody wants it gone.
    Remove { force: bool },
    /// [`Command::Remove`] failed.
    RemoveFailed,
}

/// What the actor must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Start it: network, supervisor, program. Answer with `Launched` or `LaunchFailed`.
    Launch,
    /// Send a signal to its first process.
    Signal(i32),
    /// Freeze it.
    Freeze,
    /// Thaw it.
    Thaw,
    /// After that time: [`Event::OutOfPatience`].
    KillAfter { patience: Duration, generation: u64 },
    /// After that time: [`Event::Elapsed`].
    LaunchAfter { delay: Duration, generation: u64 },
    /// Release its network; tell those who wait for its end.
    Finish,
    /// Release what a start that failed has left. Nothing ran, so nothing has ended.
    Abandon,
    /// Remember (or forget) durably that it was stopped by hand.
    Remember { stopped: bool },
    /// Delete it.
    Remove,
}

/// Why an event can't happen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is so already.
    NotModified,
    /// It does not run.
    NotRunning,
    /// It is frozen.
    Paused,
    /// It is not frozen.
    NotPaused,
    /// It is frozen already.
    AlreadyPaused,
    /// It runs, and removal is not forced.
    Running,
    /// It is about to start again.
    Restarting,
    /// It is being removed.
    Removing,
}

/// One container's state.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) phase: Phase,
    pub(crate) policy: RestartPolicy,
    pub(crate) auto_remove: bool,
    /// Somebody stopped it; it stays so until somebody starts it.
    pub(crate) stopped_by_hand: bool,
    pub(crate) backoff: Backoff,
    after_exit: AfterExit,
    started_at: Duration,
    /// Timers of an earlier generation have no meaning any more.
    generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterExit {
    Policy,
    Launch,
    Remove,
}

impl Machine {
    pub(crate) fn new(phase: Phase, policy: RestartPolicy, auto_remove: bool) -> Self {
        Self {
            phase,
            policy,
            auto_remove,
            stopped_by_hand: false,
            backoff: Backoff::default(),
            after_exit: AfterExit::Policy,
            started_at: Duration::ZERO,
            generation: 0,
        }
    }

    /// A container that another engine started and that lives.
    pub(crate) fn adopt(&mut self, paused: bool, started_at: Duration) {
        self.phase = if paused { Phase::Paused } else { Phase::Running };
        self.started_at = started_at;
    }

    /// The next state.
    ///
    /// # Errors
    /// [`Refusal`]; the state is then as before.
    pub(crate) fn handle(&mut self, event: Event) -> Result<Vec<Command>, Refusal> {
        if self.phase == Phase::Removing && !matches!(event, Event::RemoveFailed | Event::Exited { .. }) {
            return Err(Refusal::Removing);
        }
        match event {
            Event::Start => self.start(),
            Event::Launched { at } => {
                self.phase = Phase::Running;
                self.started_at = at;
                Ok(Vec::new())
            }
            Event::LaunchFailed => Ok(self.launch_failed()),
            Event::Stop { signal, patience } => self.stop(signal, patience),
            Event::OutOfPatience { generation } => Ok(self.out_of_patience(generation)),
            Event::Kill { signal, ends } => self.kill(signal, ends),
            Event::Restart { signal, patience } => self.restart(signal, patience),
            Event::Exited { code, at } => Ok(self.exited(code, at)),
            Event::Elapsed { generation } => Ok(self.elapsed(generation)),
            Event::Pause => self.pause(),
            Event::Unpause => self.unpause(),
            Event::Remove { force } => self.remove(force),
            Event::RemoveFailed => {
                self.phase = Phase::Dead;
                Ok(Vec::new())
            }
        }
    }

    fn start(&mut self) -> Result<Vec<Command>, Refusal> {
        match self.phase {
            Phase::Running => return Err(Refusal::NotModified),
            Phase::Paused => return Err(Refusal::Paused),
            Phase::Dead => return Err(Refusal::Removing),
            _ => {}
        }
        self.generation += 1;
        self.backoff = Backoff::default();
        let mut commands = self.remember(false);
        commands.push(Command::Launch);
        Ok(commands)
    }

    fn launch_failed(&mut self) -> Vec<Command> {
        self.after_exit = AfterExit::Policy;
        if self.phase == Phase::Restarting {
            // A restart that fails is tried again as long as the policy says, as if it had run and failed.
            return self.decide(127, Duration::ZERO);
        }
        if self.phase != Phase::Created {
            self.phase = Phase::Exited;
        }
        if self.auto_remove {
            self.phase = Phase::Removing;
            return vec![Command::Abandon, Command::Remove];
        }
        vec![Command::Abandon]
    }

    fn stop(&mut self, signal: i32, patience: Option<Duration>) -> Result<Vec<Command>, Refusal> {
        match self.phase {
            Phase::Restarting => {
                self.generation += 1;
                self.phase = Phase::Exited;
                let mut commands = self.remember(true);
                // Whoever began to wait between two runs is waiting for this.
                commands.push(Command::Finish);
                Ok(commands)
            }
            Phase::Running | Phase::Paused => {
                let mut commands = self.remember(true);
                // A removal that waits for the end must not be forgotten, a restart must.
                if self.after_exit == AfterExit::Launch {
                    self.after_exit = AfterExit::Policy;
                }
                commands.extend(self.end(signal, patience));
                Ok(commands)
            }
            _ => Err(Refusal::NotModified),
        }
    }

    /// A frozen process gets its signals when it is thawed.
    fn end(&mut self, signal: i32, patience: Option<Duration>) -> Vec<Command> {
        self.generation += 1;
        let mut commands = vec![Command::Signal(signal)];
        if self.phase == Phase::Paused {
            self.phase = Phase::Running;
            commands.push(Command::Thaw);
        }
        if let Some(patience) = patience.filter(|_| signal != SIGKILL) {
            commands.push(Command::KillAfter { patience, generation: self.generation });
        }
        commands
    }

    fn out_of_patience(&mut self, generation: u64) -> Vec<Command> {
        if generation != self.generation || !self.phase.is_alive() {
            return Vec::new();
        }
        self.end(SIGKILL, None)
    }

    fn kill(&mut self, signal: i32, ends: bool) -> Result<Vec<Command>, Refusal> {
        if self.phase == Phase::Restarting && ends {
            return self.stop(signal, None);
        }
        if !self.phase.is_alive() {
            return Err(Refusal::NotRunning);
        }
        let mut commands = if ends { self.remember(true) } else { Vec::new() };
        commands.push(Command::Signal(signal));
        if signal == SIGKILL && self.phase == Phase::Paused {
            self.phase = Phase::Running;
            commands.push(Command::Thaw);
        }
        Ok(commands)
    }

    fn restart(&mut self, signal: i32, patience: Option<Duration>) -> Result<Vec<Command>, Refusal> {
        if !self.phase.is_alive() {
            return self.start();
        }
        self.after_exit = AfterExit::Launch;
        Ok(self.end(signal, patience))
    }

    fn exited(&mut self, code: i64, at: Duration) -> Vec<Command> {
        self.generation += 1;
        let next = std::mem::replace(&mut self.after_exit, AfterExit::Policy);
        match next {
            AfterExit::Remove => {
                self.phase = Phase::Removing;
                vec![Command::Finish, Command::Remove]
            }
            AfterExit::Launch => {
                self.phase = Phase::Exited;
                self.backoff = Backoff::default();
                vec![Command::Finish, Command::Launch]
            }
            AfterExit::Policy => self.decide(code, at.saturating_sub(self.started_at)),
        }
    }

    fn decide(&mut self, code: i64, ran: Duration) -> Vec<Command> {
        let policy = if self.stopped_by_hand { RestartPolicy::No } else { self.policy };
        if let Some(delay) = self.backoff.after_exit(policy, code, ran) {
            self.phase = Phase::Restarting;
            self.generation += 1;
            return vec![Command::Finish, Command::LaunchAfter { delay, generation: self.generation }];
        }
        if self.auto_remove {
            self.phase = Phase::Removing;
            return vec![Command::Finish, Command::Remove];
        }
        self.phase = Phase::Exited;
        vec![Command::Finish]
    }

    fn elapsed(&mut self, generation: u64) -> Vec<Command> {
        let waiting = generation == self.generation && self.phase == Phase::Restarting;
        if waiting { vec![Command::Launch] } else { Vec::new() }
    }

    fn pause(&mut self) -> Result<Vec<Command>, Refusal> {
        match self.phase {
            Phase::Running => {
                self.phase = Phase::Paused;
                Ok(vec![Command::Freeze])
            }
            Phase::Paused => Err(Refusal::AlreadyPaused),
            Phase::Restarting => Err(Refusal::Restarting),
            _ => Err(Refusal::NotRunning),
        }
    }

    fn unpause(&mut self) -> Result<Vec<Command>, Refusal> {
        if self.phase != Phase::Paused {
            return Err(Refusal::NotPaused);
        }
        self.phase = Phase::Running;
        Ok(vec![Command::Thaw])
    }

    fn remove(&mut self, force: bool) -> Result<Vec<Command>, Refusal> {
        match self.phase {
            Phase::Paused if !force => Err(Refusal::Paused),
            Phase::Running if !force => Err(Refusal::Running),
            Phase::Restarting if !force => Err(Refusal::Restarting),
            Phase::Running | Phase::Paused => {
                self.after_exit = AfterExit::Remove;
                self.stopped_by_hand = true;
                Ok(self.end(SIGKILL, None))
            }
            _ => {
                self.generation += 1;
                self.phase = Phase::Removing;
                Ok(vec![Command::Remove])
            }
        }
    }

    fn remember(&mut self, stopped: bool) -> Vec<Command> {
        let changed = self.stopped_by_hand != stopped;
        self.stopped_by_hand = stopped;
        if changed && self.policy.remembers_stop() { vec![Command::Remember { stopped }] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: i32 = 15;
    const TEN: Option<Duration> = Some(Duration::from_secs(10));

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn running(policy: RestartPolicy) -> Machine {
        let mut machine = Machine::new(Phase::Created, policy, false);
        assert_eq!(machine.handle(Event::Start).unwrap(), [Command::Launch]);
        machine.handle(Event::Launched { at: at(0) }).unwrap();
        machine
    }

    #[test]
    fn a_container_starts_runs_and_exits() {
        let mut machine = running(RestartPolicy::No);
        assert_eq!(machine.handle(Event::Start), Err(Refusal::NotModified));
        assert_eq!(machine.handle(Event::Exited { code: 0, at: at(1) }).unwrap(), [Command::Finish]);
        assert_eq!(machine.phase, Phase::Exited);
        assert_eq!(machine.handle(Event::Start).unwrap(), [Command::Launch]);
    }

    #[test]
    fn stopping_signals_then_kills_and_an_early_end_disarms_the_kill() {
        let mut machine = running(RestartPolicy::No);
        let commands = machine.handle(Event::Stop { signal: TERM, patience: TEN }).unwrap();
        let Command::KillAfter { generation, .. } = commands[1] else { panic!("{commands:?}") };
        assert_eq!(commands[0], Command::Signal(TERM));
        let mut patient = machine.clone();
        assert_eq!(machine.handle(Event::OutOfPatience { generation }).unwrap(), [Command::Signal(SIGKILL)]);
        patient.handle(Event::Exited { code: 0, at: at(1) }).unwrap();
        assert_eq!(patient.handle(Event::OutOfPatience { generation }).unwrap(), []);
        assert_eq!(patient.handle(Event::Stop { signal: TERM, patience: TEN }), Err(Refusal::NotModified));
    }

    #[test]
    fn a_stop_without_end_of_patience_never_kills() {
        let mut machine = running(RestartPolicy::No);
        assert_eq!(
            machine.handle(Event::Stop { signal: TERM, patience: None }).unwrap(),
            [Command::Signal(TERM)]
        );
    }

    #[test]
    fn the_policy_starts_it_again_until_it_is_stopped_by_hand() {
        let mut machine = running(RestartPolicy::Always);
        let commands = machine.handle(Event::Exited { code: 1, at: at(1) }).unwrap();
        let [Command::Finish, Command::LaunchAfter { generation, .. }] = commands[..] else {
            panic!("{commands:?}")
        };
        assert_eq!(machine.phase, Phase::Restarting);
        assert_eq!(machine.handle(Event::Elapsed { generation }).unwrap(), [Command::Launch]);
        machine.handle(Event::Launched { at: at(2) }).unwrap();
        let commands = machine.handle(Event::Stop { signal: TERM, patience: None }).unwrap();
        assert_eq!(commands, [Command::Remember { stopped: true }, Command::Signal(TERM)]);
        assert_eq!(machine.handle(Event::Exited { code: 0, at: at(3) }).unwrap(), [Command::Finish]);
        assert_eq!(
            machine.handle(Event::Start).unwrap(),
            [Command::Remember { stopped: false }, Command::Launch]
        );
    }

    #[test]
    fn a_stop_while_waiting_to_start_again_cancels_the_start() {
        let mut machine = running(RestartPolicy::OnFailure(0));
        let commands = machine.handle(Event::Exited { code: 1, at: at(1) }).unwrap();
        let Command::LaunchAfter { generation, .. } = commands[1] else { panic!("{commands:?}") };
        machine.handle(Event::Stop { signal: TERM, patience: TEN }).unwrap();
        assert_eq!(machine.phase, Phase::Exited);
        assert_eq!(machine.handle(Event::Elapsed { generation }).unwrap(), []);
    }

    #[test]
    fn kill_ends_it_for_good_only_with_an_ending_signal() {
        let mut machine = running(RestartPolicy::OnFailure(0));
        machine.handle(Event::Kill { signal: 1, ends: false }).unwrap();
        assert!(!machine.stopped_by_hand);
        assert_eq!(
            machine.handle(Event::Kill { signal: SIGKILL, ends: true }).unwrap(),
            [Command::Signal(SIGKILL)]
        );
        assert_eq!(machine.handle(Event::Exited { code: 137, at: at(1) }).unwrap(), [Command::Finish]);
        assert_eq!(machine.handle(Event::Kill { signal: SIGKILL, ends: true }), Err(Refusal::NotRunning));
    }

    #[test]
    fn restart_ends_it_and_starts_it_whatever_the_policy() {
        let mut machine = running(RestartPolicy::No);
        assert_eq!(
            machine.handle(Event::Restart { signal: TERM, patience: None }).unwrap(),
            [Command::Signal(TERM)]
        );
        let commands = machine.handle(Event::Exited { code: 143, at: at(1) }).unwrap();
        assert_eq!(commands, [Command::Finish, Command::Launch]);
        let mut stopped = Machine::new(Phase::Exited, RestartPolicy::No, false);
        assert_eq!(
            stopped.handle(Event::Restart { signal: TERM, patience: None }).unwrap(),
            [Command::Launch]
        );
    }

    #[test]
    fn a_running_container_is_removed_only_by_force_and_after_its_end() {
        let mut machine = running(RestartPolicy::Always);
        assert_eq!(machine.handle(Event::Remove { force: false }), Err(Refusal::Running));
        assert_eq!(machine.handle(Event::Remove { force: true }).unwrap(), [Command::Signal(SIGKILL)]);
        let commands = machine.handle(Event::Exited { code: 137, at: at(1) }).unwrap();
        assert_eq!(commands, [Command::Finish, Command::Remove]);
        assert_eq!(machine.handle(Event::Start), Err(Refusal::Removing));
    }

    #[test]
    fn an_auto_remove_container_goes_when_it_ends_or_fails_to_start() {
        let mut machine = Machine::new(Phase::Created, RestartPolicy::No, true);
        machine.handle(Event::Start).unwrap();
        let mut failed = machine.clone();
        assert_eq!(failed.handle(Event::LaunchFailed).unwrap(), [Command::Abandon, Command::Remove]);
        machine.handle(Event::Launched { at: at(0) }).unwrap();
        let commands = machine.handle(Event::Exited { code: 0, at: at(1) }).unwrap();
        assert_eq!((commands, machine.phase), (vec![Command::Finish, Command::Remove], Phase::Removing));
    }

    #[test]
    fn frozen_containers_are_thawed_so_that_they_can_end() {
        let mut machine = running(RestartPolicy::No);
        assert_eq!(machine.handle(Event::Unpause), Err(Refusal::NotPaused));
        assert_eq!(machine.handle(Event::Pause).unwrap(), [Command::Freeze]);
        assert_eq!(machine.handle(Event::Pause), Err(Refusal::AlreadyPaused));
        assert_eq!(machine.handle(Event::Start), Err(Refusal::Paused));
        let commands = machine.handle(Event::Stop { signal: TERM, patience: None }).unwrap();
        assert_eq!(commands, [Command::Signal(TERM), Command::Thaw]);
    }

    #[test]
    fn a_first_start_that_fails_leaves_it_created() {
        let mut machine = Machine::new(Phase::Created, RestartPolicy::Always, false);
        machine.handle(Event::Start).unwrap();
        assert_eq!(machine.handle(Event::LaunchFailed).unwrap(), [Command::Abandon]);
        assert_eq!(machine.phase, Phase::Created);
    }
}
