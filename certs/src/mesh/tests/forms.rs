//! Binary and text forms: what is written is read, nothing else is, and nobody else can write it.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn any_rights() -> impl Strategy<Value = Rights> {
    let prefix = vec(vec(any::<u8>(), 1..9), 1..5);
    vec(prefix, 0..5)
        .prop_map(|list| Rights::under(list.into_iter().map(|p| NamespacePrefix::new(p).unwrap())).unwrap())
}

fn any_address() -> impl Strategy<Value = Address> {
    let host = prop_oneof![
        "[a-z][a-z0-9-]{0,20}(\\.[a-z][a-z0-9]{0,8}){0,3}",
        any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[{ip}]")),
    ];
    (host, 1..=u16::MAX).prop_map(|(host, port)| format!("{host}:{port}").parse().unwrap())
}

fn any_time() -> impl Strategy<Value = SystemTime> {
    (0_u64..1 << 36).prop_map(|seconds| UNIX_EPOCH + Duration::from_millis(seconds))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn certificates_invites_requests_and_answers_are_read_as_written(
        rights in any_rights(),
        addresses in vec(any_address(), 1..=MAX_ADDRESSES),
        time in any_time(),
    ) {
        let world = world();
        let certificate = world.authority.certify(world.node.id(), rights.clone(), time);
        prop_assert_eq!(NodeCertificate::decode(&certificate.encode()), Ok(certificate.clone()));
        prop_assert_eq!(certificate.verify(world.authority.mesh(), time), Ok(()));

        let mut terms = terms();
        terms.office.addresses = addresses;
        terms.rights = rights;
        let invite = world.authority.invite(terms, time).unwrap();
        prop_assert_eq!(Invite::parse(&invite.to_string()), Ok(invite.clone()));

        for request in [
            Request::join(&invite, &world.node, &HERE),
            Request::renew(&certificate, &world.node, &HERE),
        ] {
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request.clone()));
            prop_assert!(request.verify(&HERE).is_ok() && request.verify(&ELSEWHERE).is_err());
        }
        let proof = Proof::new(&certificate, &world.node, &HERE, Role::Client);
        prop_assert_eq!(Proof::decode(&proof.encode()), Ok(proof));
        let answer = Answer::Granted(certificate);
        prop_assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
    }

    #[test]
    fn records_are_read_as_written(
        addresses in vec(any_address(), 0..=MAX_ADDRESSES),
        role_bits: u8,
        time_ms: u64,
    ) {
        let node = node();
        let record = PeerRecord::sign(&node, addresses.clone(), role_bits, time_ms);
        let read = PeerRecord::decode(&record.encode()).unwrap();
        prop_assert_eq!(&read, &record);
        prop_assert_eq!((read.id(), read.addresses()), (node.id(), addresses.as_slice()));
        prop_assert_eq!((read.role_bits(), read.time_ms()), (role_bits, time_ms));
    }

    /// Signatures are over encodings, so a value must have only one.
    #[test]
    fn what_is_read_at_all_is_written_the_same(
        start in prop::sample::select(samples()),
        at in any::<prop::sample::Index>(),
        patch in vec(any::<u8>(), 0..4),
    ) {
        let mut bytes = start;
        let at = at.index(bytes.len());
        for (byte, new) in bytes[at..].iter_mut().zip(&patch) {
            *byte = *new;
        }
        if let Ok(read) = NodeCertificate::decode(&bytes) {
            prop_assert_eq!(&read.encode(), &bytes);
        }
        if let Ok(read) = Proof::decode(&bytes) {
            prop_assert_eq!(&read.encode(), &bytes);
        }
        if let Ok(read) = Request::decode(&bytes) {
            prop_assert_eq!(&read.encode(), &bytes);
        }
        if let Ok(read) = Answer::decode(&bytes) {
            prop_assert_eq!(&read.encode(), &bytes);
        }
        if let Ok(read) = Revocation::decode(&bytes) {
            prop_assert_eq!(&read.encode(), &bytes);
        }
        if let Ok(read) = Ledger::decode(&bytes) {
            prop_assert_eq!(&read.encode(), &bytes);
        }
        if let Ok(read) = Invite::decode(&bytes) {
            prop_assert_eq!(&read.encode(), &bytes);
        }
    }

    #[test]
    fn rights_are_the_namespaces_under_the_prefixes(
        prefixes in vec(vec("[ab]", 1..3), 1..3),
        namespace in vec("[ab]", 0..5),
    ) {
        let rights = Rights::under(prefixes.iter().map(|p| NamespacePrefix::new(p).unwrap())).unwrap();
        let expected = prefixes.iter().any(|prefix| namespace.starts_with(prefix));
        prop_assert_eq!(rights.allow(namespace.iter().map(|field| field.as_bytes())), expected);
        prop_assert!(Rights::All.allow(namespace.iter().map(|field| field.as_bytes())));
    }
}

fn samples() -> Vec<Vec<u8>> {
    let mut world = world();
    let member = world.member();
    vec![
        member.certificate().encode(),
        member.prove(&HERE, Role::Client).encode(),
        member.renewal(&HERE).encode(),
        Request::join(&world.invite, &world.node, &HERE).encode(),
        Answer::Granted(member.certificate().clone()).encode(),
        Answer::Refused(Refusal::Used).encode(),
        world.revoke(member.node()).encode(),
        world.ledger.encode(),
        world.invite.encode(),
    ]
}

#[test]
fn a_damaged_certificate_is_refused() {
    let world = world();
    let mesh = world.authority.mesh();
    let certificate = world.authority.certify(world.node.id(), rights(), now());
    damage(&certificate.encode(), |bytes, what| {
        let verdict = NodeCertificate::decode(bytes).map(|read| read.verify(mesh, now()));
        assert!(!matches!(verdict, Ok(Ok(()))), "{what}");
    });
}

#[test]
fn a_damaged_invite_is_refused() {
    let invite = world().invite;
    damage(&invite.encode(), |bytes, what| {
        assert!(Invite::decode(bytes).is_err(), "{what}");
    });
    let text = invite.to_string();
    for len in 0..text.len() {
        assert!(Invite::parse(&text[..len]).is_err(), "the first {len} characters");
    }
    for at in 0..text.len() {
        for other in ['A', 'z', '=', '\u{e9}', ' '] {
            let changed = [&text[..at], &other.to_string(), &text[at + 1..]].concat();
            if changed != text {
                assert!(Invite::parse(&changed).is_err(), "{other:?} at {at}");
            }
        }
    }
}

#[test]
fn an_invite_is_one_line_and_forgives_white_space_around_it() {
    let invite = world().invite;
    let text = invite.to_string();
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
    assert_eq!(Invite::parse(&format!("\n {text}\r\n")), Ok(invite));
    assert_eq!(
        Invite::parse("moqt://relay.example"),
        Err(InviteError::NotAnInvite)
    );
    let endless = format!("{text}{}", "A".repeat(10_000));
    assert!(matches!(Invite::parse(&endless), Err(InviteError::Malformed(_))));
}

#[test]
fn a_damaged_record_or_revocation_is_refused() {
    let mut world = world();
    let record = PeerRecord::sign(&world.node, terms().office.addresses, 1, 5);
    damage(&record.encode(), |bytes, what| {
        assert!(PeerRecord::decode(bytes).is_err(), "{what}");
    });
    let node = world.node.id();
    let revocation = world.revoke(node).encode();
    damage(&revocation, |bytes, what| {
        let mut list = Revocations::none(world.authority.mesh());
        let taken = Revocation::decode(bytes).map(|record| list.add(record));
        assert!(!matches!(taken, Ok(Ok(_))), "{what}");
        assert_eq!(list.version(), 0);
    });
}

#[test]
fn a_signature_is_good_for_one_key_one_context_and_one_text() {
    const HEADS: Context = Context::new("log head");
    const BEACONS: Context = Context::new("beacon");
    let (node, other) = (node(), node());
    let signature = node.sign(HEADS, b"text");
    assert_eq!(node.id().verify(HEADS, b"text", &signature), Ok(()));
    assert_eq!(other.id().verify(HEADS, b"text", &signature), Err(BadSignature));
    assert_eq!(node.id().verify(BEACONS, b"text", &signature), Err(BadSignature));
    assert_eq!(node.id().verify(HEADS, b"texts", &signature), Err(BadSignature));
    assert_eq!(node.id().to_string().parse(), Ok(node.id()));
}

/// With such a key and R = B, s = 1, or the like, the equation holds for every text or for one in eight.
#[test]
fn keys_of_small_order_verify_nothing() {
    const CONTEXT: Context = Context::new("test");
    let identity = {
        let mut key = [0; 32];
        key[0] = 1;
        key
    };
    // R is the base point and s is 1: right for the identity as key, whatever the text.
    let mut forged = [0x66; 64];
    forged[0] = 0x58;
    forged[32..].fill(0);
    forged[32] = 1;
    let unchecked = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, identity);
    assert!(unchecked.verify(b"any text", &forged).is_ok());
    for sign in [0, 0x80] {
        let mut key = identity;
        key[31] |= sign;
        let verdict = NodeId::from_bytes(key).verify(CONTEXT, b"any text", &Signature(forged));
        assert_eq!(verdict, Err(BadSignature));
    }
}

#[test]
fn a_signature_has_one_form() {
    /// The order of the base point, little-endian: adding it to s changes nothing in the equation.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    const CONTEXT: Context = Context::new("test");
    let node = node();
    let mut signature = node.sign(CONTEXT, b"text");
    let mut carry = 0;
    for (byte, more) in signature.0[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
    assert_eq!(node.id().verify(CONTEXT, b"text", &signature), Err(BadSignature));
}

#[test]
fn bounds_are_kept() {
    let many = (0..=MAX_PREFIXES).map(|n| prefix(&[n.to_string().as_str()]));
    assert_eq!(Rights::under(many), Err(RightsError::TooMany));
    let long = "x".repeat(MAX_PREFIX_BYTES + 1);
    assert_eq!(Rights::under([prefix(&[&long])]), Err(RightsError::TooLong));
    assert_eq!(NamespacePrefix::new([""; 1]), Err(RightsError::Field));
    assert_eq!(NamespacePrefix::new(["a"; 33]), Err(RightsError::Field));
    assert_eq!(NamespacePrefix::new([""; 0]), Err(RightsError::NoFields));
    assert_eq!(Rights::under([]), Ok(Rights::All));

    // The largest of everything still fits the stated bounds.
    let host = format!("{0}.{0}.{0}.{1}:65535", "h".repeat(63), "h".repeat(61));
    let wide =
        (0..16_u8).map(|n| NamespacePrefix::new((0..32_u8).map(|field| [b'a' + n, b'a' + field])).unwrap());
    let mut terms = terms();
    terms.office.addresses = vec![host.parse().unwrap(); MAX_ADDRESSES];
    terms.rights = Rights::under(wide).unwrap();
    let world = world();
    let largest = world.authority.invite(terms.clone(), now()).unwrap();
    let request = Request::join(&largest, &world.node, &HERE);
    assert_eq!(Request::decode(&request.encode()), Ok(request));
    assert_eq!(Invite::parse(&largest.to_string()), Ok(largest));
    for addresses in [Vec::new(), vec!["h:1".parse().unwrap(); MAX_ADDRESSES + 1]] {
        terms.office.addresses = addresses;
        let refused = world.authority.invite(terms.clone(), now());
        assert_eq!(refused, Err(MakeInviteError::Addresses));
    }
}

#[test]
fn debug_shows_no_secret() {
    let world = world();
    let shown = format!(
        "{:?} {:?} {:?} {:?}",
        world.authority, world.node, world.invite, HERE
    );
    assert!(
        shown.contains("Nonce(..)") && shown.contains("Exporter(..)"),
        "{shown}"
    );
    let public = format!("NodeIdentity(SecretKey({}))", world.node.id());
    assert!(shown.contains(&public), "{shown}");
}
