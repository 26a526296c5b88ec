//! Flags, environment and files resolved into values.

use std::path::Path;

use headwater_relay::config::Config;
use toml::{Table, Value};

use crate::args::RelayArgs;
use crate::exit::{Exit, Failure};

/// Before the name of a setting in the environment.
const PREFIX: &str = "HEADWATER_";

/// The settings of a relay: flags win over the environment, the environment over the file, the file over the defaults.
///
/// `environment` gives the value of a variable.
///
/// # Errors
/// The file cannot be read, or a setting cannot be used; the text says where it came from.
pub fn relay_config(
    args: &RelayArgs,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Config, Failure> {
    let mut table = match &args.config {
        Some(path) => read_file(path)?,
        None => Table::new(),
    };
    for (name, default) in known_settings() {
        let variable = format!("{PREFIX}{}", name.replace('.', "_").to_uppercase());
        if let Some(text) = environment(&variable) {
            set(&mut table, &name, typed(&variable, &text, &default)?);
            check(&table, &variable)?;
        }
    }
    for (name, value) in flags(args)? {
        set(&mut table, &name, value);
        check(&table, &format!("--{}", name.replace('_', "-")))?;
    }
    let config = check(&table, "the settings")?;
    config
        .validate()
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    Ok(config)
}

fn read_file(path: &Path) -> Result<Table, Failure> {
    let usage = |text: String| Failure::say(Exit::Usage, text);
    let text = std::fs::read_to_string(path)
        .map_err(|error| usage(format!("cannot read {}: {error}; check --config", path.display())))?;
    // Read as settings first: these errors tell line and column.
    toml::from_str::<Config>(&text)
        .and_then(|_config| text.parse())
        .map_err(|error| usage(format!("{}: {}", path.display(), error.to_string().trim_end())))
}

fn check(table: &Table, origin: &str) -> Result<Config, Failure> {
    table
        .clone()
        .try_into()
        .map_err(|error: toml::de::Error| Failure::say(Exit::Usage, format!("{origin}: {}", error.message())))
}

/// Every setting by its full name, with its default, taken from the file that `--print-config` writes.
fn known_settings() -> Vec<(String, Value)> {
    let text: String = Config::commented_toml()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let mut settings = Vec::new();
    flatten("", text.parse().unwrap_or_default(), &mut settings);
    settings
}

fn flatten(prefix: &str, table: Table, into: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        match value {
            Value::Table(table) => flatten(&format!("{name}."), table, into),
            value => into.push((name, value)),
        }
    }
}

/// Text as a value of the same type as `like`; a list is separated by commas.
fn typed(origin: &str, text: &str, like: &Value) -> Result<Value, Failure> {
    let wrong = |expected| Failure::say(Exit::Usage, format!("{origin}: {text:?} is not {expected}"));
    Ok(match like {
        Value::Boolean(_) => match text {
            "true" | "1" | "yes" | "on" => true.into(),
            "false" | "0" | "no" | "off" | "" => false.into(),
            _ => return Err(wrong("true or false")),
        },
        Value::Integer(_) => text
            .trim()
            .parse::<i64>()
            .map_err(|_text| wrong("a whole number"))?
            .into(),
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(Value::from).collect())
        }
        _ => text.into(),
    })
}

fn set(table: &mut Table, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            table.insert(name.to_owned(), value);
        }
        Some((outer, inner)) => {
            let entry = table.entry(outer).or_insert_with(|| Table::new().into());
            if let Value::Table(table) = entry {
                set(table, inner, value);
            }
        }
    }
}

fn flags(args: &RelayArgs) -> Result<Vec<(String, Value)>, Failure> {
    let mut given = Vec::new();
    let known = known_settings();
    for setting in &args.settings {
        let usage = |text| Failure::say(Exit::Usage, text);
        let (name, text) = setting
            .split_once('=')
            .ok_or_else(|| usage(format!("--set {setting}: write it as NAME=VALUE")))?;
        let (_, like) = known.iter().find(|(known, _)| known == name).ok_or_else(|| {
            usage(format!(
                "--set {name}: there is no such setting; see moq relay --print-config"
            ))
        })?;
        given.push((name.to_owned(), typed(&format!("--set {name}"), text, like)?));
    }
    let mut flag =
        |name: &str, value: Option<Value>| given.extend(value.map(|value| (name.to_owned(), value)));
    let path = |path: &std::path::PathBuf| path.display().to_string().into();
    flag("listen", args.listen.map(|address| address.to_string().into()));
    flag("admin", args.admin.clone().map(Into::into));
    flag("admin_token", args.admin_token.clone().map(Into::into));
    flag("state_dir", args.state_dir.as_ref().map(path));
    flag("cert", args.cert.as_ref().map(path));
    flag("key", args.key.as_ref().map(path));
    let names: Vec<Value> = args.tls_name.iter().map(|name| name.as_str().into()).collect();
    flag("tls_names", (!names.is_empty()).then(|| names.into()));
    flag("publish_token", args.publish_token.clone().map(Into::into));
    flag("join", args.join.clone().map(Into::into));
    let peers: Vec<Value> = args.peer.iter().map(|peer| peer.as_str().into()).collect();
    flag("peers", (!peers.is_empty()).then(|| peers.into()));
    let addresses: Vec<Value> = args
        .advertise
        .iter()
        .map(|address| address.as_str().into())
        .collect();
    flag("advertise", (!addresses.is_empty()).then(|| addresses.into()));
    flag("name", args.name.clone().map(Into::into));
    flag("price", args.price.clone().map(Into::into));
    flag("public", args.public.then(|| true.into()));
    flag("public_overlay", args.public_overlay.then(|| true.into()));
    flag("threads", args.threads.map(|threads| i64::from(threads).into()));
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(args: &RelayArgs, environment: &[(&str, &str)]) -> Result<Config, String> {
        let lookup = |name: &str| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        relay_config(args, lookup).map_err(|failure| {
            assert_eq!(failure.exit(), Exit::Usage);
            failure.to_string()
        })
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(config(&RelayArgs::default(), &[]).unwrap(), Config::default());
    }

    #[test]
    fn flags_win_over_environment_over_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            &file,
            "threads = 1\nlisten = \"127.0.0.1:1\"\n[limits]\nsessions = 10\nrequests = 11\n",
        )
        .unwrap();
        let args = RelayArgs {
            config: Some(file.path().into()),
            threads: Some(3),
            ..RelayArgs::default()
        };
        let environment = [
            ("HEADWATER_THREADS", "2"),
            ("HEADWATER_LIMITS_SESSIONS", "20"),
            ("HEADWATER_TLS_NAMES", "a.example, b.example"),
            ("HEADWATER_PUBLIC", "true"),
            ("HEADWATER_ADMIN", "off"),
            ("HEADWATER_DRAIN", "3s"),
        ];
        let config = config(&args, &environment).unwrap();
        assert_eq!(config.threads, 3);
        assert_eq!((config.limits.sessions, config.limits.requests), (20, 11));
        assert_eq!(config.listen.to_string(), "127.0.0.1:1");
        assert_eq!(config.tls_names, ["a.example", "b.example"]);
        assert_eq!(
            (config.public, config.admin, config.drain.as_secs()),
            (true, None, 3)
        );
    }

    #[test]
    fn the_place_in_a_mesh_can_be_given_by_flags_and_by_environment() {
        let args = RelayArgs {
            join: Some("@invite".into()),
            peer: vec!["a.example:1".into(), "moqt://b.example:2".into()],
            advertise: vec!["c.example:3".into()],
            name: Some("attic".into()),
            ..RelayArgs::default()
        };
        let config = config(
            &args,
            &[
                ("HEADWATER_JOIN", "-"),
                ("HEADWATER_PRICE", "20ms"),
                ("HEADWATER_NAME", "cellar"),
            ],
        )
        .unwrap();
        assert_eq!(config.join, Some("@invite".to_owned().into()));
        assert_eq!(config.peers, ["a.example:1", "moqt://b.example:2"]);
        assert_eq!(config.price.as_millis(), 20);
        assert_eq!(
            (config.advertise, config.name),
            (vec!["c.example:3".to_owned()], "attic".to_owned())
        );
    }

    #[test]
    fn every_setting_can_be_set_by_name() {
        let settings = known_settings();
        assert!(settings.len() > 25, "{}", settings.len());
        let args = RelayArgs {
            settings: vec!["limits.sessions=7".into(), "cache.bytes=64MiB".into()],
            ..RelayArgs::default()
        };
        let config = config(&args, &[]).unwrap();
        assert_eq!((config.limits.sessions, config.cache.bytes), (7, 64 << 20));
    }

    #[test]
    fn errors_say_where_the_setting_came_from() {
        let with = |set: &str| RelayArgs {
            settings: vec![set.into()],
            ..RelayArgs::default()
        };
        for (args, environment, parts) in [
            (with("nothing=1"), [("", "")], ["nothing", "--print-config"]),
            (with("threads"), [("", "")], ["--set threads", "NAME=VALUE"]),
            (
                RelayArgs::default(),
                [("HEADWATER_THREADS", "x")],
                ["HEADWATER_THREADS", "whole number"],
            ),
            (
                RelayArgs::default(),
                [("HEADWATER_DRAIN", "soon")],
                ["HEADWATER_DRAIN", "5s"],
            ),
            (
                RelayArgs::default(),
                [("HEADWATER_THREADS", "1000")],
                ["threads = 1000", "out of range"],
            ),
            (
                RelayArgs {
                    price: Some("cheap".into()),
                    ..RelayArgs::default()
                },
                [("", "")],
                ["--price", "5s"],
            ),
            (
                RelayArgs {
                    config: Some("/nonexistent.toml".into()),
                    ..RelayArgs::default()
                },
                [("", "")],
                ["/nonexistent.toml", "--config"],
            ),
        ] {
            let error = config(&args, &environment).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}
