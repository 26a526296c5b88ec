//! The command line as typed: flags, their texts and environment variables. No system calls, no decisions.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};
use clap_complete::Shell;
use headwater_certs::Fingerprint;
use headwater_certs::mesh::Address;

use crate::exit;

/// Publish, watch and relay live media over MoQ Transport (draft-18).
#[derive(Debug, Parser)]
#[command(name = "moq", version, max_term_width = 100, after_help = exit::HELP, propagate_version = true)]
pub struct Args {
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the program's help")]
    pub logs: LogArgs,
    #[command(subcommand)]
    #[allow(missing_docs, reason = "a doc comment here would become the program's help")]
    pub command: Command,
}

/// How much is logged. Logs go to stderr; stdout is for data.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct LogArgs {
    /// Log more; twice: everything. HEADWATER_LOG=debug,quinn=warn chooses by module
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 900)]
    pub verbose: u8,
    /// Log errors only, and show no progress
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 900)]
    pub quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a relay
    Relay(RelayArgs),
    /// Publish media from an MP4 file or pipe, or lines of text
    Publish(PublishArgs),
    /// Watch a broadcast as MP4, or read the objects of a track
    Subscribe(SubscribeArgs),
    /// List namespaces as they come and go
    List(ListArgs),
    /// Show relays, a publisher and a subscriber at work in one process
    Demo(DemoArgs),
    /// Show or make the relay's key and certificates
    Cert(CertArgs),
    /// Make a mesh of relays, invite others into it, revoke them
    Mesh(MeshArgs),
    /// Show a running relay: its neighbours and its tracks
    Status(StatusArgs),
    /// Show the ways to who publishes a namespace, and why the one in use
    Route(NameArgs),
    /// Show the path by which a namespace comes here, hop by hop
    Trace(NameArgs),
    /// Write completions for a shell to stdout
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Flags of `moq relay`.
///
/// A flag wins over the environment variable `HEADWATER_SETTING`, which wins over the file given by --config.
#[derive(Debug, Default, clap::Args)]
#[command(
    after_help = "Every setting of --print-config can be given as --set NAME=VALUE and as the environment variable \
                        HEADWATER_NAME, for example HEADWATER_LIMITS_SESSIONS for limits.sessions."
)]
pub struct RelayArgs {
    /// Read settings from a TOML file
    #[arg(long, value_name = "FILE", env = "HEADWATER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Write a commented file with all settings and their defaults to stdout, and end
    #[arg(long)]
    pub print_config: bool,
    /// Address and port, UDP for MoQ and TCP for the page [default: `[::]:4443`]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Address and port of the operator's interface, or "off" [default: 127.0.0.1:4480]
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<String>,
    /// Token that the operator's interface asks for
    #[arg(long, value_name = "TOKEN")]
    pub admin_token: Option<String>,
    /// Directory of the relay's key and certificates
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Certificate chain in PEM instead of the relay's own certificate
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Private key in PEM that belongs to --cert
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// One more name for the relay's own certificate (repeatable)
    #[arg(long, value_name = "NAME")]
    pub tls_name: Vec<String>,
    /// Let whoever shows this token publish from anywhere
    #[arg(long, value_name = "TOKEN")]
    pub publish_token: Option<String>,
    /// Join a mesh, once: an invite as moq mesh invite prints it, @FILE, or - for stdin. HEADWATER_JOIN keeps it out of
    /// the list of processes. A relay that is a member already needs none
    #[arg(long, value_name = "INVITE")]
    pub join: Option<String>,
    /// Keep a session with this node of the mesh, moqt://HOST:PORT or HOST:PORT (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    pub peer: Vec<String>,
    /// Where other relays of the mesh can dial this one (repeatable, best first)
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Vec<String>,
    /// What to call this relay in status, traces and the view of the mesh [default: the machine's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Make others prefer ways around this relay that are longer by up to this time, for example 20ms
    #[arg(long, value_name = "TIME")]
    pub price: Option<String>,
    /// Let everybody publish
    #[arg(long)]
    pub public: bool,
    /// Let everybody read the overlay's redacted view
    #[arg(long)]
    pub public_overlay: bool,
    /// Network threads; 0: one per core
    #[arg(long, value_name = "COUNT")]
    pub threads: Option<u32>,
    /// Any setting by its name in the file, for example limits.sessions=100 (repeatable)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub settings: Vec<String>,
}

/// Where to connect, whom to believe, and how to show up.
#[derive(Debug, Default, Clone, clap::Args)]
pub struct ConnectArgs {
    /// moqt://HOST:PORT/NAMESPACE (raw QUIC) or https://HOST:PORT/NAMESPACE (WebTransport); the port is 443 if missing
    #[arg(value_name = "URL")]
    pub url: String,
    /// The namespace, fields separated by "/"; the path of the URL then goes to the server as it is
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Believe the server that holds the key with this SHA-256 fingerprint (repeatable); the relay prints it
    #[arg(
        long,
        value_name = "HASH",
        env = "HEADWATER_FINGERPRINT",
        value_delimiter = ','
    )]
    pub fingerprint: Vec<Fingerprint>,
    /// Believe certificates signed by an authority of this PEM file
    #[arg(
        long,
        value_name = "FILE",
        env = "HEADWATER_CA",
        conflicts_with = "fingerprint"
    )]
    pub ca: Option<PathBuf>,
    /// Believe any server; only for tests
    #[arg(long, conflicts_with_all = ["fingerprint", "ca"])]
    pub insecure: bool,
    /// Authorization token to show to the server
    #[arg(long, value_name = "TOKEN", env = "HEADWATER_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// State directory of the local relay, whose key is believed for localhost
    #[arg(long, value_name = "DIR", env = "HEADWATER_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Flags of `moq publish`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
From a camera or any source that ffmpeg reads:
  ffmpeg ... -g 60 -f mp4 -movflags +empty_moov+default_base_moof+frag_every_frame - | moq publish URL -
Lines of text: each line of stdin becomes an object; a group takes the lines of one second.
  tail -f log | moq publish --lines --track log URL
Lost connections are dialled again; the first one must succeed.")]
pub struct PublishArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would take a doc comment here for a heading")]
    pub connect: ConnectArgs,
    /// MP4 file, paced by its timestamps; "-": live from stdin
    #[arg(value_name = "FILE", default_value = "-")]
    pub input: PathBuf,
    /// Start over at the end of the file, without end
    #[arg(long = "loop", conflicts_with = "lines")]
    pub repeat: bool,
    /// Publish each line of stdin (or FILE) as an object of --track
    #[arg(long, requires = "track")]
    pub lines: bool,
    /// Name of the track for --lines
    #[arg(long, value_name = "NAME", requires = "lines")]
    pub track: Option<String>,
    /// Show progress as JSON lines on stdout
    #[arg(long)]
    pub json: bool,
}

/// Flags of `moq subscribe`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
What is lost with a session is asked for again on the next one. A publisher that starts over is continued in the same MP4. If its
format differs (codec, size, rate), an MP4 cannot follow: --output FILE.mp4 goes on in FILE-2.mp4, FILE-3.mp4 and so on, without
touching files that exist; on stdout the command ends with code 5 after what came before.
  moq subscribe URL | ffplay -
  moq subscribe -o recording.mp4 URL
  moq subscribe --track log --lines URL")]
pub struct SubscribeArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would take a doc comment here for a heading")]
    pub connect: ConnectArgs,
    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The video track to take instead of the first one
    #[arg(long, value_name = "NAME", conflicts_with = "track")]
    pub video: Option<String>,
    /// The audio track to take instead of the first one
    #[arg(long, value_name = "NAME", conflicts_with = "track")]
    pub audio: Option<String>,
    /// Take no video
    #[arg(long, conflicts_with_all = ["video", "track"])]
    pub no_video: bool,
    /// Take no audio
    #[arg(long, conflicts_with_all = ["audio", "track", "no_video"])]
    pub no_audio: bool,
    /// Write the payloads of one track as they are, one after another
    #[arg(long, value_name = "NAME")]
    pub track: Option<String>,
    /// With --track: a JSON line for each object {group, subgroup, object, size, payload in base64}
    #[arg(long, requires = "track")]
    pub json: bool,
    /// With --track: a line break after each payload
    #[arg(long, requires = "track", conflicts_with_all = ["json", "delimiter"])]
    pub lines: bool,
    /// With --track: this text after each payload; \n, \t, \0 and \\ are understood
    #[arg(long, value_name = "TEXT", requires = "track", conflicts_with = "json")]
    pub delimiter: Option<String>,
    /// With --track: fetch the past from this group (or GROUP:OBJECT) on; without --end up to the present
    #[arg(long, value_name = "GROUP[:OBJECT]", requires = "track")]
    pub start: Option<String>,
    /// With --track: fetch the past up to and with this group (or GROUP:OBJECT), then end
    #[arg(long, value_name = "GROUP[:OBJECT]", requires = "track")]
    pub end: Option<String>,
    /// Fail if the broadcast is not there, instead of waiting for it
    #[arg(long)]
    pub no_wait: bool,
}

/// Flags of `moq list`.
#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would take a doc comment here for a heading")]
    pub connect: ConnectArgs,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// Flags of `moq demo`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
The relays stand in a line of links with a delay, the publisher at the first, the subscriber at the last; longer links around
each of them are there for the day it falls silent. \"gap\" is the longest pause between two objects above their distance when sent.
  moq demo --relays 5 --kill --seconds 15")]
pub struct DemoArgs {
    /// How many relays, in one mesh made for the occasion
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub relays: u8,
    /// Delay of the links between relays, one way, up to 1s
    #[arg(long, value_name = "TIME", default_value = "20ms")]
    pub delay: String,
    /// After 5 seconds, or as many as given, let a relay in the middle of the way fall silent; needs 3 relays
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "5",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub kill: Option<u64>,
    /// End after so many seconds with a summary; exit code 0 only if all media arrived, and once
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: Option<u64>,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub json: bool,
    /// Address and port of the first relay; without it, 127.0.0.1:4443 or any free port
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// With --relays 1: directory of the relay's key and certificates; several relays keep theirs until the demo ends
    #[arg(long, value_name = "DIR", env = "HEADWATER_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Flags of `moq cert`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CertArgs {
    /// What to do with them
    #[arg(value_enum, default_value_t)]
    pub action: CertAction,
    /// Directory of the relay's key and certificates
    #[arg(long, value_name = "DIR", env = "HEADWATER_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// See [`CertArgs::action`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum CertAction {
    /// Show fingerprint, certificate hashes and dates
    #[default]
    Show,
    /// Make key and certificates if there are none, then show them
    New,
}

/// The relay that is asked: its operator's interface.
#[derive(Debug, Clone, clap::Args)]
pub struct AdminArgs {
    /// Host and port of the relay's operator's interface
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "HEADWATER_ADMIN",
        default_value = "127.0.0.1:4480"
    )]
    pub admin: String,
    /// Token that it asks for
    #[arg(
        long,
        value_name = "TOKEN",
        env = "HEADWATER_ADMIN_TOKEN",
        hide_env_values = true
    )]
    pub admin_token: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `moq status`.
#[derive(Debug, Clone, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would take a doc comment here for a heading")]
    pub admin: AdminArgs,
    /// Show it anew each second until stopped
    #[arg(long)]
    pub watch: bool,
}

/// Flags of `moq route` and `moq trace`.
#[derive(Debug, Clone, clap::Args)]
pub struct NameArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would take a doc comment here for a heading")]
    pub admin: AdminArgs,
    /// The namespace, fields separated by "/"
    #[arg(value_name = "NAMESPACE")]
    pub namespace: String,
}

/// Flags of `moq mesh`.
#[derive(Debug, Clone, clap::Args)]
pub struct MeshArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: MeshAction,
    /// State directory of the relay on this machine
    #[arg(long, value_name = "DIR", env = "HEADWATER_STATE_DIR", global = true)]
    pub state_dir: Option<PathBuf>,
}

/// See [`MeshArgs::action`].
#[derive(Debug, Clone, Subcommand)]
pub enum MeshAction {
    /// Make a mesh whose authority this node holds; if there is one, only show it
    Create,
    /// Write an invite to stdout: one line that lets one node in, once
    ///
    /// Whoever has the line can use it, so hand it over like a password. Who gets it starts their relay with it: moq relay
    /// --join INVITE. It is redeemed at this node only, which must be running and reachable at one of the addresses then.
    Invite(InviteArgs),
    /// Take a node's membership back, for good
    Revoke {
        /// The node's id as moq mesh show tells it, or its first digits (8 or more)
        node: String,
    },
    /// Show the mesh, this node's place in it, and the members that the authority knows
    Show {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Flags of `moq mesh invite`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct InviteArgs {
    /// Where this node can be dialled from elsewhere (repeatable, tried in order)
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub address: Vec<Address>,
    /// How long the invite can be used, from 1m to 720h
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub valid: String,
    /// Let the node announce only namespaces that begin so, fields separated by "/" (repeatable) [default: all]
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Vec<String>,
    /// Fingerprint of the key that this relay shows, if it was given its certificate by --cert [default: its own key]
    #[arg(long, value_name = "HASH")]
    pub fingerprint: Option<Fingerprint>,
    /// Show it as a QR code on stderr too
    #[arg(long)]
    pub qr: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_documented_command_lines_are_understood() {
        for line in [
            "moq relay",
            "moq relay --listen 127.0.0.1:4443 --admin off --state-dir state --tls-name a --tls-name b",
            "moq relay --print-config",
            "moq relay --join - --peer relay.example:4443 --peer moqt://[::1]:4443 --price 20ms",
            "moq relay --join @invite --name attic --advertise relay.example:4443 --advertise [::1]:4443",
            "moq publish moqt://localhost:4443/live/cam",
            "moq publish moqt://localhost:4443/live/cam -",
            "moq publish --loop https://localhost:4443/live/cam clip.mp4",
            "moq publish --lines --track chat moqt://localhost/room",
            "moq subscribe moqt://localhost/live/cam -o out.mp4 --no-audio",
            "moq subscribe moqt://localhost/room --track chat --json --start 3 --end 5:7",
            "moq list moqt://localhost --json",
            "moq demo --seconds 5 --json -v",
            "moq demo --relays 5 --kill --delay 50ms",
            "moq demo --kill=30 --seconds 40",
            "moq cert",
            "moq cert new --state-dir state",
            "moq mesh create --state-dir state",
            "moq mesh --state-dir state show --json",
            "moq mesh invite --address relay.example:4443 --address [::1]:4443 --valid 24h --namespace live/anna --qr",
            "moq mesh revoke 0123abcd",
            "moq status --watch --json --admin 127.0.0.1:4481",
            "moq route live/cam --admin-token secret",
            "moq trace live/cam --json",
            "moq completions bash",
        ] {
            assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "moq publish --lines moqt://localhost/room",
            "moq publish --track chat moqt://localhost/room",
            "moq subscribe moqt://localhost/room --json",
            "moq subscribe moqt://localhost/room --no-audio --no-video",
            "moq subscribe moqt://localhost/room --insecure --ca x.pem",
            "moq subscribe moqt://localhost/room --fingerprint 12",
            "moq demo --seconds 0",
            "moq demo --relays 0",
            "moq mesh",
            "moq mesh invite",
            "moq mesh invite --address relay.example",
            "moq mesh revoke",
            "moq route",
            "moq",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
