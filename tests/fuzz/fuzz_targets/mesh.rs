//! What a mesh reads from others and from its files: no decoder panics, and what is read has one encoding.

#![no_main]

use headwater_certs::mesh::{
    Address, Answer, Authority, Exporter, Invite, Ledger, MeshId, NodeCertificate, PeerRecord, Proof, Request,
    Revocation, Revocations,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = data;
    macro_rules! one_encoding {
        ($($decoded:expr),* $(,)?) => {
            $(if let Ok(read) = $decoded {
                assert_eq!(read.encode(), bytes);
            })*
        };
    }
    one_encoding!(
        Answer::decode(bytes),
        Invite::decode(bytes),
        Ledger::decode(bytes),
        NodeCertificate::decode(bytes),
        PeerRecord::decode(bytes),
        Proof::decode(bytes),
        Request::decode(bytes),
        Revocation::decode(bytes),
    );
    let mesh = MeshId::from_bytes([0; 32]);
    drop(Revocations::decode(mesh, bytes));
    if let Ok(authority) = Authority::generate() {
        let exporter = Exporter([0; 32]);
        let (mut ledger, revocations) = (Ledger::default(), Revocations::none(authority.mesh()));
        let answer = authority.decide(bytes, &exporter, &mut ledger, &revocations, std::time::UNIX_EPOCH);
        // Nobody guesses a signature.
        assert!(matches!(answer, Answer::Refused(_)) && ledger == Ledger::default());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(invite) = Invite::parse(text) {
            assert_eq!(invite.to_string(), text.trim());
        }
        if let Ok(address) = text.parse::<Address>() {
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
});
