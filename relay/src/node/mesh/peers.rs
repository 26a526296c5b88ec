//! The passive view on disk, so that a node finds its mesh again when those are gone that it was told of at first.

use bytes::Bytes;
use headwater_certs::StateError;
use tracing::warn;

use super::Mesh;
use crate::overlay::message::{
    AliasReader, AliasWriter, Fit, MAX_OBJECT, ObjectReader, ObjectWriter, PeerRecord, Record,
};

/// Name of the file: an object of gossip with PEERS only.
const FILE: &str = "mesh.peers";

impl Mesh {
    /// Keeps these.
    ///
    /// # Errors
    /// The state directory fails.
    pub(super) fn keep_peers(&self, records: &[PeerRecord]) -> Result<(), StateError> {
        self.dir.write(FILE, &write(records))
    }

    /// Those kept last. A file that cannot be read is as good as none: it is made anew.
    pub(in crate::node) fn kept_peers(&self) -> Vec<PeerRecord> {
        match self.dir.read(FILE) {
            Ok(contents) => contents.map(|bytes| read(bytes.into())).unwrap_or_default(),
            Err(error) => {
                warn!(%error, "no peers of earlier are known");
                Vec::new()
            }
        }
    }
}

fn write(records: &[PeerRecord]) -> Bytes {
    let mut aliases = AliasWriter::default();
    let mut object = ObjectWriter::new(&mut aliases, MAX_OBJECT);
    for record in records {
        if object.push(&Record::Peers(vec![record.clone()])) != Ok(Fit::In) {
            break;
        }
    }
    object.finish()
}

fn read(bytes: Bytes) -> Vec<PeerRecord> {
    let mut aliases = AliasReader::default();
    let mut kept = Vec::new();
    let Ok(mut reader) = ObjectReader::new(&mut aliases, bytes) else {
        return kept;
    };
    while let Ok(Some(record)) = reader.poll() {
        if let Record::Peers(records) = record {
            kept.extend(records);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::id::NodeId;
    use crate::overlay::message::{Roles, Signature};

    #[test]
    fn what_was_kept_is_read_and_nonsense_is_nobody() {
        let records: Vec<_> = (0..3)
            .map(|seed| PeerRecord {
                node: NodeId([seed; 32]),
                addresses: vec![format!("moqt://127.0.0.1:{seed}")],
                roles: Roles::RELAY,
                time_ms: 7,
                signature: Signature([seed; 64]),
            })
            .collect();
        let bytes = write(&records);
        assert_eq!(read(bytes.clone()), records);
        assert_eq!(read(bytes.slice(..bytes.len() - 1)), records[..2]);
        assert_eq!(read(Bytes::from_static(b"nonsense")), []);
    }
}
