//! A child process whose lines and end are events.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

/// How long any single event may take: far beyond what it needs on a busy machine with two cores.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a process writes its standard output.
#[derive(Debug, Default)]
pub enum Stdout {
    /// Lines to await, as those of its standard error.
    #[default]
    Lines,
    /// A file.
    File(PathBuf),
    /// A pipe that nobody reads until [`Process::take_stdout`] is called and read.
    Pipe,
}

/// A process about to start.
#[derive(Debug)]
pub struct Spawn {
    command: Command,
    name: String,
    stdout: Stdout,
}

impl Spawn {
    /// `program` with `args`, its environment free of variables that speak to `moq` or to the peers that we test with.
    pub fn new<A: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
        for (name, _value) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let ours = text.starts_with("HEADWATER_") || text.starts_with("MOQ_");
            if ours
                || [
                    "RELAY_URL",
                    "TESTCASE",
                    "TLS_DISABLE_VERIFY",
                    "VERBOSE",
                    "RUST_LOG",
                ]
                .contains(&&*text)
            {
                command.env_remove(&name);
            }
        }
        let mut words = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(OsStr::to_string_lossy);
        let name = words.by_ref().take(4).collect::<Vec<_>>().join(" ");
        Self {
            command,
            name,
            stdout: Stdout::Lines,
        }
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Working directory.
    #[must_use]
    pub fn within(mut self, directory: impl AsRef<std::path::Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Standard input; nothing unless set.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// Standard output; lines unless set.
    #[must_use]
    pub fn stdout(mut self, stdout: Stdout) -> Self {
        self.stdout = stdout;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// The program is missing or the output file cannot be made.
    pub fn start(mut self) -> Result<Process> {
        self.command.stderr(Stdio::piped());
        match &self.stdout {
            Stdout::Lines | Stdout::Pipe => self.command.stdout(Stdio::piped()),
            Stdout::File(path) => self
                .command
                .stdout(File::create(path).context(path.display().to_string())?),
        };
        let mut child = self
            .command
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let shared = Arc::new(Shared::default());
        let pid = child.id();
        let stdin = child.stdin.take();
        let mut stdout = child.stdout.take();
        if let Some(stderr) = child.stderr.take() {
            shared.read_lines("", stderr);
        }
        if matches!(self.stdout, Stdout::Lines)
            && let Some(stdout) = stdout.take()
        {
            shared.read_lines("| ", stdout);
        }
        shared.await_exit(child);
        Ok(Process {
            name: self.name,
            pid,
            shared,
            stdin,
            stdout,
        })
    }

    /// Starts it and waits for its end: exit code and all lines, those of its standard output after `| `.
    ///
    /// # Errors
    /// It cannot start, does not end, or is ended by a signal.
    pub fn finish(self) -> Result<(i32, Vec<String>)> {
        let process = self.start()?;
        let code = process.exit()?;
        Ok((code, process.lines()))
    }

    /// Starts it, waits for its end and gives its standard output.
    ///
    /// # Errors
    /// It cannot start or fails; the error holds its standard error.
    pub fn output(mut self) -> Result<String> {
        let output = self
            .command
            .output()
            .with_context(|| format!("cannot start {}", self.name))?;
        if !output.status.success() {
            bail!(
                "{} failed: {}",
                self.name,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    open_pipes: usize,
    exit: Option<ExitStatus>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn read_lines(self: &Arc<Self>, mark: &'static str, pipe: impl Read + Send + 'static) {
        self.change(|state| state.open_pipes += 1);
        let shared = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = format!("{mark}{}", String::from_utf8_lossy(&line).trim_end());
                shared.change(|state| state.lines.push(line));
            }
            shared.change(|state| state.open_pipes -= 1);
        });
    }

    fn await_exit(self: &Arc<Self>, mut child: Child) {
        let shared = Arc::clone(self);
        thread::spawn(move || {
            if let Ok(status) = child.wait() {
                shared.change(|state| state.exit = Some(status));
            }
        });
    }
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: u32,
    shared: Arc<Shared>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
}

impl Process {
    /// What the kernel calls it.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.pid
    }

    /// All lines so far, in the order of their arrival; those of standard output after `| `.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.shared.lock().lines.clone()
    }

    /// Waits for a line that contains `part`, be it printed already, and gives the whole line.
    ///
    /// # Errors
    /// It ended without, or a minute passed.
    pub fn line(&self, part: &str) -> Result<String> {
        self.find(part, |line| line.contains(part).then(|| line.to_owned()))
    }

    /// Waits for the first line in which `find` sees what it seeks; `what` names that in the error.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub fn find<T>(&self, what: &str, mut find: impl FnMut(&str) -> Option<T>) -> Result<T> {
        let mut seen = 0;
        self.until(what, |state| {
            let found = state.lines.iter().skip(seen).find_map(|line| find(line));
            seen = state.lines.len();
            match (found, state.exit.is_some() && state.open_pipes == 0) {
                (Some(found), _) => Some(Ok(found)),
                (None, true) => Some(Err(anyhow!("ended without \"{what}\""))),
                (None, false) => None,
            }
        })?
        .map_err(|error| self.tell(&error))
    }

    /// Waits for `count` more lines that contain `part`, not counting those printed already.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub fn more_lines(&self, part: &str, count: usize) -> Result<()> {
        let matching = |state: &State| state.lines.iter().filter(|line| line.contains(part)).count();
        let goal = matching(&self.shared.lock()) + count;
        self.until(part, |state| {
            let ended = state.exit.is_some() && state.open_pipes == 0;
            (ended || matching(state) >= goal).then(|| matching(state) >= goal)
        })?
        .then_some(())
        .ok_or_else(|| self.tell(&anyhow!("ended before {count} more of \"{part}\"")))
    }

    /// Waits for the end and gives the exit code.
    ///
    /// # Errors
    /// A minute passed, or a signal ended it.
    pub fn exit(&self) -> Result<i32> {
        self.exit_within(PATIENCE)
    }

    /// As [`exit`](Self::exit), where being late is a failure.
    ///
    /// # Errors
    /// It still runs at the end of `limit`, or a signal ended it.
    pub fn exit_within(&self, limit: Duration) -> Result<i32> {
        let status = self.within(limit, "end", |state| state.exit.filter(|_| state.open_pipes == 0))?;
        status
            .code()
            .ok_or_else(|| self.tell(&anyhow!("ended by a signal: {status}")))
    }

    /// Waits for the end, which must be a success.
    ///
    /// # Errors
    /// As [`exit`](Self::exit), or the exit code is not 0.
    pub fn success(&self) -> Result<()> {
        match self.exit()? {
            0 => Ok(()),
            code => Err(self.tell(&anyhow!("ended with exit code {code}"))),
        }
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.shared.lock().exit.is_none()
    }

    /// Ends it at once, as a crash would.
    ///
    /// # Errors
    /// A minute passed.
    pub fn kill(&self) -> Result<()> {
        self.signal("KILL")?;
        self.until("end", |state| state.exit).map(|_status| ())
    }

    /// Sends the signal of that name, without waiting for what follows; nothing if it has ended.
    ///
    /// # Errors
    /// The system's `kill` command cannot be run.
    pub fn signal(&self, name: &str) -> Result<()> {
        let state = self.shared.lock();
        if state.exit.is_none() {
            Command::new("kill")
                .arg(format!("-{name}"))
                .arg(self.pid.to_string())
                .stderr(Stdio::null())
                .status()?;
        }
        drop(state);
        Ok(())
    }

    /// Memory in use, in bytes.
    ///
    /// # Errors
    /// It has ended, or this system has no `/proc`.
    pub fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// The pipe into its standard input, if [`Spawn::stdin`] asked for one; dropping it ends the input.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// The pipe out of its standard output, after [`Stdout::Pipe`].
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    fn until<T>(&self, what: &str, check: impl FnMut(&State) -> Option<T>) -> Result<T> {
        self.within(PATIENCE, what, check)
    }

    fn within<T>(
        &self,
        limit: Duration,
        what: &str,
        mut check: impl FnMut(&State) -> Option<T>,
    ) -> Result<T> {
        let mut found = None;
        let waited = self
            .shared
            .changed
            .wait_timeout_while(self.shared.lock(), limit, |state| {
                found = check(state);
                found.is_none()
            });
        drop(waited);
        found.ok_or_else(|| self.tell(&anyhow!("no {what} within {limit:?}")))
    }

    fn tell(&self, error: &anyhow::Error) -> anyhow::Error {
        anyhow!(
            "{}: {error:#}; it printed:\n{}",
            self.name,
            self.lines().join("\n")
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing to do about a failure here: the test has its verdict.
        let _ended = self.kill();
        if thread::panicking() {
            eprintln!("{} printed:\n{}", self.name, self.lines().join("\n"));
        }
    }
}
