//! The calls to systemd's manager that the driver needs (org.freedesktop.systemd1(5)).

use std::{env, path::Path};

use super::{
    SystemdError,
    bus::{Connection, Refusal},
    wire::{Call, Decoder, Encoder, Property},
};

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";

const BUS_NAME: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";
const JOBS: &str = "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

/// A connection to the host's manager, or to the user's own.
#[derive(Debug)]
pub(super) struct Manager {
    connection: Connection,
    /// Whether a bus daemon is in between.
    bus: bool,
}

impl Manager {
    /// Connects over systemd's own socket, as systemctl(1) does: no daemon is in between, and none need
    /// run. The bus is for whoever only has that (a container with the host's bus).
    pub(super) fn connect(user: bool) -> Result<Self, SystemdError> {
        check_running()?;
        let (private, bus) = addresses(user)?;
        if let Ok(connection) = Connection::open(&private) {
            return Ok(Self { connection, bus: false });
        }
        let connection = Connection::open(&bus)
            .map_err(|source| SystemdError::Connect { address: format!("{private} or {bus}"), source })?;
        let mut manager = Self { connection, bus: true };
        manager.subscribe()?;
        Ok(manager)
    }

    /// On a bus each peer says which signals it wants; over its own socket systemd sends all.
    fn subscribe(&mut self) -> Result<(), SystemdError> {
        self.call_bus("Hello", "", &[])?;
        let mut body = Encoder::default();
        body.text(JOBS);
        self.call_bus("AddMatch", "s", &body.into_bytes())?;
        self.call("Subscribe", "", &[]).map(drop)
    }

    fn call_bus(&mut self, member: &'static str, signature: &str, body: &[u8]) -> Result<(), SystemdError> {
        let call =
            Call { destination: Some(BUS_NAME), path: BUS_PATH, interface: BUS_NAME, member, signature };
        self.finish(member, &call, body).map(drop)
    }

    fn call(&mut self, member: &'static str, signature: &str, body: &[u8]) -> Result<Vec<u8>, SystemdError> {
        let destination = self.bus.then_some(NAME);
        let call = Call { destination, path: PATH, interface: MANAGER, member, signature };
        self.finish(member, &call, body)
    }

    fn finish(
        &mut self,
        method: &'static str,
        call: &Call<'_>,
        body: &[u8],
    ) -> Result<Vec<u8>, SystemdError> {
        let answer =
            self.connection.call(call, body).map_err(|source| SystemdError::Io { method, source })?;
        answer.map_err(|Refusal { name, message }| SystemdError::Refused { method, name, message })
    }

    /// A text property of the manager's: `Version`, `ControlGroup`.
    pub(super) fn property(&mut self, name: &str) -> Result<String, SystemdError> {
        let mut body = Encoder::default();
        body.text(MANAGER);
        body.text(name);
        let destination = self.bus.then_some(NAME);
        let interface = "org.freedesktop.DBus.Properties";
        let call = Call { destination, path: PATH, interface, member: "Get", signature: "ss" };
        let body = self.finish("Get", &call, &body.into_bytes())?;
        let mut answer = Decoder::new(&body);
        Ok(answer.signature().filter(|kind| kind == "s").and_then(|_| answer.text()).unwrap_or_default())
    }

    /// Starts a transient unit and waits until it stands.
    pub(super) fn start(&mut self, unit: &str, properties: &[Property]) -> Result<(), SystemdError> {
        let mut body = Encoder::default();
        body.text(unit);
        body.text("replace");
        body.properties(properties);
        // No auxiliary units.
        body.array(8, |_| {});
        let body = body.into_bytes();
        let start = |manager: &mut Self| manager.call("StartTransientUnit", "ssa(sv)a(sa(sv))", &body);
        let answer = match start(self) {
            // What a container of the same name left behind when it failed.
            Err(error) if error.is("UnitExists") => {
                self.reset(unit);
                start(self)
            }
            result => result,
        };
        let result = self.wait_for_job(&answer?)?;
        if result != "done" {
            self.reset(unit);
            return Err(SystemdError::Job { unit: unit.to_owned(), result });
        }
        Ok(())
    }

    /// Stops a unit and waits until it is gone. One that doesn't exist is gone already.
    pub(super) fn stop(&mut self, unit: &str) -> Result<(), SystemdError> {
        let mut body = Encoder::default();
        body.text(unit);
        body.text("replace");
        match self.call("StopUnit", "ss", &body.into_bytes()) {
            Err(error) if error.is("NoSuchUnit") => return Ok(()),
            Err(error) => return Err(error),
            // Whatever it ended as: it has ended.
            Ok(job) => drop(self.wait_for_job(&job)?),
        }
        self.reset(unit);
        Ok(())
    }

    /// Forgets that a unit failed. Most have not, and are gone, which is an error that says nothing.
    fn reset(&mut self, unit: &str) {
        let mut body = Encoder::default();
        body.text(unit);
        let _ = self.call("ResetFailedUnit", "s", &body.into_bytes());
    }

    /// Changes properties of a unit until it ends.
    pub(super) fn set(&mut self, unit: &str, properties: &[Property]) -> Result<(), SystemdError> {
        let mut body = Encoder::default();
        body.text(unit);
        body.bool(true);
        body.properties(properties);
        self.call("SetUnitProperties", "sba(sv)", &body.into_bytes()).map(drop)
    }

    /// Has a process moved into a unit's cgroup, or the group `below` it.
    pub(super) fn attach(&mut self, unit: &str, below: &str, pid: u32) -> Result<(), SystemdError> {
        let mut body = Encoder::default();
        body.text(unit);
        body.text(below);
        body.numbers(&[pid]);
        self.call("AttachProcessesToUnit", "ssau", &body.into_bytes()).map(drop)
    }

    /// How the job that an answer names ended.
    fn wait_for_job(&mut self, answer: &[u8]) -> Result<String, SystemdError> {
        let method = "JobRemoved";
        let wanted = Decoder::new(answer).text().unwrap_or_default();
        loop {
            let signal = self.connection.signal().map_err(|source| SystemdError::Io { method, source })?;
            if signal.member != method {
                continue;
            }
            // id, job, unit, result
            let mut body = Decoder::new(&signal.body);
            let job = body.u32().and_then(|_| body.text());
            if job.as_deref() == Some(&wanted) {
                return Ok(body.text().and_then(|_| body.text()).unwrap_or_default());
            }
        }
    }
}

/// Whether systemd booted this host, as sd_booted(3) has it.
pub(super) fn check_running() -> Result<(), SystemdError> {
    if Path::new("/run/systemd/system").is_dir() { Ok(()) } else { Err(SystemdError::NotRunning) }
}

/// Where to find systemd's own socket, and the bus.
fn addresses(user: bool) -> Result<(String, String), SystemdError> {
    let given = |name| env::var(name).ok().filter(|value: &String| !value.is_empty());
    if !user {
        let bus = given("DBUS_SYSTEM_BUS_ADDRESS");
        let bus = bus.unwrap_or_else(|| "unix:path=/run/dbus/system_bus_socket".to_owned());
        return Ok(("unix:path=/run/systemd/private".to_owned(), bus));
    }
    let run = given("XDG_RUNTIME_DIR");
    let below = |name: &str| run.as_ref().map(|run| format!("unix:path={run}/{name}"));
    let bus = given("DBUS_SESSION_BUS_ADDRESS").or_else(|| below("bus")).ok_or(SystemdError::NoSession)?;
    Ok((below("systemd/private").unwrap_or_default(), bus))
}
