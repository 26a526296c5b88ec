//! Renewal of a node's own certificate, with the successor known ahead.
//!
//! A certificate lasts 13 days and is in use for half of them. Its successor exists from the moment it comes into use,
//! so both hashes can be published at any time: a page that pinned the two reconnects without asking again for at
//! least six days. Both are kept in the state directory, because a hash that people pinned must survive a restart.
//!
//! ```text
//! current   |--1 h--in use for 6.5 d------|-------spare 6.5 d-------|
//! next                            |--1 h--|-in use for 6.5 d--------|------...
//! ```

use std::time::{Duration, SystemTime};

use crate::{Certificate, IssueError, NodeKey, StateDir, StateError, Validity, issue};

/// How long one certificate is valid: a day below what browsers accept.
const LENGTH: Duration = Duration::from_secs(13 * 24 * 3600);
/// Clients whose clock is late by this much still accept a certificate that has just come into use.
const SLACK: Duration = Duration::from_secs(3600);
/// How long one certificate is in use.
const IN_USE: Duration = Duration::from_secs(13 * 12 * 3600);

/// Files in the state directory, PEM.
const CURRENT_FILE: &str = "relay.crt";
const NEXT_FILE: &str = "relay.next.crt";

/// A certificate that cannot be made or kept. The one in use stays in use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotationError {
    /// It cannot be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// It cannot be stored.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What [`Rotation::advance`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing was due.
    Kept,
    /// Another certificate is in use now: serve it and publish the new hashes.
    Renewed,
}

/// The certificate in use and its successor.
///
/// Call [`advance`](Self::advance) at [`due`](Self::due) or later; early calls are harmless, and so are clocks that jump.
#[derive(Debug)]
pub struct Rotation {
    names: Vec<String>,
    current: Certificate,
    next: Certificate,
}

impl Rotation {
    /// Takes up the certificates of the state directory if they still fit the key, the names and the date, else makes
    /// new ones and stores them.
    ///
    /// # Errors
    ///
    /// [`RotationError`] if a name is unusable or the directory fails.
    pub fn open(
        key: &NodeKey,
        names: Vec<String>,
        dir: &StateDir,
        now: SystemTime,
    ) -> Result<Self, RotationError> {
        let fits = |file| -> Result<Option<Certificate>, StateError> {
            let certificate = dir.read(file)?.and_then(|pem| Certificate::from_pem(&pem));
            Ok(certificate
                .filter(|found| key.certified(found).is_ok() && names.iter().all(|name| covers(found, name))))
        };
        let Some(current) = fits(CURRENT_FILE)? else {
            let rotation = Self::fresh(key, names, now)?;
            rotation.store(dir)?;
            return Ok(rotation);
        };
        let mut rotation = match fits(NEXT_FILE)?.filter(|next| next.validity() == successor(&current)) {
            Some(next) => Self { names, current, next },
            None => {
                let next = issue(key, &names, successor(&current))?;
                let rotation = Self { names, current, next };
                rotation.store(dir)?;
                rotation
            }
        };
        rotation.advance(key, dir, now)?;
        Ok(rotation)
    }

    fn fresh(key: &NodeKey, names: Vec<String>, now: SystemTime) -> Result<Self, RotationError> {
        let current = issue(key, &names, starting(now))?;
        let next = issue(key, &names, successor(&current))?;
        Ok(Self { names, current, next })
    }

    /// The certificate to serve.
    pub fn current(&self) -> &Certificate {
        &self.current
    }

    /// The one that will be served next, so that its hash can be published before.
    pub fn next(&self) -> &Certificate {
        &self.next
    }

    /// When the successor comes into use.
    pub fn due(&self) -> SystemTime {
        in_use(&self.current).not_after
    }

    /// Moves on to the successor when it is due, and makes and stores the one after it.
    ///
    /// # Errors
    ///
    /// [`RotationError`]; the certificates are then unchanged and the call may be repeated.
    pub fn advance(&mut self, key: &NodeKey, dir: &StateDir, now: SystemTime) -> Result<Step, RotationError> {
        if in_use(&self.current).contains(now) && now < self.due() {
            return Ok(Step::Kept);
        }
        let renewed = if in_use(&self.next).contains(now) {
            let current = self.next.clone();
            let next = issue(key, &self.names, successor(&current))?;
            Self {
                names: self.names.clone(),
                current,
                next,
            }
        } else {
            // The node slept through a whole certificate, or its clock was set back.
            Self::fresh(key, self.names.clone(), now)?
        };
        renewed.store(dir)?;
        *self = renewed;
        Ok(Step::Renewed)
    }

    fn store(&self, dir: &StateDir) -> Result<(), StateError> {
        // The one in use first: after a crash between the two writes it is found again, and its successor is made anew.
        dir.write(CURRENT_FILE, self.current.to_pem().as_bytes())?;
        dir.write(NEXT_FILE, self.next.to_pem().as_bytes())
    }
}

/// Whether the certificate was made for `name`; a wildcard is tried with a label in its place.
fn covers(certificate: &Certificate, name: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(rest) => certificate.covers(&format!("any.{rest}")),
        None => certificate.covers(name),
    }
}

/// Dates of a certificate that comes into use at `now`.
fn starting(now: SystemTime) -> Validity {
    Validity::starting(now.checked_sub(SLACK).unwrap_or(now), LENGTH)
}

/// Dates of the certificate that follows.
fn successor(current: &Certificate) -> Validity {
    starting(in_use(current).not_after)
}

/// When a certificate is to be served: after the slack, for half its life.
fn in_use(certificate: &Certificate) -> Validity {
    let from = certificate.validity().not_before;
    Validity::starting(from.checked_add(SLACK).unwrap_or(from), IN_USE)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::MAX_VALIDITY;

    const SECOND: Duration = Duration::from_secs(1);

    struct Node {
        _temp: tempfile::TempDir,
        dir: StateDir,
        key: NodeKey,
        now: SystemTime,
    }

    fn node() -> Node {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::create(temp.path()).unwrap();
        let key = NodeKey::load_or_create(&dir).unwrap();
        Node {
            _temp: temp,
            dir,
            key,
            now: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        }
    }

    impl Node {
        fn open(&self) -> Rotation {
            Rotation::open(&self.key, vec!["relay.example".into()], &self.dir, self.now).unwrap()
        }

        fn advance(&self, rotation: &mut Rotation) -> Step {
            rotation.advance(&self.key, &self.dir, self.now).unwrap()
        }
    }

    #[test]
    fn renewal_keeps_the_fingerprint_and_the_announced_hash() {
        let mut node = node();
        let fingerprint = node.key.fingerprint();
        let mut rotation = node.open();
        for _ in 0..5 {
            let (used, announced) = (rotation.current().clone(), rotation.next().clone());
            assert_ne!(used.hash(), announced.hash());
            node.now = rotation.due() - SECOND;
            assert_eq!(node.advance(&mut rotation), Step::Kept);
            node.now = rotation.due();
            assert_eq!(node.advance(&mut rotation), Step::Renewed);
            assert_eq!(rotation.current(), &announced);
            let late_clock = node.now - SLACK;
            for certificate in [&used, rotation.current()] {
                assert!(
                    certificate.validity().contains(node.now) && certificate.validity().contains(late_clock)
                );
                assert!(certificate.validity().length() <= MAX_VALIDITY);
            }
        }
        assert_eq!(
            NodeKey::load(&node.dir).unwrap().unwrap().fingerprint(),
            fingerprint
        );
    }

    #[test]
    fn a_restart_serves_the_same_certificates() {
        let mut node = node();
        let first = node.open();
        node.now += Duration::from_secs(24 * 3600);
        let second = node.open();
        assert_eq!(first.current(), second.current());
        assert_eq!(first.next(), second.next());
        node.now = first.due() + SECOND;
        assert_eq!(node.open().current(), first.next());
    }

    #[test]
    fn a_long_sleep_and_a_clock_set_back_make_fresh_certificates() {
        for jump in [node().now + 100 * LENGTH, node().now - LENGTH] {
            let mut node = node();
            let mut rotation = node.open();
            node.now = jump;
            assert_eq!(node.advance(&mut rotation), Step::Renewed);
            assert!(rotation.current().validity().contains(jump));
            assert!(rotation.due() > jump);
        }
    }

    #[test]
    fn another_name_another_key_or_a_broken_file_make_fresh_certificates() {
        let node = node();
        let first = node.open();
        let names = vec!["other.example".to_owned()];
        let renamed = Rotation::open(&node.key, names.clone(), &node.dir, node.now).unwrap();
        assert!(renamed.current().covers("other.example"));
        assert_ne!(first.current(), renamed.current());

        let other = NodeKey::generate().unwrap();
        let rekeyed = Rotation::open(&other, names.clone(), &node.dir, node.now).unwrap();
        assert!(other.certified(rekeyed.current()).is_ok());

        node.dir.write(CURRENT_FILE, b"garbage").unwrap();
        let repaired = Rotation::open(&other, names, &node.dir, node.now).unwrap();
        assert!(other.certified(repaired.current()).is_ok());
    }

    #[test]
    fn a_crash_in_the_middle_of_a_renewal_keeps_the_announced_certificate() {
        let mut node = node();
        let mut rotation = node.open();
        let before = node.dir.read(NEXT_FILE).unwrap().unwrap();
        node.now = rotation.due();
        node.advance(&mut rotation);
        node.dir.write(NEXT_FILE, &before).unwrap();
        let repaired = node.open();
        assert_eq!(repaired.current(), rotation.current());
        assert_eq!(repaired.next().validity(), rotation.next().validity());
    }

    #[test]
    fn a_failed_store_changes_nothing() {
        let mut node = node();
        let mut rotation = node.open();
        let (current, due) = (rotation.current().clone(), rotation.due());
        std::fs::remove_file(node.dir.file(NEXT_FILE)).unwrap();
        std::fs::create_dir_all(node.dir.file(NEXT_FILE).join("in the way")).unwrap();
        node.now = due;
        assert!(matches!(
            rotation.advance(&node.key, &node.dir, node.now),
            Err(RotationError::State(_))
        ));
        assert_eq!((rotation.current(), rotation.due()), (&current, due));
    }
}
