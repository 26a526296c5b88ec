//! Connection IDs of a server: random, with a check.
//!
//! Packets of strangers are told from those of connections that are gone, and not answered with a reset. quinn has such a generator
//! too, but only 24 bits of its IDs are random, and an ID that a Retry gives a newcomer is not compared with those in use: with
//! two thousand sessions of eight IDs each, by the odds, one newcomer in a thousand is taken for a session, and its packets are lost
//! until it gives up.

use std::hash::{DefaultHasher, Hasher};

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid, RandomConnectionIdGenerator};

/// Random bytes of an ID.
const RANDOM: usize = 8;
/// Bytes of its check.
const CHECK: usize = 4;

/// Makes connection IDs that only who has the key can make.
#[derive(Debug)]
pub(super) struct CheckedIds {
    key: u64,
    random: RandomConnectionIdGenerator,
}

impl CheckedIds {
    pub(super) fn new(key: u64) -> Self {
        Self {
            key,
            random: RandomConnectionIdGenerator::new(RANDOM),
        }
    }

    fn check(&self, random: &[u8]) -> [u8; 8] {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.key);
        hasher.write(random);
        hasher.finish().to_be_bytes()
    }
}

impl ConnectionIdGenerator for CheckedIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let random = self.random.generate_cid();
        let check = self.check(&random);
        let mut id = [0; RANDOM + CHECK];
        for (place, byte) in id.iter_mut().zip(random.iter().chain(&check)) {
            *place = *byte;
        }
        ConnectionId::new(&id)
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let parts = id.split_at_checked(RANDOM);
        parts
            .filter(|(random, check)| self.check(random).get(..CHECK) == Some(check))
            .map(|_| ())
            .ok_or(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        RANDOM + CHECK
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_its_own_and_never_the_same() {
        let mut ids = CheckedIds::new(7);
        // Of 24 random bits, some hundred of these would be the same.
        let made: BTreeSet<Vec<u8>> = (0..60_000).map(|_| ids.generate_cid().to_vec()).collect();
        assert_eq!(made.len(), 60_000);
        for id in made.iter().take(100) {
            assert_eq!(id.len(), ids.cid_len());
            let own = ConnectionId::new(id);
            assert!(ids.validate(&own).is_ok());
            assert!(CheckedIds::new(8).validate(&own).is_err());
            for bit in 0..id.len() * 8 {
                let mut other = id.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                assert!(ids.validate(&ConnectionId::new(&other)).is_err());
            }
            for len in 0..id.len() {
                assert!(ids.validate(&ConnectionId::new(&id[..len])).is_err());
            }
        }
    }
}
