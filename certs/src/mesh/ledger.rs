//! What the authority remembers: which invites were used, and who was let in.
//!
//! A used invite is kept until it would have expired anyhow, and a day longer: then a clock that is set back by less
//! revives none. Members are kept for people to see, until a month after their last certificate ended.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::certificate::{CERTIFICATE_LENGTH, NodeCertificate};
use super::codec::{DecodeError, Reader, Writer, whole_seconds};
use super::invite::{Invite, Nonce};
use super::key::NodeId;

/// Most used invites and most members: 960 kB on disk together, below what the state directory reads.
const MAX_ENTRIES: usize = 8192;
/// How long a used invite is kept beyond its expiry.
const CLOCK_SET_BACK: Duration = Duration::from_secs(24 * 3600);

/// Too many entries: nothing was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_ENTRIES} invites were used or members let in; wait until some expire")]
pub(super) struct LedgerFull;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Used {
    by: NodeId,
    expires: SystemTime,
}

/// A member, as the authority knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// When it was let in first.
    pub joined: SystemTime,
    /// When its newest certificate ends.
    pub expires: SystemTime,
}

/// Used invites and members of one mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    used: BTreeMap<Nonce, Used>,
    members: BTreeMap<NodeId, Member>,
}

impl Ledger {
    /// Everybody who was let in, revoked ones too, by id.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (NodeId, Member)> {
        self.members.iter().map(|(&node, &member)| (node, member))
    }

    /// Who has used this invite.
    pub(super) fn user(&self, invite: &Invite) -> Option<NodeId> {
        self.used.get(&invite.nonce()).map(|used| used.by)
    }

    /// Notes a certificate that was made, and the invite for which it was: both or nothing.
    pub(super) fn grant(
        &mut self,
        certificate: &NodeCertificate,
        invite: Option<&Invite>,
        now: SystemTime,
    ) -> Result<(), LedgerFull> {
        let node = certificate.node();
        let known = self.members.get(&node);
        let joined = known.map_or_else(|| whole_seconds(now), |member| member.joined);
        let room = |len: usize, replaces: bool| len < MAX_ENTRIES || replaces;
        let fits = room(self.members.len(), known.is_some())
            && invite.is_none_or(|invite| room(self.used.len(), self.user(invite).is_some()));
        if !fits {
            return Err(LedgerFull);
        }
        let expires = certificate.validity().not_after;
        self.members.insert(node, Member { joined, expires });
        if let Some(invite) = invite {
            let used = Used {
                by: node,
                expires: invite.expires(),
            };
            self.used.insert(invite.nonce(), used);
        }
        Ok(())
    }

    /// Forgets what can no longer matter.
    pub(super) fn prune(&mut self, now: SystemTime) {
        let fresh =
            |expires: SystemTime, keep: Duration| expires.checked_add(keep).is_none_or(|until| now <= until);
        self.used.retain(|_, used| fresh(used.expires, CLOCK_SET_BACK));
        self.members
            .retain(|_, member| fresh(member.expires, CERTIFICATE_LENGTH));
    }

    /// The binary form.
    pub fn encode(&self) -> Vec<u8> {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let writer = Writer::versioned().u32(count(self.used.len()));
        let writer = self.used.iter().fold(writer, |writer, (nonce, used)| {
            writer
                .put(nonce.as_bytes())
                .put(used.by.as_bytes())
                .time(used.expires)
        });
        let writer = writer.u32(count(self.members.len()));
        let writer = self.members.iter().fold(writer, |writer, (node, member)| {
            writer
                .put(node.as_bytes())
                .time(member.joined)
                .time(member.expires)
        });
        writer.finish()
    }

    /// Reads the binary form.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it is not exactly one ledger.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::versioned(bytes)?;
        let mut ledger = Self::default();
        for _ in 0..count(&mut reader)? {
            let nonce = Nonce::decode(&mut reader)?;
            let used = Used {
                by: NodeId::from_bytes(reader.array()?),
                expires: reader.time()?,
            };
            ascending(ledger.used.last_key_value().map(|(last, _)| *last < nonce))?;
            ledger.used.insert(nonce, used);
        }
        for _ in 0..count(&mut reader)? {
            let node = NodeId::from_bytes(reader.array()?);
            let member = Member {
                joined: reader.time()?,
                expires: reader.time()?,
            };
            ascending(ledger.members.last_key_value().map(|(last, _)| *last < node))?;
            ledger.members.insert(node, member);
        }
        reader.finish()?;
        Ok(ledger)
    }
}

fn count(reader: &mut Reader<'_>) -> Result<usize, DecodeError> {
    usize::try_from(reader.u32()?)
        .ok()
        .filter(|&count| count <= MAX_ENTRIES)
        .ok_or(DecodeError::Field("number of entries"))
}

fn ascending(in_order: Option<bool>) -> Result<(), DecodeError> {
    match in_order {
        Some(false) => Err(DecodeError::Field("order of entries")),
        Some(true) | None => Ok(()),
    }
}
