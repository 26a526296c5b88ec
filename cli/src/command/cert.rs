//! `moq cert`: the key and certificates that a relay keeps in its state directory.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use headwater_certs::{Certificate, NodeKey, Rotation, StateDir};

use crate::args::{CertAction, CertArgs};
use crate::exit::{Exit, Failure};

pub(super) fn run(args: &CertArgs) -> Result<Exit, Failure> {
    print!("{}", report(args, now())?);
    Ok(Exit::Ok)
}

#[expect(clippy::disallowed_methods, reason = "certificates have dates")]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

fn report(args: &CertArgs, now: SystemTime) -> Result<String, Failure> {
    let failed = |error: anyhow::Error| Failure::new(Exit::Failure, error);
    let path: PathBuf = match &args.state_dir {
        Some(path) => path.clone(),
        None => StateDir::default_path().map_err(|error| failed(error.into()))?,
    };
    let absent = || {
        let text = format!(
            "{} has no relay key yet; start moq relay once, or run moq cert new",
            path.display()
        );
        Failure::say(Exit::Refused, text)
    };
    let (dir, key) = match args.action {
        CertAction::New => {
            let dir = StateDir::create(&path).map_err(|error| failed(error.into()))?;
            let key = NodeKey::load_or_create(&dir).map_err(|error| failed(error.into()))?;
            (dir, key)
        }
        CertAction::Show => {
            let dir = StateDir::existing(&path).ok_or_else(absent)?;
            let key = NodeKey::load(&dir)
                .map_err(|error| failed(error.into()))?
                .ok_or_else(absent)?;
            (dir, key)
        }
    };
    // Taken up as they are while they are valid; the names of the relay are in them already.
    let rotation = Rotation::open(&key, Vec::new(), &dir, now).map_err(|error| failed(error.into()))?;
    let certificates = [("current", rotation.current()), ("next", rotation.next())];
    if args.json {
        let list = certificates.map(|(use_, certificate)| {
            let validity = certificate.validity();
            serde_json::json!({
                "use": use_,
                "sha256": certificate.hash().to_hex(),
                "sha256_base64": certificate.hash().to_base64(),
                "not_before": date(validity.not_before),
                "not_after": date(validity.not_after),
            })
        });
        let all = serde_json::json!({
            "state_dir": path.display().to_string(),
            "fingerprint": key.fingerprint().to_hex(),
            "certificates": list,
        });
        return Ok(format!("{all}\n"));
    }
    let mut text = format!(
        "state directory  {}\nfingerprint      {}\n",
        path.display(),
        key.fingerprint()
    );
    for (use_, certificate) in certificates {
        text.push_str(&describe(use_, certificate));
    }
    text.push_str("Programs pin the fingerprint (--fingerprint), browsers the hash of a certificate.\n");
    Ok(text)
}

fn describe(use_: &str, certificate: &Certificate) -> String {
    let validity = certificate.validity();
    format!(
        "{use_:<8} certificate  {}  {} to {}\n",
        certificate.hash(),
        date(validity.not_before),
        date(validity.not_after)
    )
}

/// A moment as 2026-01-31T12:00:00Z (days to civil date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
pub(super) fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn dates_are_right_at_leap_days_and_year_ends() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_799, "2024-02-28T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
        ] {
            assert_eq!(date(at(seconds)), text);
        }
    }

    #[test]
    fn show_finds_what_new_has_made_and_changes_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let args = |action| CertArgs {
            action,
            state_dir: Some(temp.path().join("state")),
            json: true,
        };
        let missing = report(&args(CertAction::Show), at(1_750_000_000)).unwrap_err();
        assert_eq!(missing.exit(), Exit::Refused);
        assert!(missing.to_string().contains("moq cert new"), "{missing}");
        let made = report(&args(CertAction::New), at(1_750_000_000)).unwrap();
        assert_eq!(report(&args(CertAction::Show), at(1_750_000_600)).unwrap(), made);
        let json: serde_json::Value = serde_json::from_str(&made).unwrap();
        assert_eq!(json["certificates"][0]["sha256"].as_str().unwrap().len(), 64);
        assert_ne!(
            json["certificates"][0]["sha256"],
            json["certificates"][1]["sha256"]
        );
    }
}
