//! The lab's own tests.

use tidegate_tests::Lab;

#[test]
fn a_cut_link_passes_nothing_until_it_is_healed() {
    let lab = Lab::new().unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    let lan = lab.network("lan").unwrap();
    let link = lan.attach(&a, &["10.0.0.1/24", "fd00::1/64"]).unwrap();
    lan.attach(&b, &["10.0.0.2/24", "fd00::2/64"]).unwrap();
    let reaches = |address| a.run("ping", ["-c1", "-W1", address]).is_ok();
    assert!(reaches("10.0.0.2") && reaches("fd00::2"));
    link.cut().unwrap();
    assert!(!reaches("10.0.0.2") && !reaches("fd00::2"));
    link.heal().unwrap();
    assert!(reaches("10.0.0.2") && reaches("fd00::2"));
}
