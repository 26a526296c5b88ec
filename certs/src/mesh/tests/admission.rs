//! Who is let in, and who is not.

use super::*;

fn refused(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused(refusal) => refusal,
        Answer::Granted(certificate) => panic!("granted {certificate:?}"),
    }
}

#[test]
fn an_invite_makes_a_member_with_its_rights_for_thirty_days() {
    let mut world = world();
    let member = world.member();
    let certificate = member.certificate();
    assert_eq!(
        (member.mesh(), member.node()),
        (world.authority.mesh(), world.node.id())
    );
    assert_eq!(certificate.rights(), &rights());
    assert_eq!(member.office(), Some(world.invite.office()));
    assert_eq!(certificate.validity().not_before, now() - DAY);
    assert_eq!(member.expires(), now() + CERTIFICATE_LENGTH);
    assert_eq!(certificate.renewal_due(), now() + 20 * DAY);
    let members: Vec<_> = world.ledger.members().collect();
    let expected = Member {
        joined: now(),
        expires: member.expires(),
    };
    assert_eq!(members, [(world.node.id(), expected)]);
}

#[test]
fn an_invite_lets_one_node_in_however_often_it_asks() {
    let mut world = world();
    let first = world.member();
    let again = world.member();
    assert_eq!(first.certificate().node(), again.certificate().node());
    let answer = world.join(&node(), now());
    assert_eq!(refused(answer), Refusal::Used);
    assert_eq!(world.ledger.members().len(), 1);
}

#[test]
fn an_invite_ends_by_the_authority_s_clock() {
    let mut world = world();
    let answer = world.join(&node(), now() + HOUR + Duration::from_secs(1));
    assert_eq!(refused(answer), Refusal::Expired);
    assert!(matches!(world.join(&node(), now() + HOUR), Answer::Granted(_)));
}

#[test]
fn a_used_invite_stays_used_when_the_clock_is_set_back() {
    let mut world = world();
    world.member();
    // Another newcomer, after the invite's end, makes the ledger forget what it may.
    let late = now() + 20 * HOUR;
    let first = world.invite.clone();
    world.invite = world.authority.invite(terms(), late).unwrap();
    assert!(matches!(world.join(&node(), late), Answer::Granted(_)));
    world.invite = first;
    assert_eq!(refused(world.join(&node(), now())), Refusal::Used);
}

#[test]
fn the_ledger_forgets_what_has_ended_long_ago() {
    let mut world = world();
    world.member();
    let used = world.ledger.encode().len();
    let years_later = now() + 1000 * DAY;
    world.invite = world.authority.invite(terms(), years_later).unwrap();
    let node = node();
    assert!(matches!(world.join(&node, years_later), Answer::Granted(_)));
    assert_eq!(world.ledger.encode().len(), used);
    assert_eq!(world.ledger.members().next().unwrap().0, node.id());
}

#[test]
fn a_full_ledger_refuses_newcomers_whole_and_serves_the_others() {
    const MOST: u32 = 8192;
    let mut world = world();
    let member = world.member();
    let mut members = vec![1];
    members.extend(0_u32.to_be_bytes());
    members.extend(MOST.to_be_bytes());
    let times = [1_790_000_000_u64.to_be_bytes(), 1_792_000_000_u64.to_be_bytes()].concat();
    for count in 1..MOST {
        members.extend([&[0; 28], count.to_be_bytes().as_slice(), &times].concat());
    }
    let known = [member.node().as_bytes(), times.as_slice()].concat();
    world.ledger = Ledger::decode(&[members, known].concat()).unwrap();
    let before = world.ledger.clone();
    assert_eq!(refused(world.join(&node(), now())), Refusal::Full);
    assert_eq!(world.ledger, before);
    let renewal = member.renewal(&HERE).encode();
    assert!(matches!(world.decide(&renewal, now()), Answer::Granted(_)));
}

#[test]
fn an_invite_is_worth_nothing_at_another_authority() {
    let mut here = world();
    let elsewhere = world();
    let request = Request::join(&elsewhere.invite, &here.node, &HERE).encode();
    assert_eq!(refused(here.decide(&request, now())), Refusal::Foreign);
    assert_eq!(here.ledger, Ledger::default());
}

#[test]
fn a_request_is_good_on_its_connection_and_for_its_node_alone() {
    let mut world = world();
    let replayed = Request::join(&world.invite, &world.node, &ELSEWHERE).encode();
    assert_eq!(refused(world.decide(&replayed, now())), Refusal::BadProof);
    let Request::Join {
        invite, signature, ..
    } = Request::join(&world.invite, &world.node, &HERE)
    else {
        panic!("another request");
    };
    let stolen = Request::Join {
        invite,
        node: node().id(),
        signature,
    };
    assert_eq!(refused(world.decide(&stolen.encode(), now())), Refusal::BadProof);
    assert_eq!(world.ledger, Ledger::default());
}

#[test]
fn a_damaged_request_grants_nothing_and_is_not_remembered() {
    let mut world = world();
    let member = world.member();
    let node = Arc::clone(&world.node);
    for request in [Request::join(&world.invite, &node, &HERE), member.renewal(&HERE)] {
        let before = world.ledger.clone();
        damage(&request.encode(), |bytes, what| {
            let answer = world.decide(bytes, now());
            assert!(matches!(answer, Answer::Refused(_)), "{what}");
        });
        assert_eq!(world.ledger, before);
    }
}

#[test]
fn a_damaged_answer_makes_no_member() {
    let mut world = world();
    let node = Arc::clone(&world.node);
    let answer = world.join(&node, now()).encode();
    damage(&answer, |bytes, what| {
        let joined = Membership::join(Arc::clone(&node), &world.invite, bytes);
        assert!(joined.is_err(), "{what}");
    });
    let others = Membership::join(super::node(), &world.invite, &answer).unwrap_err();
    assert_eq!(others, AnswerError::OtherNode(node.id()));
}

#[test]
fn a_member_renews_and_keeps_its_rights() {
    let mut world = world();
    let mut member = world.member();
    let later = member.certificate().renewal_due();
    let answer = world.decide(&member.renewal(&HERE).encode(), later).encode();
    member.renew(&answer).unwrap();
    assert_eq!(member.expires(), later + CERTIFICATE_LENGTH);
    assert_eq!(member.certificate().rights(), &rights());
    let (_, known) = world.ledger.members().next().unwrap();
    assert_eq!((known.joined, known.expires), (now(), member.expires()));
}

#[test]
fn neither_an_expired_nor_a_forged_certificate_is_renewed() {
    let mut world = world();
    let member = world.member();
    let late = member.expires() + Duration::from_secs(1);
    let renewal = member.renewal(&HERE).encode();
    assert_eq!(refused(world.decide(&renewal, late)), Refusal::Expired);
    let mut bytes = member.certificate().encode();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = NodeCertificate::decode(&bytes).unwrap();
    let request = Request::renew(&forged, &world.node, &HERE).encode();
    assert_eq!(refused(world.decide(&request, now())), Refusal::Forged);
}

#[test]
fn a_revoked_node_neither_joins_nor_renews() {
    let mut world = world();
    let member = world.member();
    world.revoke(member.node());
    let renewal = member.renewal(&HERE).encode();
    assert_eq!(refused(world.decide(&renewal, now())), Refusal::Revoked);
    world.invite = world.authority.invite(terms(), now()).unwrap();
    let node = Arc::clone(&world.node);
    assert_eq!(refused(world.join(&node, now())), Refusal::Revoked);
    let error = Membership::join(node, &world.invite, &Answer::Refused(Refusal::Revoked).encode());
    assert_eq!(error.unwrap_err(), AnswerError::Refused(Refusal::Revoked));
}

#[test]
fn every_refusal_survives_the_way() {
    for code in 1..=u8::MAX {
        let answer = Answer::decode(&[1, code]).unwrap();
        assert_eq!(answer.encode(), [1, code]);
        let Answer::Refused(refusal) = answer else {
            panic!("granted");
        };
        assert_eq!(matches!(refusal, Refusal::Other(_)), code > 9, "{refusal}");
    }
}
