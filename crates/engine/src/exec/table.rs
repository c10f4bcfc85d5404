//! Which processes `exec` made, by their ids and by their containers; and what became of each.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bollard_stubs::models::ExecConfig;
use tokio::sync::Notify;

use crate::{Error, container::Container};

/// Ended processes that are kept per engine, so that their exit codes can be asked for.
const KEPT_ENDED: usize = 1000;

/// How long a call about a process waits for its start; Docker's time.
const STARTING: Duration = Duration::from_secs(10);

/// Every process that `exec` made.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    table: Mutex<Table>,
    /// Told when one has changed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    all: HashMap<String, Exec>,
    /// The ids of each container's own: its end must not cost a look at everybody's.
    of_container: HashMap<String, BTreeSet<String>>,
    /// Those that have ended, in the order of making.
    ended: BTreeMap<u64, String>,
    /// How many were made.
    made: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Exec {
    pub(super) container: Arc<Container>,
    pub(super) config: ExecConfig,
    pub(super) state: State,
    /// Its place in the order of making.
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Created,
    /// Somebody is starting it; nobody else may.
    Starting,
    Running(i32),
    Ended {
        code: i64,
        pid: i32,
    },
}

impl State {
    pub(super) fn pid(self) -> i32 {
        match self {
            Self::Running(pid) | Self::Ended { pid, .. } => pid,
            Self::Created | Self::Starting => 0,
        }
    }
}

impl Table {
    fn set(&mut self, id: &str, state: State) {
        let Some(exec) = self.all.get_mut(id) else { return };
        exec.state = state;
        if matches!(state, State::Ended { .. }) {
            self.ended.insert(exec.number, id.to_owned());
        }
    }

    fn remove(&mut self, id: &str) {
        let Some(exec) = self.all.remove(id) else { return };
        self.ended.remove(&exec.number);
        let container = exec.container.id.as_str();
        if let Some(ids) = self.of_container.get_mut(container) {
            ids.remove(id);
            if ids.is_empty() {
                self.of_container.remove(container);
            }
        }
    }

    /// A container's own, in the order of their ids.
    fn of(&self, container: &str) -> impl Iterator<Item = (&String, &Exec)> {
        let ids = self.of_container.get(container).into_iter().flatten();
        ids.filter_map(|id| Some((id, self.all.get(id)?)))
    }
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("No such exec instance: {id}"))
}

/// Whether one in this state may be started.
///
/// # Errors
/// `Conflict` when it has been.
pub(super) fn may_start(id: &str, state: State) -> Result<(), Error> {
    match state {
        State::Created => Ok(()),
        State::Starting | State::Running(_) => {
            Err(Error::conflict(format!("exec command {id} is already running")))
        }
        State::Ended { .. } => Err(Error::conflict(format!("exec command {id} has already run"))),
    }
}

impl Execs {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: &str) -> Result<Exec, Error> {
        let found = self.lock().all.get(id).cloned();
        found.ok_or_else(|| unknown(id))
    }

    pub(super) fn set(&self, id: &str, state: State) {
        self.lock().set(id, state);
        self.changed.notify_waiters();
    }

    /// Lets one caller start it.
    ///
    /// # Errors
    /// As for [`may_start`], also where another has begun meanwhile; `NotFound`.
    pub(super) fn begin(&self, id: &str) -> Result<(), Error> {
        let mut table = self.lock();
        let exec = table.all.get_mut(id).ok_or_else(|| unknown(id))?;
        may_start(id, exec.state)?;
        exec.state = State::Starting;
        Ok(())
    }

    /// One that has been started. Clients ask for a terminal's size as soon as its connection is theirs.
    pub(super) async fn started(&self, id: &str) -> Result<Exec, Error> {
        let waiting = async {
            loop {
                let mut changed = pin!(self.changed.notified());
                changed.as_mut().enable();
                let exec = self.get(id)?;
                if !matches!(exec.state, State::Created | State::Starting) {
                    return Ok(exec);
                }
                changed.await;
            }
        };
        let late = |_| Err(Error::conflict(format!("exec process {id} is not running")));
        tokio::time::timeout(STARTING, waiting).await.unwrap_or_else(late)
    }

    pub(super) fn add(&self, id: String, container: Arc<Container>, config: ExecConfig) {
        let mut table = self.lock();
        if table.ended.len() >= KEPT_ENDED
            && let Some((_, oldest)) = table.ended.pop_first()
        {
            table.remove(&oldest);
        }
        let number = table.made;
        table.made += 1;
        table.of_container.entry(container.id.to_string()).or_default().insert(id.clone());
        table.all.insert(id, Exec { container, config, state: State::Created, number });
    }

    /// Those of a container that have not ended.
    pub(crate) fn of(&self, container: &str) -> Vec<String> {
        let table = self.lock();
        let living = table.of(container).filter(|(_, exec)| !matches!(exec.state, State::Ended { .. }));
        living.map(|(id, _)| id.clone()).collect()
    }

    /// The container's end is theirs; those never started can't be any more.
    pub(crate) fn container_ended(&self, container: &str) {
        let mut table = self.lock();
        let own: Vec<_> = table.of(container).map(|(id, exec)| (id.clone(), exec.state)).collect();
        for (id, state) in own {
            match state {
                State::Created => table.remove(&id),
                // Who starts it will hear of the end.
                State::Starting => {}
                State::Running(pid) => table.set(&id, State::Ended { code: 137, pid }),
                State::Ended { .. } => {}
            }
        }
        drop(table);
        self.changed.notify_waiters();
    }

    /// The container is gone, and all that was known of its processes.
    pub(crate) fn container_removed(&self, container: &str) {
        let mut table = self.lock();
        for id in table.of_container.remove(container).unwrap_or_default() {
            table.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two containers with a process each that has not started, one that runs and one that has ended.
    fn two_with_processes() -> (Execs, [Arc<Container>; 2]) {
        let execs = Execs::default();
        let containers = [1, 2].map(Container::for_tests);
        for (container, name) in containers.iter().zip(["a", "b"]) {
            for state in ["created", "running", "ended"] {
                execs.add(format!("{name}-{state}"), Arc::clone(container), ExecConfig::default());
            }
            execs.set(&format!("{name}-running"), State::Running(7));
            execs.set(&format!("{name}-ended"), State::Ended { code: 3, pid: 8 });
        }
        (execs, containers)
    }

    /// The index has what the table has, and nothing else.
    fn check(execs: &Execs) {
        let table = execs.lock();
        let indexed: usize = table.of_container.values().map(BTreeSet::len).sum();
        assert_eq!(indexed, table.all.len());
        assert!(table.of_container.values().all(|ids| !ids.is_empty()));
        for (id, exec) in &table.all {
            assert!(table.of_container[exec.container.id.as_str()].contains(id), "{id}");
            assert_eq!(table.ended.get(&exec.number) == Some(id), matches!(exec.state, State::Ended { .. }));
        }
    }

    #[test]
    fn the_end_of_a_container_is_its_own_processes_end_alone() {
        let (execs, [a, b]) = two_with_processes();
        assert_eq!(execs.of(a.id.as_str()), ["a-created", "a-running"]);
        execs.container_ended(a.id.as_str());
        assert!(execs.get("a-created").is_err(), "it can't be started any more");
        assert_eq!(execs.get("a-running").unwrap().state, State::Ended { code: 137, pid: 7 });
        assert_eq!(execs.get("a-ended").unwrap().state, State::Ended { code: 3, pid: 8 });
        assert!(execs.of(a.id.as_str()).is_empty());
        assert_eq!(execs.of(b.id.as_str()), ["b-created", "b-running"]);
        check(&execs);
        execs.container_removed(a.id.as_str());
        assert!(execs.get("a-ended").is_err() && execs.get("b-ended").is_ok());
        check(&execs);
        execs.container_removed(b.id.as_str());
        assert!(execs.lock().all.is_empty() && execs.lock().ended.is_empty());
        check(&execs);
    }

    #[test]
    fn of_those_that_ended_the_oldest_is_forgotten_first() {
        let execs = Execs::default();
        let container = Container::for_tests(1);
        for number in 0..KEPT_ENDED + 2 {
            let id = number.to_string();
            execs.add(id.clone(), Arc::clone(&container), ExecConfig::default());
            if number != 0 {
                execs.set(&id, State::Ended { code: 0, pid: 1 });
            }
        }
        assert!(execs.get("0").is_ok(), "it has not ended");
        assert!(execs.get("1").is_err() && execs.get("2").is_ok());
        check(&execs);
    }
}
