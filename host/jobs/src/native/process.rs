//! A process with its group: started, read line by line, and ended.

use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, Uid, User};
use outrigger_door::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::lines::Lines;
use super::script::{Program, prepare};
use super::{NativeCall, NativeEnd, NativePolicy, failed, outcome_of, timed_out};
use crate::steps::StepOutcome;
use crate::workflow::Durable;

/// How long output is read after the process has ended: a program that it left behind may hold the pipe open.
const DRAIN: Duration = Duration::from_secs(2);
/// `ETXTBSY`: another thread was starting a program while the script was being written.
const TEXT_BUSY: i32 = 26;
const BUSY_TRIES: u32 = 20;

/// Kills a process group that was left behind.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // The group may have ended by itself.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    Cancelled,
    TimedOut,
}

pub(super) async fn run(
    policy: &NativePolicy,
    durable: &dyn Durable,
    call: NativeCall,
    line: &mut (dyn FnMut(bool, &str) + Send),
) -> NativeEnd {
    if call.cancel.is_cancelled() {
        return NativeEnd { outcome: StepOutcome::Cancelled, exit_code: None };
    }
    let program = match prepare(policy, &call.command) {
        Ok(program) => program,
        Err(error) => return failed("IOFailure", format!("the script could not be written: {error}")),
    };
    let mut child = match start(policy, durable, &call, &program).await {
        Ok(child) => child,
        Err(error) => {
            let name = program.words.first().map(String::as_str).unwrap_or_default();
            return failed("IOFailure", format!("`{name}` could not be started: {error}"));
        }
    };
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let mut group = Group(pid);
    let (status, ending) = watch(policy, durable, &call, &mut child, &group, line).await;
    // Its number may be another group's by now. What the step left running in the background on purpose stays.
    group.0 = None;
    drop(program);
    let code = match status {
        Ok(status) => exit_code(status),
        Err(error) => return failed("IOFailure", format!("the process could not be waited for: {error}")),
    };
    let outcome = match ending {
        Ending::No => outcome_of(code),
        Ending::Cancelled => StepOutcome::Cancelled,
        Ending::TimedOut => StepOutcome::Failed(timed_out(call.timeout.unwrap_or_default())),
    };
    NativeEnd { outcome, exit_code: Some(code) }
}

fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

async fn start(
    policy: &NativePolicy,
    durable: &dyn Durable,
    call: &NativeCall,
    program: &Program,
) -> io::Result<Child> {
    let (name, args) = program.words.split_first().ok_or_else(|| io::Error::other("there is no command"))?;
    let mut command = Command::new(name);
    command
        .args(args)
        .env_clear()
        .envs(&policy.environment)
        .envs(&call.environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(directory) = &policy.directory {
        command.current_dir(directory);
    }
    if let Some(user) = policy.user {
        let group = match policy.group {
            Some(group) => group,
            None => User::from_uid(Uid::from_raw(user))?
                .ok_or_else(|| io::Error::other(format!("user {user} is not known, so its group must be set")))?
                .gid
                .as_raw(),
        };
        command.gid(group).uid(user);
    } else if let Some(group) = policy.group {
        command.gid(group);
    }
    let mut tries = 0;
    loop {
        match command.spawn() {
            Err(error) if error.raw_os_error() == Some(TEXT_BUSY) && tries < BUSY_TRIES => {
                tries += 1;
                durable.sleep(Duration::from_millis(10)).await;
            }
            started => return started,
        }
    }
}

/// Reads what the process writes until it ends, and ends it when its time is over.
async fn watch(
    policy: &NativePolicy,
    durable: &dyn Durable,
    call: &NativeCall,
    child: &mut Child,
    group: &Group,
    line: &mut (dyn FnMut(bool, &str) + Send),
) -> (io::Result<ExitStatus>, Ending) {
    let mut output = Stream::new(child.stdout.take(), policy.max_line);
    let mut errors = Stream::new(child.stderr.take(), policy.max_line);
    let mut timer: Timer = call.timeout.map(|timeout| durable.sleep(timeout));
    let mut kill_timer: Timer = None;
    let mut drain_timer: Timer = None;
    let mut ending = Ending::No;
    let mut status: Option<io::Result<ExitStatus>> = None;
    loop {
        if status.is_some() && output.is_closed() && errors.is_closed() {
            break;
        }
        let mut end_as = None;
        tokio::select! {
            () = call.cancel.cancelled(), if ending == Ending::No && status.is_none() => end_as = Some(Ending::Cancelled),
            () = tick(&mut timer), if ending == Ending::No && status.is_none() => end_as = Some(Ending::TimedOut),
            () = tick(&mut kill_timer), if status.is_none() => {
                kill_timer = None;
                group.signal(Signal::SIGKILL);
            }
            () = tick(&mut drain_timer) => break,
            count = output.read(), if !output.is_closed() => output.take(count, |text| line(false, text)),
            count = errors.read(), if !errors.is_closed() => errors.take(count, |text| line(true, text)),
            ended = child.wait(), if status.is_none() => {
                status = Some(ended);
                drain_timer = Some(durable.sleep(DRAIN));
                if ending != Ending::No {
                    // What is left of the group goes with it.
                    group.signal(Signal::SIGKILL);
                }
            }
        }
        if let Some(how) = end_as {
            ending = how;
            timer = None;
            kill_timer = Some(durable.sleep(policy.grace));
            group.signal(Signal::SIGTERM);
        }
    }
    output.finish(|text| line(false, text));
    errors.finish(|text| line(true, text));
    (status.unwrap_or_else(|| Err(io::Error::other("it did not end"))), ending)
}

type Timer = Option<BoxFuture<'static, ()>>;

/// Ends with the timer; never, if there is none.
async fn tick(timer: &mut Timer) {
    match timer {
        Some(timer) => timer.await,
        None => std::future::pending().await,
    }
}

/// One of the two outputs.
struct Stream {
    reader: Option<Pin<Box<dyn AsyncRead + Send>>>,
    lines: Lines,
    buffer: Vec<u8>,
}

impl Stream {
    fn new(reader: Option<impl AsyncRead + Send + 'static>, max_line: usize) -> Self {
        let reader = reader.map(|reader| Box::pin(reader) as Pin<Box<dyn AsyncRead + Send>>);
        Self { reader, lines: Lines::new(max_line), buffer: vec![0; 8192] }
    }

    fn is_closed(&self) -> bool {
        self.reader.is_none()
    }

    /// Reads once; 0 at the end. Nothing is lost if this is dropped while it waits.
    async fn read(&mut self) -> usize {
        match &mut self.reader {
            Some(reader) => reader.read(&mut self.buffer).await.unwrap_or_default(),
            None => 0,
        }
    }

    /// Takes what was read.
    fn take(&mut self, count: usize, line: impl FnMut(&str)) {
        if count == 0 {
            self.reader = None;
        } else {
            self.lines.push(self.buffer.get(..count).unwrap_or_default(), line);
        }
    }

    fn finish(&mut self, line: impl FnMut(&str)) {
        self.lines.finish(line);
    }
}
