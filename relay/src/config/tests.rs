use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Config, toml::de::Error> {
    toml::from_str(text)
}

#[test]
fn the_commented_file_changes_nothing() {
    let text = Config::commented_toml();
    assert_eq!(parse(&text).unwrap(), Config::default());
    assert!(Config::default().validate().is_ok());
}

#[test]
fn the_file_without_its_marks_says_the_defaults() {
    let text = Config::commented_toml();
    let knobs = |line: &&str| line.starts_with('[') || (line.starts_with('#') && !line.starts_with("# "));
    let bare: Vec<_> = text
        .lines()
        .filter(knobs)
        .map(|line| line.trim_start_matches('#'))
        .collect();
    assert_eq!(
        parse(&bare.join("\n")).unwrap(),
        Config::default(),
        "{}",
        bare.join("\n")
    );
    // Every field of the three tables is in it, none forgotten.
    let fields = format!("{:#?}", Config::default())
        .lines()
        .filter(|line| line.contains(": "))
        .count();
    assert_eq!(bare.len(), fields, "{}", bare.join("\n"));
}

#[test]
fn settings_are_read() {
    let config = parse(
        "listen = '127.0.0.1:0'\nadmin = 'off'\npublish_token = 'open sesame'\ntls_names = ['a.example']\n\
         drain = '250ms'\n[cache]\nbytes = 1048576\n[limits]\nlag_bytes = '1 MiB'\nrequests = 5",
    )
    .unwrap();
    assert_eq!(config.admin, None);
    assert!(
        config
            .publish_token
            .as_ref()
            .is_some_and(|token| token.matches(b"open sesame"))
    );
    assert_eq!((config.drain, config.cache.bytes), (millis(250), MIB));
    assert_eq!((config.limits.lag_bytes, config.limits.requests), (MIB, 5));
    assert_eq!(config.cache.min_groups, 2);
    config.validate().unwrap();
}

#[test]
fn a_wrong_line_is_named() {
    for (text, expected) in [
        ("lisen = '[::]:1'", "lisen"),
        ("[limits]\nsession = 5", "session"),
        ("drain = 5", "drain"),
        ("drain = '5 parsecs'", "\"5 parsecs\" is no time"),
        ("admin = 'of'", "nor \"off\""),
        ("[cache]\nbytes = -1", "bytes"),
        ("[cache]\nbytes = '99999999999GiB'", "too large"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn values_out_of_range_and_misfits_are_refused() {
    for (text, key) in [
        ("threads = 257", "threads"),
        ("[cache]\nmin_groups = 0", "cache.min_groups"),
        ("[limits]\nidle_timeout = '999ms'", "limits.idle_timeout"),
        ("[limits]\nkeep_alive = '10s'", "limits.keep_alive"),
        (
            "[limits]\nstream_receive_window = '9MiB'",
            "limits.stream_receive_window",
        ),
        ("[cache]\nbytes = '16MiB'", "limits.lag_bytes"),
        ("cert = 'a.pem'", "cert"),
        ("admin = '0.0.0.0:4480'", "admin"),
        ("admin_token = 'short'", "admin_token"),
        ("name = \"a\\u0007\"", "name"),
        ("advertise = ['relay.example']", "advertise"),
    ] {
        let error = parse(text).unwrap().validate().unwrap_err();
        let named = match &error {
            ConfigError::Range { key, .. } | ConfigError::Conflict { key, .. } => *key,
        };
        assert_eq!(named, key, "{error}");
    }
    parse("admin = '0.0.0.0:4480'\nadmin_token = 'long enough'")
        .unwrap()
        .validate()
        .unwrap();
    parse("cert = 'a.pem'\nkey = 'k.pem'\npeers = ['moqt://a:1']")
        .unwrap()
        .validate()
        .unwrap();
    parse("admin = '[::ffff:127.0.0.1]:4480'")
        .unwrap()
        .validate()
        .unwrap();
}

#[test]
fn secrets_stay_hidden() {
    let config = parse("publish_token = 'open sesame'").unwrap();
    assert!(!format!("{config:?}").contains("sesame"));
    let token = config.publish_token.unwrap();
    for wrong in ["", "open sesam", "open sesame ", "Open sesame"] {
        assert!(!token.matches(wrong.as_bytes()), "{wrong}");
    }
}

proptest! {
    #[test]
    fn quantities_round_trip(value: u64, millis in 0..u64::MAX / 2) {
        prop_assert_eq!(parse_bytes(&format_bytes(value)), Ok(value));
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }

    #[test]
    fn whatever_is_read_as_a_size_is_written_back(text in "[0-9]{0,21} ?[A-Za-z]{0,3}") {
        if let Ok(bytes) = parse_bytes(&text) {
            prop_assert_eq!(parse_bytes(&format_bytes(bytes)), Ok(bytes));
        }
    }
}
