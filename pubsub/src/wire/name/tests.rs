use super::*;
use crate::wire::error::NameTextError;

fn namespace(fields: &[&str]) -> TrackNamespace {
    TrackNamespace::new(fields).unwrap()
}

#[test]
fn the_example_of_the_draft_is_written_and_read() {
    let name = TrackName::new("report").unwrap();
    let track = FullTrackName::new(namespace(&["example.net", "team2", "project_x"]), name).unwrap();
    assert_eq!(track.to_string(), "example.2enet-team2-project_x--report");
    assert_eq!(format!("{track:?}"), track.to_string());
    assert_eq!("example.2enet-team2-project_x--report".parse(), Ok(track));
}

#[test]
fn empty_names_and_namespaces_have_texts() {
    let nothing = FullTrackName::new(TrackNamespace::empty(), TrackName::default()).unwrap();
    assert_eq!(nothing.to_string(), "--");
    assert_eq!("--".parse(), Ok(nothing));
    assert_eq!("".parse(), Ok(TrackNamespace::empty()));
    assert_eq!(namespace(&["-", "."]).to_string(), ".2d-.2e");
}

#[test]
fn texts_that_are_not_canonical_are_refused() {
    let cases = [
        ("a--.2D", NameTextError::Escape(3)),
        ("a--.61", NameTextError::Escape(3)),
        ("a--b.", NameTextError::Escape(4)),
        ("a--b.2", NameTextError::Escape(4)),
        ("a.5f--b", NameTextError::Escape(1)),
        ("a b--c", NameTextError::Character(1)),
        ("a--\u{e9}", NameTextError::Character(3)),
        ("a-b", NameTextError::Separator),
        ("a--b-c", NameTextError::Separator),
        ("a---b", NameTextError::Separator),
        ("a--b--c", NameTextError::Separator),
        ("-a--b", NameTextError::Name(NameError::EmptyField)),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<FullTrackName>(), Err(error), "{text}");
    }
    assert_eq!(
        "a-".parse::<TrackNamespace>(),
        Err(NameTextError::Name(NameError::EmptyField))
    );
}

#[test]
fn prefixes_match_by_field() {
    let foo_bar = namespace(&["foo", "bar"]);
    assert!(foo_bar.has_prefix(&namespace(&["foo"])));
    assert!(foo_bar.has_prefix(&TrackNamespace::empty()));
    assert!(foo_bar.has_prefix(&foo_bar));
    assert!(!namespace(&["foobar"]).has_prefix(&namespace(&["foo"])));
    assert!(!namespace(&["foo"]).has_prefix(&foo_bar));
    assert_eq!(
        foo_bar.strip_prefix(&namespace(&["foo"])),
        Some(namespace(&["bar"]))
    );
    assert_eq!(foo_bar.strip_prefix(&namespace(&["bar"])), None);
    assert_eq!(namespace(&["foo"]).strip_prefix(&foo_bar), None);
    assert_eq!(namespace(&["foo"]).join(&namespace(&["bar"])), Ok(foo_bar));
}

#[test]
fn limits_are_those_of_the_draft() {
    assert!(TrackNamespace::new(vec!["a"; 32]).is_ok());
    assert_eq!(TrackNamespace::new(vec!["a"; 33]), Err(NameError::TooManyFields));
    assert_eq!(TrackNamespace::new(["a", ""]), Err(NameError::EmptyField));
    let half = vec![b'x'; 2048];
    let full = TrackNamespace::new([&half, &half]).unwrap();
    assert_eq!(full.byte_len(), 4096);
    assert_eq!(
        TrackNamespace::new([&half[..], &half, b"y"]),
        Err(NameError::TooLong)
    );
    assert_eq!(
        FullTrackName::new(full, TrackName::new("y").unwrap()),
        Err(NameError::TooLong)
    );
    assert_eq!(TrackName::new(vec![0; 4097]), Err(NameError::TooLong));
}

#[test]
fn reserved_namespaces_are_told_by_their_first_field() {
    let flags = |fields: &[&str]| {
        let namespace = namespace(fields);
        (
            namespace.is_reserved(),
            namespace.is_session(),
            namespace.is_dot(),
        )
    };
    assert_eq!(flags(&[]), (false, false, false));
    assert_eq!(flags(&["live", ".session"]), (false, false, false));
    assert_eq!(flags(&["."]), (true, false, true));
    assert_eq!(flags(&[".", "a"]), (true, false, true));
    assert_eq!(flags(&[".session", "a"]), (true, true, false));
    assert_eq!(flags(&[".sessions"]), (true, false, false));
}

#[test]
fn an_encoding_that_is_not_the_shortest_is_the_same_name() {
    let long = Bytes::from_static(&[0x80, 1, 0xc0, 0, 1, b'a']);
    let mut reader = Reader::new(long);
    assert_eq!(TrackNamespace::decode(&mut reader), Ok(namespace(&["a"])));
}
