//! A key from a command, within a time limit.
//!
//! Decision: the command runs in a process group of its own, so that ending it ends what it started as well; a
//! grandchild that kept the pipe open would otherwise keep the reader waiting for ever.

use std::io::Read;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::{Found, MOST};

/// Between two looks at whether the command has ended, once its output has.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) fn read(program: &str, arguments: &[String], time_limit: Duration) -> Found {
    let deadline = Instant::now().checked_add(time_limit);
    let mut child = spawn(program, arguments)?;
    let output = output_by(deadline, child.stdout.take());
    let status = if output.is_ok() { status_by(deadline, &mut child) } else { None };
    if status.is_none() {
        end(&mut child);
    }
    let output = output?;
    if output.len() > MOST {
        return Err(format!("wrote more than {MOST} bytes, so it gave no key"));
    }
    match status {
        None => Err(TOO_LATE.to_owned()),
        Some(status) if !status.success() => Err(format!("failed ({status})")),
        Some(_) => Ok(output),
    }
}

const TOO_LATE: &str = "did not end within its time limit, and was ended";

fn spawn(program: &str, arguments: &[String]) -> Result<Child, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().map_err(|error| format!("cannot be started: {error}"))
}

/// What the command writes, if it stops writing in time. One byte too many is enough to see that it is no key.
fn output_by(deadline: Option<Instant>, stdout: Option<ChildStdout>) -> Found {
    let stdout = stdout.ok_or("has no standard output")?;
    let (sender, receiver) = mpsc::sync_channel(1);
    let reader = move || {
        let mut output = Zeroizing::new(Vec::with_capacity(2 * MOST));
        let read = stdout.take(MOST as u64 + 1).read_to_end(&mut output);
        // Nobody listens any more if the time is over.
        let _ = sender.send(read.map(|_| output));
    };
    let spawned = thread::Builder::new().name("key-command".to_owned()).spawn(reader);
    spawned.map_err(|error| format!("cannot be read from: {error}"))?;
    match receiver.recv_timeout(left(deadline)) {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(format!("cannot be read from: {error}")),
        Err(_) => Err(TOO_LATE.to_owned()),
    }
}

/// How the command ended, if it did in time.
fn status_by(deadline: Option<Instant>, child: &mut Child) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if !left(deadline).is_zero() => thread::sleep(PAUSE.min(left(deadline))),
            _ => return None,
        }
    }
}

/// Ends the command and all that it started. Nobody has asked yet how it ended, so that its number is still its own
/// and cannot be that of a stranger's group.
fn end(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // It fails if nobody is left, which is as well.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn left(deadline: Option<Instant>) -> Duration {
    // A limit beyond what the clock can count is none.
    deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()))
}
