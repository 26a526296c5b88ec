//! Making a mesh, inviting and revoking, as an operator types it.

use anyhow::{Context as _, Result};
use headwater_tests::Home;
use serde_json::Value;

/// The command line is wrong.
const USAGE: i32 = 2;
/// Refused, or not there.
const REFUSED: i32 = 4;

fn show(home: &Home) -> Result<Value> {
    Ok(serde_json::from_str(
        &home.moq(["mesh", "show", "--json"]).output()?,
    )?)
}

#[test]
fn a_mesh_is_made_once_and_shown() -> Result<()> {
    let home = Home::new()?;
    let made = home.moq(["mesh", "create"]).output()?;
    assert_eq!(home.moq(["mesh", "create"]).output()?, made);
    let shown = show(&home)?;
    for (title, id) in [("mesh", &shown["mesh"]), ("node", &shown["node"]["id"])] {
        let id = id.as_str().context("an id")?;
        assert!(made.contains(&format!("{title}  {id}\n")), "{made}");
    }
    assert_eq!(shown["authority"]["here"], true);
    assert_eq!(shown["members"].as_array().map(Vec::len), Some(1));
    let text = home.moq(["mesh", "show"]).output()?;
    assert!(text.contains("authority  this node"), "{text}");
    Ok(())
}

#[test]
fn an_invite_is_one_line_on_stdout_and_everything_else_is_not() -> Result<()> {
    let home = Home::new()?;
    home.moq(["mesh", "create"]).output()?;
    let args = [
        "mesh",
        "invite",
        "--address",
        "relay.example:4443",
        "--namespace",
        "live/anna",
        "--qr",
    ];
    let (code, lines) = home.moq(args).finish()?;
    let text = lines.join("\n");
    assert_eq!(code, 0, "{text}");
    let data: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("| ")).collect();
    assert!(
        data.len() == 1 && data[0].starts_with("headwater-invite:"),
        "{text}"
    );
    assert!(
        text.contains("like a password") && text.contains('\u{2588}'),
        "{text}"
    );
    let other = home.moq(args).output()?;
    assert_ne!(
        other.trim_end(),
        data[0],
        "an invite is good once, so no two are alike"
    );
    Ok(())
}

#[test]
fn a_revoked_node_is_listed() -> Result<()> {
    let home = Home::new()?;
    home.moq(["mesh", "create"]).output()?;
    let node = "c".repeat(64);
    let told = home.moq(["mesh", "revoke", &node]).output()?;
    assert_eq!(told, format!("revoked  {node}\n"));
    assert_eq!(show(&home)?["revoked"][0]["node"], node.as_str());
    Ok(())
}

#[test]
fn mistakes_are_told_in_one_sentence() -> Result<()> {
    let home = Home::new()?;
    let invite = ["mesh", "invite", "--address", "relay.example:4443"];
    let late = [invite.as_slice(), &["--valid", "30s"]].concat();
    let cases: [(bool, &[&str], i32, &str); 4] = [
        (false, &invite, REFUSED, "moq mesh create"),
        (false, &["mesh", "show"], REFUSED, "moq mesh create"),
        (true, &late, USAGE, "--valid"),
        (true, &["mesh", "revoke", "nobody"], USAGE, "moq mesh show"),
    ];
    for (made, args, expected, part) in cases {
        if made {
            home.moq(["mesh", "create"]).output()?;
        }
        let (code, lines) = home.moq(args).finish()?;
        let told: Vec<_> = lines.iter().filter(|line| line.starts_with("moq: ")).collect();
        assert_eq!((code, told.len()), (expected, 1), "{lines:?}");
        assert!(told[0].contains(part), "{lines:?}");
    }
    Ok(())
}
