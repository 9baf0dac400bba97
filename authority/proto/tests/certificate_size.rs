//! A certificate travels in one datagram.

mod fixtures;

use fixtures::Network;
use tidegate_proto::Signed;

/// What fits a path whose MTU is the least that IPv6 allows, with room for the headers in front.
const DATAGRAM: usize = 1200;

#[test]
fn a_certificate_with_five_tags_and_two_routes_fits_one_datagram() {
    let network = Network::new();
    let certificate = network.certificate();
    assert_eq!((certificate.tags.len(), certificate.routes.len()), (5, 2));
    let size = Signed::sign(&certificate, &[&network.authority])
        .unwrap()
        .to_compact()
        .len();
    println!("a certificate with five tags and two routes has {size} bytes of {DATAGRAM}");
    assert!(size <= DATAGRAM, "{size} bytes");
}
