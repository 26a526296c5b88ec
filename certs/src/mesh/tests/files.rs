//! The state directory: what is kept, and what a crash or a wrong file does.

use super::*;
use crate::StateDir;

struct Disk {
    _temp: tempfile::TempDir,
    dir: StateDir,
}

fn disk() -> Disk {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::create(temp.path()).unwrap();
    Disk { _temp: temp, dir }
}

fn invite(authority: &Authority) -> Invite {
    authority.invite(terms(), now()).unwrap()
}

fn admit(disk: &Disk, authority: &Authority, request: &Request, now: SystemTime) -> Answer {
    let answer = authority.admit(&disk.dir, &request.encode(), &HERE, now).unwrap();
    Answer::decode(&answer).unwrap()
}

#[test]
fn a_mesh_is_made_once_and_its_first_node_is_a_member() {
    let disk = disk();
    assert!(Authority::load(&disk.dir).unwrap().is_none());
    assert!(Membership::from_state(&disk.dir).unwrap().is_none());
    let (authority, member) = Authority::create(&disk.dir, now()).unwrap();
    assert_eq!((member.mesh(), member.office()), (authority.mesh(), None));
    let (again, same) = Authority::create(&disk.dir, now() + HOUR).unwrap();
    assert_eq!(
        (again.mesh(), same.certificate()),
        (authority.mesh(), member.certificate())
    );
    let id = NodeIdentity::load_or_create(&disk.dir).unwrap().id();
    assert_eq!(id, member.node());
    let (node, _) = Ledger::load(&disk.dir).unwrap().members().next().unwrap();
    assert_eq!(node, id);
}

#[test]
fn the_authority_renews_its_own_certificate_even_after_its_end() {
    let disk = disk();
    let (_, member) = Authority::create(&disk.dir, now()).unwrap();
    for clock in [member.certificate().renewal_due(), member.expires() + 100 * DAY] {
        let (_, renewed) = Authority::create(&disk.dir, clock).unwrap();
        assert_eq!(renewed.expires(), clock + CERTIFICATE_LENGTH);
    }
}

#[test]
fn an_enlisted_node_is_a_member_without_an_office() {
    let (disk, other) = (disk(), Authority::generate().unwrap());
    let authority = Authority::generate().unwrap();
    let member = authority.enlist(&disk.dir, Rights::All, now()).unwrap();
    let kept = Membership::from_state(&disk.dir).unwrap().unwrap();
    assert_eq!((kept.mesh(), kept.office()), (authority.mesh(), None));
    assert_eq!(kept.certificate(), member.certificate());
    assert!(member.certificate().verify(authority.mesh(), now()).is_ok());
    let elsewhere = other.enlist(&disk.dir, Rights::All, now());
    assert!(matches!(elsewhere, Err(StoreError::OtherMesh { mesh }) if mesh == authority.mesh()));
}

#[test]
fn a_crash_while_a_mesh_is_made_is_made_up_for() {
    let disk = disk();
    let (authority, member) = Authority::create(&disk.dir, now()).unwrap();
    for file in ["mesh.membership", "mesh.ledger"] {
        std::fs::remove_file(disk.dir.file(file)).unwrap();
    }
    let (again, repaired) = Authority::create(&disk.dir, now()).unwrap();
    assert_eq!((again.mesh(), repaired.node()), (authority.mesh(), member.node()));
}

#[test]
fn a_used_invite_is_on_disk_before_the_answer() {
    let disk = disk();
    let (authority, _) = Authority::create(&disk.dir, now()).unwrap();
    let invite = invite(&authority);
    let node = node();
    let request = Request::join(&invite, &node, &HERE);
    assert!(matches!(
        admit(&disk, &authority, &request, now()),
        Answer::Granted(_)
    ));
    // As after a restart: nothing but the files.
    let authority = Authority::load(&disk.dir).unwrap().unwrap();
    let other = Request::join(&invite, &super::node(), &HERE);
    assert_eq!(
        admit(&disk, &authority, &other, now()),
        Answer::Refused(Refusal::Used)
    );
    assert!(matches!(
        admit(&disk, &authority, &request, now()),
        Answer::Granted(_)
    ));
}

#[test]
fn what_cannot_be_remembered_is_not_granted() {
    let disk = disk();
    let (authority, _) = Authority::create(&disk.dir, now()).unwrap();
    let request = Request::join(&invite(&authority), &node(), &HERE).encode();
    std::fs::remove_file(disk.dir.file("mesh.ledger")).unwrap();
    std::fs::create_dir_all(disk.dir.file("mesh.ledger").join("in the way")).unwrap();
    assert!(authority.admit(&disk.dir, &request, &HERE, now()).is_err());
    std::fs::remove_dir_all(disk.dir.file("mesh.ledger")).unwrap();
    disk.dir.write("mesh.ledger", b"half a file").unwrap();
    let error = authority.admit(&disk.dir, &request, &HERE, now()).unwrap_err();
    assert!(matches!(error, StoreError::Malformed { .. }), "{error}");
}

#[test]
fn of_many_that_use_one_invite_at_once_one_is_let_in() {
    let disk = disk();
    let (authority, _) = Authority::create(&disk.dir, now()).unwrap();
    let invite = invite(&authority);
    let granted = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let request = Request::join(&invite, &node(), &HERE);
                    matches!(admit(&disk, &authority, &request, now()), Answer::Granted(_))
                })
            })
            .collect();
        asking
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .filter(|&in_| in_)
            .count()
    });
    assert_eq!(granted, 1);
}

#[test]
fn a_membership_survives_a_restart_and_belongs_to_one_mesh() {
    let disk = disk();
    let mut world = world();
    world.node = Arc::new(NodeIdentity::load_or_create(&disk.dir).unwrap());
    let member = world.member();
    member.join_state(&disk.dir).unwrap();
    let found = Membership::from_state(&disk.dir).unwrap().unwrap();
    assert_eq!(
        (found.certificate(), found.office()),
        (member.certificate(), member.office())
    );
    member.join_state(&disk.dir).unwrap();

    let mut elsewhere = super::world();
    elsewhere.node = Arc::clone(&world.node);
    for error in [
        elsewhere.member().join_state(&disk.dir).unwrap_err(),
        Authority::create(&disk.dir, now()).map(drop).unwrap_err(),
    ] {
        assert!(
            matches!(error, StoreError::OtherMesh { mesh } if mesh == member.mesh()),
            "{error}"
        );
    }
    assert!(Authority::load(&disk.dir).unwrap().is_none());
}

#[test]
fn a_revocation_is_kept_and_enforced_by_the_authority() {
    let disk = disk();
    let (authority, _) = Authority::create(&disk.dir, now()).unwrap();
    let node = node();
    let record = authority.revoke(&disk.dir, node.id(), now()).unwrap();
    assert_eq!(record.number(), 1);
    assert_eq!(authority.revoke(&disk.dir, node.id(), now()).unwrap(), record);
    assert_eq!(
        authority
            .revoke(&disk.dir, super::node().id(), now())
            .unwrap()
            .number(),
        2
    );
    let list = Revocations::load(&disk.dir, authority.mesh()).unwrap();
    assert!(list.contains(node.id()) && list.version() == 2);
    let request = Request::join(&invite(&authority), &node, &HERE);
    assert_eq!(
        admit(&disk, &authority, &request, now()),
        Answer::Refused(Refusal::Revoked)
    );
}

#[test]
fn foreign_and_swapped_files_are_told_by_name_and_kept() {
    let disk = disk();
    Authority::create(&disk.dir, now()).unwrap();
    let key = disk.dir.read("node.key").unwrap().unwrap();
    let other = self::disk();
    NodeIdentity::load_or_create(&other.dir).unwrap();
    disk.dir
        .write("node.key", &other.dir.read("node.key").unwrap().unwrap())
        .unwrap();
    let error = Membership::from_state(&disk.dir).unwrap_err();
    assert!(matches!(error, StoreError::OtherNode { .. }), "{error}");
    disk.dir.write("node.key", &key).unwrap();

    for file in [
        "node.key",
        "mesh.key",
        "mesh.membership",
        "mesh.ledger",
        "mesh.revocations",
    ] {
        let before = disk.dir.read(file).unwrap();
        disk.dir.write(file, b"something else").unwrap();
        let error = match file {
            "mesh.revocations" => {
                let mesh = Authority::load(&disk.dir).unwrap().unwrap().mesh();
                Revocations::load(&disk.dir, mesh).map(drop).unwrap_err()
            }
            "mesh.ledger" => Ledger::load(&disk.dir).map(drop).unwrap_err(),
            _ => Authority::create(&disk.dir, now()).map(drop).unwrap_err(),
        };
        assert!(error.to_string().contains(file), "{file}: {error}");
        assert_eq!(disk.dir.read(file).unwrap().unwrap(), b"something else");
        match before {
            Some(before) => disk.dir.write(file, &before).unwrap(),
            None => std::fs::remove_file(disk.dir.file(file)).unwrap(),
        }
    }
    // The relay's TLS key is no node key, though both are PKCS#8.
    crate::NodeKey::load_or_create(&other.dir).unwrap();
    other
        .dir
        .write("node.key", &other.dir.read("relay.key").unwrap().unwrap())
        .unwrap();
    assert!(matches!(
        NodeIdentity::load(&other.dir),
        Err(StoreError::Key { .. })
    ));
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_any_of_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let disk = disk();
    let (authority, _) = Authority::create(&disk.dir, now()).unwrap();
    authority.revoke(&disk.dir, node().id(), now()).unwrap();
    for entry in std::fs::read_dir(disk.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
}
