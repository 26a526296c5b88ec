//! Two nodes that meet: who believes whom.

use super::*;

fn verify(world: &World, proof: &[u8], now: SystemTime) -> Result<VerifiedNode, ProofError> {
    Proof::verify(proof, &HERE, Role::Client, &world.revocations, now)
}

#[test]
fn a_member_is_known_by_its_proof_with_its_rights() {
    let mut world = world();
    let member = world.member();
    let proof = member.prove(&HERE, Role::Client).encode();
    let expected = VerifiedNode {
        id: world.node.id(),
        certificate: member.certificate().clone(),
    };
    assert_eq!(verify(&world, &proof, now()), Ok(expected));
}

#[test]
fn clocks_may_differ_by_hours() {
    let mut world = world();
    let member = world.member();
    let proof = member.prove(&HERE, Role::Client).encode();
    let due = member.certificate().renewal_due();
    for clock in [now() - DAY, now() - HOUR, now() + HOUR, due + HOUR, due + 9 * DAY] {
        assert!(verify(&world, &proof, clock).is_ok());
    }
}

#[test]
fn dates_are_kept() {
    let mut world = world();
    let member = world.member();
    let proof = member.prove(&HERE, Role::Client).encode();
    let second = Duration::from_secs(1);
    assert!(verify(&world, &proof, member.expires()).is_ok());
    for (clock, error) in [
        (now() - DAY - second, CertificateError::NotYet),
        (member.expires() + second, CertificateError::Expired),
    ] {
        assert_eq!(verify(&world, &proof, clock), Err(ProofError::Certificate(error)));
    }
}

#[test]
fn a_proof_is_good_for_one_connection_and_one_end_of_it() {
    let mut world = world();
    let member = world.member();
    for (exporter, role) in [(ELSEWHERE, Role::Client), (HERE, Role::Server)] {
        let proof = member.prove(&exporter, role).encode();
        assert_eq!(verify(&world, &proof, now()), Err(ProofError::BadSignature));
    }
}

#[test]
fn a_certificate_is_worth_nothing_without_its_key() {
    let mut world = world();
    let member = world.member();
    let stolen = Proof::new(member.certificate(), &node(), &HERE, Role::Client).encode();
    assert_eq!(verify(&world, &stolen, now()), Err(ProofError::BadSignature));
}

#[test]
fn members_of_another_mesh_are_strangers() {
    let here = world();
    let mut elsewhere = world();
    let proof = elsewhere.member().prove(&HERE, Role::Client).encode();
    let foreign = CertificateError::Foreign(elsewhere.authority.mesh());
    assert_eq!(
        verify(&here, &proof, now()),
        Err(ProofError::Certificate(foreign))
    );
}

#[test]
fn a_revoked_node_is_refused_and_the_others_are_not() {
    let mut world = world();
    let member = world.member();
    let proof = member.prove(&HERE, Role::Client).encode();
    world.revoke(node().id());
    assert!(verify(&world, &proof, now()).is_ok());
    world.revoke(member.node());
    assert_eq!(
        verify(&world, &proof, now()),
        Err(ProofError::Revoked(member.node()))
    );
}

#[test]
fn a_damaged_proof_is_refused() {
    let mut world = world();
    let proof = world.member().prove(&HERE, Role::Client).encode();
    damage(&proof, |bytes, what| {
        assert!(verify(&world, bytes, now()).is_err(), "{what}");
    });
}

#[test]
fn revocations_are_numbered_kept_once_and_taken_in_any_order() {
    let mut world = world();
    let records: Vec<_> = (0..3).map(|_| world.revoke(node().id())).collect();
    assert_eq!(
        records.iter().map(Revocation::number).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert_eq!(world.revoke(records[1].node()), records[1]);
    let mesh = world.authority.mesh();
    let mut other = Revocations::none(mesh);
    for record in records.iter().rev() {
        assert_eq!(other.add(record.clone()), Ok(true));
        assert_eq!(other.add(record.clone()), Ok(false));
    }
    assert_eq!((other.version(), &other), (3, &world.revocations));
    assert_eq!(Revocations::decode(mesh, &other.encode()), Ok(other));
    let mut foreign = Revocations::none(super::world().authority.mesh());
    assert_eq!(
        foreign.add(records[0].clone()),
        Err(RevocationError::Foreign(mesh))
    );
}
