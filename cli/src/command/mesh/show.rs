//! `moq mesh show`: what is known of the mesh here, for people and as JSON.

use std::time::SystemTime;

use headwater_certs::mesh::{Authority, Ledger, Membership, MeshId, NodeId, Revocations, Rights};

use super::{Place, Told, failed};
use crate::command::cert::date;
use crate::exit::Failure;
use crate::target::path_of;
use headwater_pubsub::wire::TrackNamespace;

/// Everything that is shown.
struct View {
    mesh: MeshId,
    authority: Holder,
    own: Option<Own>,
    /// Id, end of the newest certificate. Only the authority knows them.
    members: Vec<(NodeId, SystemTime)>,
    revoked: Vec<(NodeId, SystemTime)>,
}

struct Own {
    node: NodeId,
    expires: SystemTime,
    expired: bool,
    rights: Rights,
}

/// Where the authority is.
enum Holder {
    Here,
    /// The addresses of its node.
    Elsewhere(Vec<String>),
}

pub(super) fn report(place: &Place, json: bool) -> Result<Told, Failure> {
    let view = View::of(place)?;
    let out = if json {
        format!("{}\n", view.json())
    } else {
        view.text()
    };
    Ok(Told {
        out,
        notes: Vec::new(),
    })
}

impl View {
    fn of(place: &Place) -> Result<Self, Failure> {
        let dir = place.dir()?;
        let authority = Authority::load(&dir).map_err(failed)?;
        let membership = Membership::from_state(&dir).map_err(failed)?;
        let mesh = match (&authority, &membership) {
            (Some(authority), _) => authority.mesh(),
            (None, Some(member)) => member.mesh(),
            (None, None) => return Err(place.no_mesh()),
        };
        let revocations = Revocations::load(&dir, mesh).map_err(failed)?;
        let ledger = match &authority {
            Some(_) => Ledger::load(&dir).map_err(failed)?,
            None => Ledger::default(),
        };
        let office = membership.as_ref().and_then(Membership::office);
        let addresses = office.map_or_else(Vec::new, |office| {
            office.addresses.iter().map(ToString::to_string).collect()
        });
        Ok(Self {
            mesh,
            authority: match authority {
                Some(_) => Holder::Here,
                None => Holder::Elsewhere(addresses),
            },
            own: membership.map(|member| Own {
                node: member.node(),
                expires: member.expires(),
                expired: member.expires() < place.now,
                rights: member.certificate().rights().clone(),
            }),
            members: ledger
                .members()
                .filter(|(node, member)| member.expires >= place.now && !revocations.contains(*node))
                .map(|(node, member)| (node, member.expires))
                .collect(),
            revoked: revocations
                .iter()
                .map(|record| (record.node(), record.time()))
                .collect(),
        })
    }

    fn text(&self) -> String {
        let mut lines = vec![
            format!("mesh       {}", self.mesh),
            match &self.authority {
                Holder::Here => "authority  this node".to_owned(),
                Holder::Elsewhere(addresses) => format!("authority  {}", addresses.join(", ")),
            },
        ];
        if let Some(own) = &self.own {
            let until = if own.expired {
                "member until (over)"
            } else {
                "member until"
            };
            lines.push(format!("this node  {}  {until} {}", own.node, date(own.expires)));
            lines.push(format!("announces  {}", names(&own.rights).join(", ")));
        }
        let list = |title: &str, nodes: &[(NodeId, SystemTime)]| {
            nodes
                .iter()
                .map(|(node, time)| format!("{title:<10} {node}  {}", date(*time)))
                .collect::<Vec<_>>()
        };
        lines.extend(list("member to", &self.members));
        lines.extend(list("revoked", &self.revoked));
        lines.push(String::new());
        lines.join("\n")
    }

    fn json(&self) -> serde_json::Value {
        let list = |key: &str, nodes: &[(NodeId, SystemTime)]| {
            nodes
                .iter()
                .map(|(node, time)| serde_json::json!({ "node": node.to_string(), key: date(*time) }))
                .collect::<Vec<_>>()
        };
        let (here, addresses) = match &self.authority {
            Holder::Here => (true, [].as_slice()),
            Holder::Elsewhere(addresses) => (false, addresses.as_slice()),
        };
        serde_json::json!({
            "mesh": self.mesh.to_string(),
            "authority": { "here": here, "addresses": addresses },
            "node": self.own.as_ref().map(|own| serde_json::json!({
                "id": own.node.to_string(),
                "expires": date(own.expires),
                "expired": own.expired,
                "announces": match own.rights {
                    Rights::All => serde_json::Value::Null,
                    Rights::Under(_) => names(&own.rights).into(),
                },
            })),
            "members": list("expires", &self.members),
            "revoked": list("time", &self.revoked),
        })
    }
}

/// The prefixes as they are given to `moq mesh invite --namespace`.
fn names(rights: &Rights) -> Vec<String> {
    match rights {
        Rights::All => vec!["every namespace".to_owned()],
        Rights::Under(prefixes) => prefixes
            .iter()
            .map(|prefix| {
                TrackNamespace::new(prefix.fields())
                    .map_or_else(|_limit| String::new(), |name| path_of(&name))
            })
            .collect(),
    }
}
