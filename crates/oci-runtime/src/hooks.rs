//! Running hooks: the state as JSON on standard input, a time limit, failures with what the hook wrote.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use minke_kernel::process;
use minke_model::runtime_spec::{Hook, State};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::MemfdFlags,
    process::Signal,
};

use crate::{
    container::{InitError, InitErrorKind},
    step::plain,
};

/// How much of a hook's output an error quotes, in bytes.
const LONGEST_QUOTE: u64 = 4096;

/// A hook that failed.
#[derive(Debug, thiserror::Error)]
#[error("hooks.{stage}[{index}]: error running {stage} hook #{index}: {path}: {reason}")]
pub(crate) struct HookError {
    stage: &'static str,
    index: usize,
    path: String,
    reason: String,
}

impl From<HookError> for InitError {
    fn from(error: HookError) -> Self {
        Self {
            kind: InitErrorKind::Other,
            step: format!("hooks.{}[{}]", error.stage, error.index),
            // The words that runc has for it.
            message: format!(
                "error running {} hook #{}: {}: {}",
                error.stage, error.index, error.path, error.reason
            ),
            errno: None,
        }
    }
}

/// Runs hooks in order; the first failure ends it.
pub(crate) fn run_all(stage: &'static str, hooks: &[Hook], state: &State) -> Result<(), HookError> {
    hooks.iter().enumerate().try_for_each(|(index, hook)| {
        run(hook, state).map_err(|reason| HookError { stage, index, path: hook.path.clone(), reason })
    })
}

/// Runs hooks in order, all of them; returns what failed.
pub(crate) fn run_all_regardless(stage: &'static str, hooks: &[Hook], state: &State) -> Vec<HookError> {
    let run = |(index, hook): (usize, &Hook)| {
        let error = |reason| HookError { stage, index, path: hook.path.clone(), reason };
        run(hook, state).map_err(error).err()
    };
    hooks.iter().enumerate().filter_map(run).collect()
}

fn run(hook: &Hook, state: &State) -> Result<(), String> {
    let text = serde_json::to_vec(state).map_err(|error| error.to_string())?;
    let mut output = memory_file().map_err(|error| plain(&error))?;
    let mut child = command(hook, &output)
        .and_then(|mut command| command.spawn())
        .map_err(|error| format!("start: {}", plain(&error)))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook need not read its input; a pipe holds a whole state unless annotations are huge.
        let _ = stdin.write_all(&text);
    }
    let status = wait(&mut child, hook.timeout)?;
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    let _ = output.rewind().and_then(|()| output.take(LONGEST_QUOTE).read_to_string(&mut said));
    let said = said.trim().replace('\n', "; ");
    let status = words(status);
    Err(if said.is_empty() { status } else { format!("{status}: {said}") })
}

/// How a hook ended, in the words that runc's callers look for.
fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal().and_then(Signal::from_named_raw)) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal: {}", name(signal)),
        (None, None) => status.to_string(),
    }
}

/// A signal's description, as Go's programs have it.
fn name(signal: Signal) -> String {
    let name = match signal {
        Signal::HUP => "hangup",
        Signal::INT => "interrupt",
        Signal::QUIT => "quit",
        Signal::ILL => "illegal instruction",
        Signal::ABORT => "aborted",
        Signal::BUS => "bus error",
        Signal::FPE => "floating point exception",
        Signal::KILL => "killed",
        Signal::SEGV => "segmentation fault",
        Signal::PIPE => "broken pipe",
        Signal::ALARM => "alarm clock",
        Signal::TERM => "terminated",
        Signal::SYS => "bad system call",
        other => return format!("signal {}", other.as_raw()),
    };
    name.to_owned()
}

fn memory_file() -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create("hook output", MemfdFlags::CLOEXEC)?))
}

fn command(hook: &Hook, output: &File) -> io::Result<Command> {
    let mut command = Command::new(&hook.path);
    if let Some((name, args)) = hook.args.split_first() {
        command.arg0(name).args(args);
    }
    // As with runc, a hook without an environment of its own gets the runtime's, with its PATH.
    if !hook.env.is_empty() {
        command.env_clear().envs(hook.env.iter().filter_map(|entry| entry.split_once('=')));
    }
    command.stdin(Stdio::piped());
    command.stdout(output.try_clone()?).stderr(output.try_clone()?);
    Ok(command)
}

fn wait(child: &mut Child, timeout: Option<i64>) -> Result<ExitStatus, String> {
    let failed = |error: io::Error| format!("wait: {}", plain(&error));
    let Some(seconds) = timeout.and_then(|seconds| u64::try_from(seconds).ok()) else {
        return child.wait().map_err(failed);
    };
    let pidfd = process::open(child.id() as i32).map_err(failed)?;
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("killed: it took longer than {seconds} s"));
        }
        let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return child.wait().map_err(failed),
            Err(error) => return Err(failed(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minke_model::runtime_spec::Status;

    fn state() -> State {
        State {
            oci_version: "1.3.0".into(),
            id: "web".into(),
            status: Status::Creating,
            pid: Some(7),
            bundle: "/b".into(),
            annotations: Default::default(),
        }
    }

    fn shell(script: &str, timeout: Option<i64>) -> Hook {
        let args = ["sh", "-c", script].map(str::to_owned).to_vec();
        Hook { path: "/bin/sh".into(), args, env: vec!["PATH=/bin:/usr/bin".into()], timeout }
    }

    #[test]
    fn a_hook_gets_the_state_and_its_words_are_in_the_error() {
        let hook = shell("grep -q '\"status\":\"creating\"' || exit 9; echo no luck >&2; exit 3", None);
        let error = run_all("prestart", &[shell("true", None), hook], &state()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "hooks.prestart[1]: error running prestart hook #1: /bin/sh: exit status 3: no luck"
        );
    }

    #[test]
    fn a_hook_that_takes_too_long_is_killed() {
        let error = run_all("poststop", &[shell("exec sleep 60", Some(1))], &state()).unwrap_err();
        assert!(error.to_string().contains("longer than 1 s"), "{error}");
    }

    #[test]
    fn a_missing_hook_is_an_error_and_later_ones_still_run_where_all_must() {
        let missing = Hook { path: "/no/such/hook".into(), ..Hook::default() };
        assert_eq!(run_all_regardless("poststop", &[missing, shell("true", None)], &state()).len(), 1);
    }
}
