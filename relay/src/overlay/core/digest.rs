//! Whether both ends of a session have the same in mind: a hash over the rows that one wrote and the other read.
//!
//! Aliases and sequence offsets depend on all that came before, so an error in one of them would go on unseen and leave a wrong
//! distance behind. The session of whoever finds two different hashes ends, and begins anew with the whole table.

use sha2::{Digest as _, Sha256};

use super::{Misconduct, Overlay};
use crate::overlay::id::{Distance, Neighbour};
use crate::overlay::message::{Hash, Row};

/// All rows of one direction, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows(Sha256);

impl Rows {
    pub(super) fn add(&mut self, row: &Row) {
        let distance = row.distance.map_or(u32::MAX, Distance::micros);
        self.0.update(row.origin.0);
        self.0.update(row.seq.epoch.to_be_bytes());
        self.0.update(row.seq.number.to_be_bytes());
        self.0.update(distance.to_be_bytes());
        self.0.update(row.log_version.to_be_bytes());
    }

    pub(super) fn hash(&self) -> Hash {
        Hash(self.0.clone().finalize().into())
    }
}

impl Overlay {
    /// The neighbour's hash over what it has sent.
    pub(super) fn compare(&self, neighbour: Neighbour, theirs: Hash) -> Result<(), Misconduct> {
        match self.links.get(&neighbour) {
            Some(link) if link.heard.hash() != theirs => Err(Misconduct::Digest),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use headwater_pubsub::wire::TrackNamespace;

    use super::super::tests::keys::{id, identity};
    use super::super::{Input, Output};
    use super::*;
    use crate::overlay::message::{
        AliasReader, AliasWriter, Entry, Fit, MAX_OBJECT, ObjectReader, ObjectWriter, Record,
    };
    use crate::overlay::routes;

    const LINK: Neighbour = Neighbour(1);

    fn node(seed: usize) -> Overlay {
        Overlay::new(identity(id(seed), 1, seed as u64), routes::Config::default())
    }

    fn closes(node: &mut Overlay) -> Vec<Misconduct> {
        std::iter::from_fn(|| node.poll())
            .filter_map(|output| match output {
                Output::Close { reason, .. } => Some(reason),
                _ => None,
            })
            .collect()
    }

    /// Two nodes that announce something each and have talked for 70 s; the records that the first one sent.
    fn talk(nodes: &mut [Overlay; 2]) -> Vec<Record> {
        let (mut reader, mut said) = (AliasReader::default(), Vec::new());
        let [first, second] = nodes.each_ref().map(Overlay::node);
        for (overlay, other) in nodes.iter_mut().zip([second, first]) {
            let neighbour = LINK;
            overlay.handle(
                Duration::ZERO,
                Input::NeighbourUp {
                    neighbour,
                    node: other,
                },
            );
        }
        for tenth in 0..700_u32 {
            let now = Duration::from_millis(100) * tenth;
            for sender in [0, 1] {
                nodes[sender].handle(now, Input::Tick);
                if tenth % 100 == 5 {
                    let name = TrackNamespace::new([format!("{sender}/{tenth}")]).unwrap();
                    let (entry, present) = (Entry::Namespace(name), true);
                    nodes[sender].handle(now, Input::Announce { entry, present });
                }
                while let Some(object) = nodes[sender].gossip(LINK) {
                    if sender == 0 {
                        let mut object = ObjectReader::new(&mut reader, object.clone()).unwrap();
                        said.extend(std::iter::from_fn(|| object.poll().unwrap()));
                    }
                    let neighbour = LINK;
                    nodes[1 - sender].handle(now, Input::Gossip { neighbour, object });
                }
            }
        }
        said
    }

    #[test]
    fn who_heard_all_agrees_with_each_digest() {
        let mut nodes = [node(1), node(2)];
        let said = talk(&mut nodes);
        let count = |wanted: fn(&Record) -> bool| said.iter().filter(|record| wanted(record)).count();
        assert!(count(|record| matches!(record, Record::Route(_))) > 0);
        assert_eq!(count(|record| matches!(record, Record::Digest(_))), 2);
        for node in &mut nodes {
            assert_eq!(closes(node), []);
        }
    }

    #[test]
    fn a_digest_of_something_else_ends_the_session() {
        let mut nodes = [node(1), node(2)];
        talk(&mut nodes);
        closes(&mut nodes[1]);
        let mut aliases = AliasWriter::default();
        let mut object = ObjectWriter::new(&mut aliases, MAX_OBJECT);
        let digest = Record::Digest(Hash([1; 32]));
        assert_eq!(object.push(&digest), Ok(Fit::In));
        let (neighbour, object): (_, Bytes) = (LINK, object.finish());
        nodes[1].handle(Duration::from_secs(71), Input::Gossip { neighbour, object });
        assert_eq!(closes(&mut nodes[1]), [Misconduct::Digest]);
    }
}
