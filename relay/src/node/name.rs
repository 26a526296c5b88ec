//! What the node is called where people see it: as configured, else as its machine.

use std::path::Path;

use crate::config::Config;
use crate::overlay::message::MAX_NODE_NAME;

/// Where Linux tells the machine's name, and where it is kept on others.
const FILES: [&str; 2] = ["/proc/sys/kernel/hostname", "/etc/hostname"];
/// Where shells do.
const VARIABLES: [&str; 2] = ["HOSTNAME", "COMPUTERNAME"];

/// The node's name; empty if nothing tells one.
pub(super) fn of(config: &Config) -> String {
    if config.name.is_empty() {
        host()
    } else {
        config.name.clone()
    }
}

fn host() -> String {
    let read = FILES
        .iter()
        .filter_map(|file| std::fs::read_to_string(Path::new(file)).ok());
    let told = VARIABLES
        .iter()
        .filter_map(|variable| std::env::var(variable).ok());
    read.chain(told)
        .map(|text| label(&text))
        .find(|name| !name.is_empty())
        .unwrap_or_default()
}

/// The first label of a host's name: its domain is nobody's business.
fn label(text: &str) -> String {
    printable(text.trim().split('.').next().unwrap_or_default())
}

/// A name from elsewhere, fit for a log and a terminal.
pub(super) fn printable(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars().filter(|c| !c.is_control()) {
        if out.len() + c.len_utf8() > MAX_NODE_NAME {
            break;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_name_goes_before_the_machines() {
        let config = Config {
            name: "attic".to_owned(),
            ..Config::default()
        };
        assert_eq!(of(&config), "attic");
        let host = of(&Config::default());
        assert!(host.len() <= MAX_NODE_NAME && !host.contains('.'), "{host}");
    }

    #[test]
    fn names_are_short_and_printable() {
        assert_eq!(label("attic.home.example\n"), "attic");
        assert_eq!(printable("\x1b[2Jattic\u{7}"), "[2Jattic");
        assert_eq!(printable(&"ä".repeat(40)), "ä".repeat(32));
        assert_eq!(label("\n"), "");
    }
}
