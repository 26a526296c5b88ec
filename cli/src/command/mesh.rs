//! `moq mesh`: the mesh that the relay of this machine belongs to, from the files in its state directory.
//!
//! Nothing here talks to a running relay: whoever lets nodes in reads the authority's files each time.

mod show;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use headwater_certs::mesh::{
    Authority, Invite, Ledger, Membership, NamespacePrefix, NodeId, Office, Revocations, Rights, Terms,
};
use headwater_certs::{NodeKey, StateDir};
use headwater_relay::config::parse_duration;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use super::cert::{date, now};
use crate::args::{InviteArgs, MeshAction, MeshArgs};
use crate::exit::{Exit, Failure};
use crate::output::Console;
use crate::target::parse_namespace;

/// Shortest and longest life of an invite.
const VALID: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(720 * 3600);
/// Digits of a node's id that are enough to name it; logs show sixteen.
const LEAST_DIGITS: usize = 8;

pub(super) fn run(args: &MeshArgs, console: &Console) -> Result<Exit, Failure> {
    let place = Place {
        path: match &args.state_dir {
            Some(path) => path.clone(),
            None => StateDir::default_path().map_err(failed)?,
        },
        now: now(),
    };
    let told = match &args.action {
        MeshAction::Create => place.create()?,
        MeshAction::Invite(args) => place.invite(args)?,
        MeshAction::Revoke { node } => place.revoke(node)?,
        MeshAction::Show { json } => show::report(&place, *json)?,
    };
    print!("{}", told.out);
    for note in told.notes {
        console.note(note);
    }
    Ok(Exit::Ok)
}

fn failed(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(Exit::Failure, error)
}

/// What is said, apart from errors.
#[derive(Debug, Default)]
struct Told {
    /// Data, for stdout.
    out: String,
    /// For people, on stderr.
    notes: Vec<String>,
}

/// One node's state, at one time.
struct Place {
    path: PathBuf,
    now: SystemTime,
}

impl Place {
    fn create(&self) -> Result<Told, Failure> {
        let dir = StateDir::create(&self.path).map_err(failed)?;
        let (authority, member) = Authority::create(&dir, self.now).map_err(failed)?;
        Ok(Told {
            out: format!("mesh  {}\nnode  {}\n", authority.mesh(), member.node()),
            notes: vec![format!(
                "the authority's key is mesh.key in {}: whoever has it decides who is a member, and without it nobody can \
                 join or renew, so keep a copy in a safe place; now invite others with moq mesh invite",
                self.path.display()
            )],
        })
    }

    fn invite(&self, args: &InviteArgs) -> Result<Told, Failure> {
        let valid = validity(&args.valid)?;
        let rights = rights(&args.namespace)?;
        let (dir, authority) = self.authority()?;
        let fingerprint = match args.fingerprint {
            Some(fingerprint) => fingerprint,
            None => NodeKey::load_or_create(&dir).map_err(failed)?.fingerprint(),
        };
        let office = Office {
            fingerprint,
            addresses: args.address.clone(),
        };
        let terms = Terms {
            office,
            valid,
            rights,
        };
        let invite = authority
            .invite(terms, self.now)
            .map_err(|error| Failure::new(Exit::Usage, error))?;
        let mut notes = vec![format!(
            "lets one node in, once, until {}; whoever has this line can use it, so hand it over like a password",
            date(invite.expires())
        )];
        if args.qr {
            notes.push(picture(&invite)?);
        }
        Ok(Told {
            out: format!("{invite}\n"),
            notes,
        })
    }

    fn revoke(&self, node: &str) -> Result<Told, Failure> {
        let (dir, authority) = self.authority()?;
        let ledger = Ledger::load(&dir).map_err(failed)?;
        let members: Vec<NodeId> = ledger.members().map(|(node, _)| node).collect();
        let node = find(node, &members)?;
        let own = Membership::from_state(&dir).map_err(failed)?;
        if own.is_some_and(|own| own.node() == node) {
            let text = "this node holds the mesh's authority and cannot revoke itself; to leave the mesh, make another one with \
                        another --state-dir";
            return Err(Failure::say(Exit::Refused, text));
        }
        let known = Revocations::load(&dir, authority.mesh()).map_err(failed)?;
        let record = authority.revoke(&dir, node, self.now).map_err(failed)?;
        let mut notes = Vec::new();
        if known.contains(node) {
            notes.push(format!("it was revoked already, {}", date(record.time())));
        } else if !members.contains(&node) {
            notes.push("it was never a member of this mesh, and cannot become one now".to_owned());
        }
        Ok(Told {
            out: format!("revoked  {node}\n"),
            notes,
        })
    }

    fn dir(&self) -> Result<StateDir, Failure> {
        StateDir::existing(&self.path).ok_or_else(|| self.no_mesh())
    }

    fn no_mesh(&self) -> Failure {
        let text = format!(
            "the node of {} is in no mesh; make one with moq mesh create, or choose another --state-dir",
            self.path.display()
        );
        Failure::say(Exit::Refused, text)
    }

    fn authority(&self) -> Result<(StateDir, Authority), Failure> {
        let dir = self.dir()?;
        if let Some(authority) = Authority::load(&dir).map_err(failed)? {
            return Ok((dir, authority));
        }
        Err(match Membership::from_state(&dir).map_err(failed)? {
            None => self.no_mesh(),
            Some(member) => Failure::say(
                Exit::Refused,
                format!(
                    "only the authority of the mesh can do that, and this node is a plain member; {}",
                    match member.office().and_then(|office| office.addresses.first()) {
                        Some(address) => format!("ask the operator of {address}"),
                        None => "run it where the mesh was made".to_owned(),
                    }
                ),
            ),
        })
    }
}

fn validity(text: &str) -> Result<Duration, Failure> {
    let usage = |text: String| Failure::say(Exit::Usage, text);
    let valid = parse_duration(text).map_err(|error| usage(format!("--valid: {error}")))?;
    if VALID.contains(&valid) {
        Ok(valid)
    } else {
        Err(usage(format!(
            "--valid {text} is out of range: it must be from 1m to 720h"
        )))
    }
}

fn rights(namespaces: &[String]) -> Result<Rights, Failure> {
    let wrong = |error: anyhow::Error| Failure::new(Exit::Usage, error).context("--namespace");
    let prefixes = namespaces
        .iter()
        .map(|text| {
            let namespace = parse_namespace(text).map_err(|error| wrong(error.into()))?;
            NamespacePrefix::new(namespace.fields()).map_err(|error| wrong(error.into()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Rights::under(prefixes).map_err(|error| wrong(error.into()))
}

/// A node by its whole id, or a member by the first digits of it.
fn find(text: &str, members: &[NodeId]) -> Result<NodeId, Failure> {
    if let Ok(node) = text.parse() {
        return Ok(node);
    }
    let digits = text.trim().to_ascii_lowercase();
    if digits.len() < LEAST_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let text = format!(
            "{text:?} is no node: expected its id of 64 hex digits, or the first {LEAST_DIGITS} or more of them; moq mesh \
             show lists the members"
        );
        return Err(Failure::say(Exit::Usage, text));
    }
    let mut found = members
        .iter()
        .filter(|node| node.to_string().starts_with(&digits));
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(*node),
        (None, _) => Err(Failure::say(
            Exit::Refused,
            format!(
                "no member's id begins with {digits}; moq mesh show lists them, and a whole id can be revoked unseen"
            ),
        )),
        (Some(_), Some(_)) => Err(Failure::say(
            Exit::Refused,
            format!("several members' ids begin with {digits}; give more digits"),
        )),
    }
}

/// For a camera that looks at a terminal with light text on dark ground, as most are; scanners read the inverse too.
fn picture(invite: &Invite) -> Result<String, Failure> {
    let code =
        QrCode::with_error_correction_level(invite.to_string(), qrcode::EcLevel::L).map_err(|_too_long| {
            let text =
                "the invite is too long for a QR code; name fewer addresses or namespaces, or leave --qr out";
            Failure::say(Exit::Failure, text)
        })?;
    Ok(code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build())
}

#[cfg(test)]
mod tests;
