//! A certificate and key that somebody else keeps on disk, taken up again when they change.
//!
//! Whether they changed is told by their contents: times and sizes lie for links that are switched (Kubernetes) and for
//! renewals within a second. The files are small and the poll is rare.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};

use crate::state::MAX_FILE_BYTES;
use crate::{Validity, provider};

/// Files that give no usable certificate. What was served before stays served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}; check --cert and --key and the permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not PEM, or PEM without a certificate.
    #[error("{} holds no certificate in PEM; it should be the full chain, the server's own certificate first", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
    },
    /// Not PEM, or PEM without a private key.
    #[error("{} holds no private key in PEM: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// The two files do not belong together, or the key is of a kind rustls does not know.
    #[error("{} and {} do not make a TLS identity: {source}", certificate.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
}

/// A pair of PEM files and what they held when last looked at.
#[derive(Debug)]
pub struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
    /// Digest of both contents, `None` after a failed read.
    seen: Option<[u8; 32]>,
}

impl CertificateFiles {
    /// Reads both files for the first time.
    ///
    /// # Errors
    ///
    /// [`FilesError`] says which file is unusable and why.
    pub fn load(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<(Self, CertifiedKey), FilesError> {
        let mut files = Self {
            certificate: certificate.into(),
            key: key.into(),
            seen: None,
        };
        let contents = files.read()?;
        files.seen = Some(contents.digest());
        let certified = files.parse(&contents)?;
        Ok((files, certified))
    }

    /// The new identity if the contents changed since the last call. Reads the disk, so it may block for a moment.
    ///
    /// # Errors
    ///
    /// [`FilesError`], once per change: a broken file is not reported again until it changes.
    pub fn poll(&mut self) -> Result<Option<CertifiedKey>, FilesError> {
        let contents = match self.read() {
            Ok(contents) => contents,
            // Somebody is replacing the files, or took them away: say so once.
            Err(error) => return self.seen.take().map_or(Ok(None), |_| Err(error)),
        };
        let digest = contents.digest();
        if self.seen.replace(digest) == Some(digest) {
            return Ok(None);
        }
        self.parse(&contents).map(Some)
    }

    fn read(&self) -> Result<Contents, FilesError> {
        Ok(Contents {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
        })
    }

    fn parse(&self, contents: &Contents) -> Result<CertifiedKey, FilesError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&contents.certificate)
            .collect::<Result<_, _>>()
            .ok()
            .filter(|chain: &Vec<_>| chain.first().is_some_and(|own| Validity::of(own).is_some()))
            .ok_or_else(|| FilesError::Certificate {
                path: self.certificate.clone(),
            })?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|source| FilesError::Key {
            path: self.key.clone(),
            source,
        })?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(|source| FilesError::Mismatch {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })
    }
}

/// What both files hold.
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Contents {
    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(Sha256::digest(&self.certificate));
        hash.update(Sha256::digest(&self.key));
        hash.finalize().into()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FilesError> {
    let mut contents = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut contents))
        .map_err(|source| FilesError::Read {
            path: path.to_owned(),
            source,
        })?;
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::{Certificate, NodeKey, issue};

    struct Disk {
        _temp: tempfile::TempDir,
        certificate: PathBuf,
        key: PathBuf,
    }

    fn disk() -> Disk {
        let temp = tempfile::tempdir().unwrap();
        let (certificate, key) = (temp.path().join("cert.pem"), temp.path().join("key.pem"));
        Disk {
            _temp: temp,
            certificate,
            key,
        }
    }

    impl Disk {
        fn renew(&self) -> Certificate {
            let key = NodeKey::generate().unwrap();
            let from = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
            let certificate = issue(&key, &[], Validity::starting(from, Duration::from_secs(3600))).unwrap();
            std::fs::write(&self.certificate, certificate.to_pem()).unwrap();
            std::fs::write(&self.key, key.pair().serialize_pem()).unwrap();
            certificate
        }
    }

    #[test]
    fn changed_files_are_taken_up_once() {
        let disk = disk();
        let first = disk.renew();
        let (mut files, certified) = CertificateFiles::load(&disk.certificate, &disk.key).unwrap();
        assert_eq!(certified.cert, [first.der().clone()]);
        assert!(files.poll().unwrap().is_none());
        let second = disk.renew();
        assert_eq!(files.poll().unwrap().unwrap().cert, [second.der().clone()]);
        assert!(files.poll().unwrap().is_none());
    }

    #[test]
    fn a_broken_file_is_reported_once_and_heals() {
        let disk = disk();
        disk.renew();
        let (mut files, _) = CertificateFiles::load(&disk.certificate, &disk.key).unwrap();
        std::fs::write(&disk.certificate, "half a file").unwrap();
        assert!(matches!(files.poll(), Err(FilesError::Certificate { .. })));
        assert!(files.poll().unwrap().is_none());
        std::fs::remove_file(&disk.key).unwrap();
        assert!(matches!(files.poll(), Err(FilesError::Read { .. })));
        assert!(files.poll().unwrap().is_none());
        let healed = disk.renew();
        assert_eq!(files.poll().unwrap().unwrap().cert, [healed.der().clone()]);
    }

    #[test]
    fn each_fault_has_its_name() {
        let disk = disk();
        disk.renew();
        let load = || {
            CertificateFiles::load(&disk.certificate, &disk.key)
                .map(drop)
                .unwrap_err()
        };
        let good = std::fs::read(&disk.certificate).unwrap();
        std::fs::write(&disk.key, NodeKey::generate().unwrap().pair().serialize_pem()).unwrap();
        assert!(matches!(load(), FilesError::Mismatch { .. }));
        std::fs::write(&disk.key, &good).unwrap();
        assert!(matches!(load(), FilesError::Key { .. }));
        std::fs::write(&disk.certificate, "").unwrap();
        assert!(matches!(load(), FilesError::Certificate { .. }));
        std::fs::remove_file(&disk.certificate).unwrap();
        let error = load().to_string();
        assert!(error.contains("cert.pem") && error.contains("--cert"), "{error}");
    }
}
