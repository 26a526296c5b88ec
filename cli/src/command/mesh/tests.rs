use headwater_certs::mesh::{Answer, Exporter, NodeIdentity, Request};

use super::*;

const HERE: Exporter = Exporter([7; 32]);

struct Home {
    _temp: tempfile::TempDir,
    place: Place,
}

fn home() -> Home {
    let temp = tempfile::tempdir().unwrap();
    let place = Place {
        path: temp.path().join("state"),
        now: std::time::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
    };
    Home { _temp: temp, place }
}

fn invite_args(more: impl FnOnce(&mut InviteArgs)) -> InviteArgs {
    let mut args = InviteArgs {
        address: vec!["relay.example:4443".parse().unwrap()],
        valid: "1h".into(),
        ..InviteArgs::default()
    };
    more(&mut args);
    args
}

impl Home {
    fn dir(&self) -> StateDir {
        StateDir::existing(&self.place.path).unwrap()
    }

    /// A member by an invite of this home, with what that granted.
    fn member(&self, args: &InviteArgs) -> Membership {
        let invite = Invite::parse(&self.place.invite(args).unwrap().out).unwrap();
        let node = std::sync::Arc::new(NodeIdentity::generate().unwrap());
        let request = Request::join(&invite, &node, &HERE).encode();
        let authority = Authority::load(&self.dir()).unwrap().unwrap();
        let answer = authority
            .admit(&self.dir(), &request, &HERE, self.place.now)
            .unwrap();
        assert!(matches!(Answer::decode(&answer), Ok(Answer::Granted(_))));
        Membership::join(node, &invite, &answer).unwrap()
    }

    fn shown(&self) -> serde_json::Value {
        serde_json::from_str(&show::report(&self.place, true).unwrap().out).unwrap()
    }
}

#[test]
fn without_a_mesh_each_command_says_how_to_get_one() {
    let home = home();
    let place = &home.place;
    let all = |place: &Place| {
        [
            place.invite(&invite_args(|_| {})).unwrap_err(),
            place.revoke(&"a".repeat(64)).unwrap_err(),
            show::report(place, false).unwrap_err(),
        ]
    };
    for failure in all(place) {
        assert_eq!(failure.exit(), Exit::Refused);
        assert!(failure.to_string().contains("moq mesh create"), "{failure}");
    }
    assert!(!place.path.exists());
    StateDir::create(&place.path).unwrap();
    for failure in all(place) {
        assert!(failure.to_string().contains("moq mesh create"), "{failure}");
    }
}

#[test]
fn an_invite_carries_what_the_flags_say() {
    let home = home();
    let made = home.place.create().unwrap();
    assert_eq!(home.place.create().unwrap().out, made.out);
    let args = invite_args(|args| {
        args.address.push("[::1]:5".parse().unwrap());
        args.valid = "2h".into();
        args.namespace = vec!["live/anna".into(), "a%2Fb".into()];
    });
    let told = home.place.invite(&args).unwrap();
    assert_eq!(told.out.lines().count(), 1);
    let invite = Invite::parse(&told.out).unwrap();
    assert!(made.out.contains(&invite.mesh().to_string()), "{}", made.out);
    let key = NodeKey::load(&home.dir()).unwrap().unwrap();
    assert_eq!(invite.office().fingerprint, key.fingerprint());
    assert_eq!(invite.office().addresses, args.address);
    assert_eq!(invite.expires(), home.place.now + Duration::from_secs(7200));
    let allow = |fields: &[&str]| invite.rights().allow(fields.iter().map(|field| field.as_bytes()));
    assert!(allow(&["live", "anna", "cam"]) && allow(&["a/b"]));
    assert!(!allow(&["live", "bert"]) && !allow(&["live"]));

    let pinned = invite_args(|args| args.fingerprint = Some("ab".repeat(32).parse().unwrap()));
    let invite = Invite::parse(&home.place.invite(&pinned).unwrap().out).unwrap();
    assert_eq!(Some(invite.office().fingerprint), pinned.fingerprint);
}

#[test]
fn flags_out_of_range_are_told_by_name() {
    let home = home();
    home.place.create().unwrap();
    let cases: [(InviteArgs, &str); 6] = [
        (invite_args(|args| args.valid = "59s".into()), "--valid"),
        (invite_args(|args| args.valid = "721h".into()), "--valid"),
        (invite_args(|args| args.valid = "soon".into()), "--valid"),
        (
            invite_args(|args| args.namespace = vec!["a//b".into()]),
            "--namespace",
        ),
        (
            invite_args(|args| args.namespace = vec![String::new()]),
            "--namespace",
        ),
        (
            invite_args(|args| args.address = vec!["h:1".parse().unwrap(); 9]),
            "addresses",
        ),
    ];
    for (args, named) in cases {
        let failure = home.place.invite(&args).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage, "{failure}");
        assert!(failure.to_string().contains(named), "{failure}");
    }
}

#[test]
fn a_qr_code_shows_the_invite_unless_it_is_too_long() {
    let home = home();
    home.place.create().unwrap();
    let told = home.place.invite(&invite_args(|args| args.qr = true)).unwrap();
    let picture = told.notes.last().unwrap();
    let widths: Vec<usize> = picture.lines().map(|line| line.chars().count()).collect();
    assert!(
        widths.len() > 20 && widths.iter().all(|width| *width == widths[0]),
        "{picture}"
    );
    let long = invite_args(|args| {
        args.qr = true;
        args.address = vec![format!("{0}.{0}.{0}:1", "h".repeat(63)).parse().unwrap(); 8];
        args.namespace = vec!["n".repeat(1000)];
    });
    let failure = home.place.invite(&long).unwrap_err();
    assert!(failure.to_string().contains("--qr"), "{failure}");
}

#[test]
fn a_member_is_shown_and_revoked_by_the_first_digits_of_its_id() {
    let home = home();
    home.place.create().unwrap();
    let member = home.member(&invite_args(|_| {}));
    let id = member.node().to_string();
    let shown = home.shown();
    assert_eq!(shown["members"].as_array().unwrap().len(), 2);
    assert_eq!(shown["authority"]["here"], true);
    assert_eq!(shown["node"]["announces"], serde_json::Value::Null);
    let text = show::report(&home.place, false).unwrap().out;
    assert!(text.contains(&id) && text.contains("every namespace"), "{text}");

    let told = home.place.revoke(&id[..8].to_uppercase()).unwrap();
    assert_eq!((told.out, told.notes.len()), (format!("revoked  {id}\n"), 0));
    let again = home.place.revoke(&id).unwrap();
    assert!(again.notes[0].contains("already"), "{again:?}");
    let shown = home.shown();
    assert_eq!(shown["members"].as_array().unwrap().len(), 1);
    assert_eq!(shown["revoked"][0]["node"], id);
}

#[test]
fn strangers_can_be_revoked_by_their_whole_id_and_this_node_cannot() {
    let home = home();
    home.place.create().unwrap();
    let stranger = "c".repeat(64);
    assert!(home.place.revoke(&stranger).unwrap().notes[0].contains("never a member"));
    let own = home.shown()["node"]["id"].as_str().unwrap().to_owned();
    for (node, exit, text) in [
        (own.as_str(), Exit::Refused, "itself"),
        ("cccccccc", Exit::Refused, "moq mesh show"),
        ("ccc", Exit::Usage, "64 hex digits"),
        ("somebody", Exit::Usage, "64 hex digits"),
    ] {
        let failure = home.place.revoke(node).unwrap_err();
        assert_eq!(failure.exit(), exit, "{failure}");
        assert!(failure.to_string().contains(text), "{failure}");
    }
    let both = [[1; 32], [1; 32]].map(NodeId::from_bytes);
    assert!(
        find("01010101", &both)
            .unwrap_err()
            .to_string()
            .contains("more digits")
    );
}

#[test]
fn a_plain_member_sees_its_place_and_is_sent_to_the_authority() {
    let (home, mut elsewhere) = (home(), home());
    home.place.create().unwrap();
    let args = invite_args(|args| args.namespace = vec!["live/anna".into()]);
    let invite = Invite::parse(&home.place.invite(&args).unwrap().out).unwrap();
    let dir = StateDir::create(&elsewhere.place.path).unwrap();
    let node = std::sync::Arc::new(NodeIdentity::load_or_create(&dir).unwrap());
    let authority = Authority::load(&home.dir()).unwrap().unwrap();
    let request = Request::join(&invite, &node, &HERE).encode();
    let answer = authority
        .admit(&home.dir(), &request, &HERE, home.place.now)
        .unwrap();
    Membership::join(node, &invite, &answer)
        .unwrap()
        .join_state(&dir)
        .unwrap();

    let shown = elsewhere.shown();
    assert_eq!(shown["authority"]["addresses"][0], "relay.example:4443");
    assert_eq!(shown["node"]["announces"][0], "live/anna");
    let failure = elsewhere.place.invite(&args).unwrap_err();
    assert_eq!(failure.exit(), Exit::Refused);
    assert!(failure.to_string().contains("relay.example:4443"), "{failure}");
    let failure = elsewhere.place.create().unwrap_err();
    assert!(failure.to_string().contains("--state-dir"), "{failure}");
    elsewhere.place.now += Duration::from_secs(31 * 24 * 3600);
    assert_eq!(elsewhere.shown()["node"]["expired"], true);
    assert!(
        show::report(&elsewhere.place, false)
            .unwrap()
            .out
            .contains("(over)")
    );
}
