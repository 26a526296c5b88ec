//! The benchmark of fan-out at its smallest: it asserts that everything arrives once and in order, and no speed.

use headwater_tests::Spawn;

#[test]
fn what_is_fanned_out_arrives_once_and_in_order() {
    let args = ["fan", "smoke", "--rounds", "1", "--seconds", "2", "--web"];
    let table = Spawn::new(env!("CARGO_BIN_EXE_bench"), args)
        .env("HARNESS_MOQ", headwater_tests::moq())
        .output()
        .unwrap();
    for server in ["bare quinn", "relay", "relay, WebTransport"] {
        assert!(table.contains(&format!("| smoke | {server} |")), "{table}");
    }
}
