//! `moq relay`: a node with the settings given, until it is told to stop.

mod join;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use headwater_certs::{Fingerprint, StateDir};
use headwater_pubsub::net::EndpointError;
use headwater_relay::config::Config;
use headwater_relay::node::{Node, Shutdown, StartError};
use tokio::task::JoinSet;

use super::cert::now;
use crate::args::RelayArgs;
use crate::exit::{Exit, Failure};
use crate::options;
use crate::output::Console;
use crate::signal::Signals;

/// An address that is not assigned to anybody (RFC 5737): asking the system for the way there sends nothing.
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
/// How long the node may take after the second signal.
const ABORT: Duration = Duration::from_secs(1);

pub(super) async fn run(args: &RelayArgs, console: &Console) -> Result<Exit, Failure> {
    if args.print_config {
        print!("{}", Config::commented_toml());
        return Ok(Exit::Ok);
    }
    let mut config = options::relay_config(args, |name| std::env::var(name).ok())?;
    if let Some(needless) = join::resolve(&mut config, std::io::stdin(), now())? {
        console.note(needless);
    }
    let mut tasks = JoinSet::new();
    let signals = Signals::listen(&mut tasks)?;
    let node = Node::bind(config.clone())
        .await
        .map_err(|error| start_failed(error, &config))?;
    for line in greeting(&Greeting::of(&node, &config)) {
        console.note(line);
    }
    let shutdown = Shutdown {
        drain: signals.stop.clone(),
        abort: signals.abort.clone(),
    };
    let told = async {
        signals.stop.cancelled().await;
        console.note(format!(
            "draining: sessions are asked to leave, at most {} s; a second signal ends at once",
            config.drain.as_secs()
        ));
        signals.abort.cancelled().await;
        tokio::time::sleep(ABORT).await;
    };
    tokio::select! {
        () = node.run(shutdown) => Ok(Exit::Ok),
        () = told => Ok(Exit::Interrupted),
    }
}

/// A start that failed as a sentence that says what to try.
pub(super) fn start_failed(error: StartError, config: &Config) -> Failure {
    let error = match error {
        StartError::Join(error) => return join::failed(error),
        error => error,
    };
    let in_use = |error: &StartError| {
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            let io = error.downcast_ref::<std::io::Error>();
            if io.is_some_and(|io| io.kind() == std::io::ErrorKind::AddrInUse) {
                return true;
            }
            cause = error.source();
        }
        false
    };
    let advice = match &error {
        StartError::Tcp(_) | StartError::Udp(EndpointError::Bind { .. }) if in_use(&error) => format!(
            "cannot listen on {}: the port is in use, perhaps by another relay; stop that one, or choose another --listen",
            config.listen
        ),
        StartError::Admin(_) if in_use(&error) => format!(
            "cannot open the operator's interface on {}: the port is in use, perhaps by another relay; choose another \
             --admin, or --admin off",
            config
                .admin
                .map(|address| address.to_string())
                .unwrap_or_default()
        ),
        StartError::Config(_) | StartError::Alternates(_) => return Failure::new(Exit::Usage, error),
        _ => return Failure::new(Exit::Failure, error).context("the relay does not start"),
    };
    Failure::say(Exit::Failure, advice)
}

/// What the greeting depends on.
struct Greeting {
    listen: SocketAddr,
    admin: Option<SocketAddr>,
    fingerprint: Option<Fingerprint>,
    /// Clients on this machine find the relay's key by themselves.
    found_here: bool,
    /// This machine's address as others see it.
    address: Option<IpAddr>,
    name: Option<String>,
    open: Publishers,
}

/// Who besides this machine may publish.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Publishers {
    Nobody,
    Token,
    Everybody,
}

impl Greeting {
    fn of(node: &Node, config: &Config) -> Self {
        let default = StateDir::default_path().ok();
        Self {
            listen: node.local_addr(),
            admin: node.admin_addr(),
            fingerprint: node.fingerprint(),
            found_here: config.state_dir.is_none() || config.state_dir == default,
            address: own_address(),
            name: config.tls_names.first().cloned(),
            open: match (config.public, &config.publish_token) {
                (true, _) => Publishers::Everybody,
                (false, Some(_)) => Publishers::Token,
                (false, None) => Publishers::Nobody,
            },
        }
    }
}

/// The address that this machine would use towards others.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

/// Where to publish and watch, as commands to paste.
fn greeting(about: &Greeting) -> Vec<String> {
    let port = about.listen.port();
    let ip = about.listen.ip().to_canonical();
    let pin = about
        .fingerprint
        .map(|fingerprint| format!("--fingerprint {fingerprint} "))
        .unwrap_or_default();
    let here = if ip.is_loopback() || ip.is_unspecified() {
        "localhost".to_owned()
    } else {
        SocketAddr::new(ip, 0).ip().to_string()
    };
    let here = if here.contains(':') {
        format!("[{here}]")
    } else {
        here
    };
    let pin_here = if about.found_here && here == "localhost" {
        ""
    } else {
        &pin
    };
    let mut lines = vec![format!(
        "relay on {} (UDP: raw QUIC and WebTransport; TCP: page)",
        about.listen
    )];
    if let Some(fingerprint) = about.fingerprint {
        lines.push(format!("fingerprint {fingerprint}"));
    }
    lines.push("on this machine:".into());
    lines.push(format!(
        "  moq publish {pin_here}moqt://{here}:{port}/live/cam video.mp4"
    ));
    lines.push(format!(
        "  moq subscribe {pin_here}moqt://{here}:{port}/live/cam | ffplay -"
    ));
    let name = about.name.clone();
    let elsewhere = if ip.is_unspecified() {
        name.or_else(|| about.address.map(|ip| ip.to_string()))
    } else {
        name
    };
    if let Some(host) = elsewhere.filter(|_| !ip.is_loopback()) {
        lines.push("from elsewhere:".into());
        match about.open {
            Publishers::Nobody => {}
            Publishers::Token => {
                lines.push(format!(
                    "  moq publish {pin}--token TOKEN moqt://{host}:{port}/live/cam video.mp4"
                ));
            }
            Publishers::Everybody => {
                lines.push(format!(
                    "  moq publish {pin}moqt://{host}:{port}/live/cam video.mp4"
                ));
            }
        }
        lines.push(format!(
            "  moq subscribe {pin}moqt://{host}:{port}/live/cam | ffplay -"
        ));
        if about.open == Publishers::Nobody {
            lines.push("  (publishing from elsewhere needs --publish-token TOKEN or --public here)".into());
        }
    }
    lines.push(format!("in a browser here: http://localhost:{port}/live/cam"));
    if let Some(admin) = about.admin {
        lines.push(format!("operator's interface http://{admin}/health"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(listen: &str) -> Greeting {
        Greeting {
            listen: listen.parse().unwrap(),
            admin: None,
            fingerprint: Some(
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
                    .parse()
                    .unwrap(),
            ),
            found_here: true,
            address: Some(IpAddr::from([10, 0, 0, 7])),
            name: None,
            open: Publishers::Nobody,
        }
    }

    fn text(about: &Greeting) -> String {
        greeting(about).join("\n")
    }

    #[test]
    fn on_this_machine_no_fingerprint_is_needed_unless_the_state_is_elsewhere() {
        let here = text(&about("127.0.0.1:4443"));
        assert!(
            here.contains("moq publish moqt://localhost:4443/live/cam video.mp4"),
            "{here}"
        );
        assert!(!here.contains("from elsewhere"), "{here}");
        let moved = text(&Greeting {
            found_here: false,
            ..about("127.0.0.1:4443")
        });
        assert!(moved.contains("moq publish --fingerprint ba78"), "{moved}");
    }

    #[test]
    fn others_get_the_address_the_fingerprint_and_what_publishing_needs() {
        let open = text(&about("[::]:4443"));
        assert!(open.contains("moq subscribe --fingerprint ba7816bf"), "{open}");
        assert!(
            open.contains("moqt://10.0.0.7:4443/live/cam") && open.contains("--publish-token"),
            "{open}"
        );
        let token = text(&Greeting {
            open: Publishers::Token,
            name: Some("relay.example".into()),
            ..about("[::]:4443")
        });
        assert!(
            token.contains("--token TOKEN moqt://relay.example:4443"),
            "{token}"
        );
    }

    #[tokio::test]
    async fn a_port_in_use_and_an_unwritable_state_directory_say_what_to_try() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("file"), b"").unwrap();
        let config = |listen: SocketAddr, state: &str| Config {
            listen,
            admin: None,
            threads: 1,
            state_dir: Some(temp.path().join(state)),
            ..Config::default()
        };
        let busy = config(taken.local_addr().unwrap(), "state");
        let failure = start_failed(Node::bind(busy.clone()).await.unwrap_err(), &busy);
        assert!(
            failure.to_string().contains("in use") && failure.to_string().contains("--listen"),
            "{failure}"
        );
        let blocked = config("127.0.0.1:0".parse().unwrap(), "file/state");
        let failure = start_failed(Node::bind(blocked.clone()).await.unwrap_err(), &blocked);
        assert!(
            failure.to_string().contains("file/state") && failure.to_string().contains("--state-dir"),
            "{failure}"
        );
        assert_eq!(failure.exit(), Exit::Failure);
    }
}
