//! The story of one mesh: `world()` makes an authority, an invite and nodes, and each module breaks one part of it.

mod admission;
mod files;
mod forms;
mod proofs;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::Fingerprint;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Of the connection in these tests.
const HERE: Exporter = Exporter([7; 32]);
/// Of another connection.
const ELSEWHERE: Exporter = Exporter([8; 32]);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn prefix(fields: &[&str]) -> NamespacePrefix {
    NamespacePrefix::new(fields).unwrap()
}

fn rights() -> Rights {
    Rights::under([prefix(&["live", "anna"]), prefix(&["archive"])]).unwrap()
}

fn terms() -> Terms {
    Terms {
        office: Office {
            fingerprint: Fingerprint::from_bytes([9; 32]),
            addresses: vec![
                "relay.example:4443".parse().unwrap(),
                "[2001:db8::7]:4443".parse().unwrap(),
            ],
        },
        valid: HOUR,
        rights: rights(),
    }
}

/// An authority with its memory, an invite of it, and a node that wants in.
struct World {
    authority: Authority,
    ledger: Ledger,
    revocations: Revocations,
    invite: Invite,
    node: Arc<NodeIdentity>,
}

fn world() -> World {
    let authority = Authority::generate().unwrap();
    World {
        ledger: Ledger::default(),
        revocations: Revocations::none(authority.mesh()),
        invite: authority.invite(terms(), now()).unwrap(),
        node: node(),
        authority,
    }
}

fn node() -> Arc<NodeIdentity> {
    Arc::new(NodeIdentity::generate().unwrap())
}

impl World {
    fn decide(&mut self, request: &[u8], now: SystemTime) -> Answer {
        self.authority
            .decide(request, &HERE, &mut self.ledger, &self.revocations, now)
    }

    fn join(&mut self, node: &NodeIdentity, now: SystemTime) -> Answer {
        let request = Request::join(&self.invite, node, &HERE).encode();
        self.decide(&request, now)
    }

    /// The node of this world as a member.
    fn member(&mut self) -> Membership {
        let node = Arc::clone(&self.node);
        let answer = self.join(&node, now()).encode();
        Membership::join(node, &self.invite, &answer).unwrap()
    }

    fn revoke(&mut self, node: NodeId) -> Revocation {
        self.revocations.revoke(&self.authority, node, now()).unwrap()
    }
}

/// Calls `check` with every true prefix of `bytes`, every single flipped bit, and one byte more.
fn damage(bytes: &[u8], mut check: impl FnMut(&[u8], &str)) {
    for len in 0..bytes.len() {
        check(&bytes[..len], &format!("the first {len} bytes"));
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        check(&flipped, &format!("bit {bit} flipped"));
    }
    check(&[bytes, &[0]].concat(), "one byte more");
}
