//! A relay as a process, on ports of the kernel's choice.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};

use crate::home::{Home, words};
use crate::process::Process;

/// A relay about to start: `moq relay` on loopback, with the operator's interface.
#[derive(Debug)]
pub struct RelayBuilder<'a> {
    home: &'a Home,
    listen: SocketAddr,
    args: Vec<OsString>,
    variables: Vec<(&'static str, &'static str)>,
}

impl<'a> RelayBuilder<'a> {
    pub(crate) fn new(home: &'a Home) -> Self {
        Self {
            home,
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            args: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// Listens where a relay before it did.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// More flags.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(words(args));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    /// Starts it and waits until it says where it listens.
    ///
    /// # Errors
    /// It ends instead.
    pub fn start(self) -> Result<Relay> {
        let mut args = words(["relay", "--admin", "127.0.0.1:0", "--listen"]);
        args.push(self.listen.to_string().into());
        args.extend(self.args);
        let mut command = self.home.moq(args);
        for (name, value) in self.variables {
            command = command.env(name, value);
        }
        let process = command.start()?;
        let listen = process.find("moqt:// address", |line| address_after(line, "moqt://"))?;
        let admin = process.find("operator's address", |line| {
            address_after(line, "http://").filter(|address| address.port() != listen.port())
        })?;
        Ok(Relay {
            process,
            listen,
            admin,
        })
    }
}

/// A running relay; killed when dropped.
#[derive(Debug)]
pub struct Relay {
    /// The process: its lines, signals and end.
    pub process: Process,
    listen: SocketAddr,
    admin: SocketAddr,
}

impl Relay {
    /// Where it listens: UDP for MoQ, TCP for the page.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where the operator asks.
    #[must_use]
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The address of a namespace over raw QUIC.
    #[must_use]
    pub fn url(&self, namespace: &str) -> String {
        format!("moqt://{}/{namespace}", self.listen)
    }

    /// The address of a namespace over WebTransport.
    #[must_use]
    pub fn web_url(&self, namespace: &str) -> String {
        format!("https://{}/{namespace}", self.listen)
    }

    /// The value of a metric without labels, or the sum over its labels; 0 if it is not there.
    ///
    /// # Errors
    /// The operator's interface does not answer.
    pub fn metric(&self, name: &str) -> Result<f64> {
        self.labelled(name, "")
    }

    /// The sum over those labels of a metric that contain `part`, such as `reason="hedge"`.
    ///
    /// # Errors
    /// As [`metric`](Self::metric).
    pub fn labelled(&self, name: &str, part: &str) -> Result<f64> {
        let page = crate::http::get(self.admin, "/metrics")?;
        let values = page.body.lines().filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            (key.split('{').next()? == name && key.contains(part)).then(|| value.parse::<f64>().ok())?
        });
        Ok(values.sum())
    }

    /// What the operator's interface says there.
    ///
    /// # Errors
    /// It does not answer, or not with success.
    pub fn ask(&self, path: &str) -> Result<serde_json::Value> {
        let answer = crate::http::get(self.admin, path)?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
        Ok(serde_json::from_str(&answer.body)?)
    }

    /// Ends it as a crash would, and gives the address to start the next one at.
    ///
    /// # Errors
    /// It does not end.
    pub fn crash(self) -> Result<SocketAddr> {
        self.process.kill().context("the relay survives SIGKILL")?;
        Ok(self.listen)
    }
}

/// The loopback address that follows `scheme` in a printed line.
fn address_after(line: &str, scheme: &str) -> Option<SocketAddr> {
    let rest = line.split(scheme).nth(1)?;
    let authority = rest
        .split(|c: char| c == '/' || c.is_whitespace() || c == '"')
        .next()?;
    let port = authority.rsplit_once(':')?.1.parse().ok()?;
    Some((Ipv4Addr::LOCALHOST, port).into())
}
