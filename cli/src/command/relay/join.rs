//! The invite that a relay starts with: where its text is to be had, whether it is needed, and why it did not help.
//!
//! A relay stays a member over restarts. So that it can be started the same way every time, an invite that it does not need any
//! more is not even read: its file may be gone.

use std::io::Read;
use std::time::SystemTime;

use headwater_certs::StateDir;
use headwater_certs::mesh::{Invite, Membership, StoreError};
use headwater_relay::config::{Config, Secret};
use headwater_relay::node::JoinError;

use crate::exit::{Exit, Failure};

/// Most bytes that are read of an invite: the longest one has fewer.
const MAX_TEXT: u64 = 8192;
/// Stands for the standard input.
const STDIN: &str = "-";
/// Before the name of a file.
const FILE: char = '@';

/// Puts the invite's text where the settings say where it is to be had. Takes it out, and says so, if the relay is a member
/// of a mesh already.
///
/// # Errors
/// The text cannot be read, or the relay is a member of another mesh.
pub(super) fn resolve(
    config: &mut Config,
    stdin: impl Read,
    now: SystemTime,
) -> Result<Option<String>, Failure> {
    let Some(given) = config.join.take() else {
        return Ok(None);
    };
    let given = given.expose().trim();
    let Some(member) = membership(config)?.filter(|member| member.expires() > now) else {
        config.join = Some(Secret::from(text(given, stdin)?));
        return Ok(None);
    };
    let other = Invite::parse(given).is_ok_and(|invite| invite.mesh() != member.mesh());
    if other {
        let mesh = member.mesh();
        return Err(failed(StoreError::OtherMesh { mesh }.into()));
    }
    Ok(Some(format!(
        "member of the mesh {} already: the invite is not used",
        member.mesh()
    )))
}

/// What the relay is already. Makes no directory.
fn membership(config: &Config) -> Result<Option<Membership>, Failure> {
    let failed =
        |error: anyhow::Error| Failure::new(Exit::Failure, error).context("the relay does not start");
    let path = match &config.state_dir {
        Some(path) => path.clone(),
        None => StateDir::default_path().map_err(|error| failed(error.into()))?,
    };
    match StateDir::existing(path) {
        Some(dir) => Membership::from_state(&dir).map_err(|error| failed(error.into())),
        None => Ok(None),
    }
}

/// The invite itself.
fn text(given: &str, stdin: impl Read) -> Result<String, Failure> {
    let unreadable = |place: &str, error: std::io::Error| {
        let text = format!("cannot read the invite from {place}: {error}; check --join");
        Failure::say(Exit::Usage, text)
    };
    if given == STDIN {
        return read(stdin).map_err(|error| unreadable("stdin", error));
    }
    match given.strip_prefix(FILE) {
        Some(path) => std::fs::File::open(path)
            .and_then(read)
            .map_err(|error| unreadable(path, error)),
        None => Ok(given.to_owned()),
    }
}

fn read(from: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(MAX_TEXT).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// A mesh that would not have the relay, as a sentence with an exit code.
pub(super) fn failed(error: JoinError) -> Failure {
    let (exit, context) = match &error {
        JoinError::Invite(_) => (Exit::Usage, "--join"),
        JoinError::Peer(_) => (Exit::Usage, "--peer"),
        JoinError::NoMesh => return Failure::new(Exit::Usage, error),
        JoinError::Unreachable { .. } | JoinError::NoAnswer(_) => (Exit::Connect, "cannot join the mesh"),
        JoinError::Answer(_) | JoinError::Store(StoreError::OtherMesh { .. }) => {
            (Exit::Refused, "cannot join the mesh")
        }
        _ => (Exit::Failure, "cannot join the mesh"),
    };
    Failure::new(exit, error).context(context)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use headwater_certs::mesh::{Authority, CERTIFICATE_LENGTH};

    use super::*;

    fn config(state: &std::path::Path, join: &str) -> Config {
        Config {
            state_dir: Some(state.into()),
            join: Some(Secret::from(join.to_owned())),
            ..Config::default()
        }
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[test]
    fn an_invite_is_taken_as_it_is_or_from_a_file_or_from_stdin() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("invite");
        std::fs::write(&file, "headwater-invite:file\n").unwrap();
        let state = temp.path().join("state");
        for (given, expected) in [
            (" headwater-invite:flag", "headwater-invite:flag"),
            (&format!("@{}", file.display()), "headwater-invite:file"),
            ("-", "headwater-invite:stdin"),
        ] {
            let mut config = config(&state, given);
            let note = resolve(&mut config, "headwater-invite:stdin\r\n".as_bytes(), now()).unwrap();
            assert_eq!(config.join.unwrap().expose(), expected);
            assert_eq!(note, None);
        }
        assert!(!state.exists(), "looking makes nothing");
    }

    #[test]
    fn a_file_that_is_not_there_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let failure = resolve(&mut config(temp.path(), "@nowhere"), std::io::empty(), now()).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.to_string().contains("nowhere"), "{failure}");
    }

    #[test]
    fn a_member_needs_no_invite_until_its_membership_ends() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::create(temp.path()).unwrap();
        let (authority, _) = Authority::create(&dir, now()).unwrap();
        let mut again = config(temp.path(), "@gone");
        let note = resolve(&mut again, std::io::empty(), now()).unwrap().unwrap();
        assert!(note.contains(&authority.mesh().to_string()), "{note}");
        assert_eq!(again.join, None);
        let mut late = config(temp.path(), "headwater-invite:new");
        let much_later = now() + CERTIFICATE_LENGTH * 2;
        assert_eq!(resolve(&mut late, std::io::empty(), much_later).unwrap(), None);
        assert!(late.join.is_some());
    }
}
