//! The decoders of the agent: questions for names, and questions on the local socket.
#![allow(
    clippy::missing_panics_doc,
    reason = "panicking is how a decoder reports"
)]

use tidegate::dns::message::{Answer, Code, Data, Query};
use tidegate::dns::name::Name;
use tidegate::dns::zone::Zone;
use tidegate::local::Request;

/// One decoder that is fuzzed.
pub type Decoder = fn(&[u8]);

/// Every target with its decoder.
pub const TARGETS: [(&str, Decoder); 2] = [("agent_dns", dns), ("agent_request", request)];

/// A question for names, as any program on the overlay may send it.
pub fn dns(data: &[u8]) {
    let Ok(query) = Query::parse(data) else {
        return;
    };
    let mut zone = Zone::new(
        Name::new("demo.internal").expect("a name"),
        ["100.64.0.0/16", "fd12::/48"].map(|range| range.parse().expect("a range")),
    );
    zone.add(
        "db",
        ["100.64.0.5", "fd12::5"].map(|ip| ip.parse().expect("an address")),
    );
    let answer = zone.answer(&query);
    check(&query.answered(&answer), data, answer.code);
    let everything = Answer {
        data: vec![
            Data::A([100, 64, 0, 5].into()),
            Data::Ptr(Name::new("db.demo.internal").expect("a name")),
        ],
        zone: Name::new("demo.internal"),
        start: true,
        code: Code::Done,
    };
    check(&query.answered(&everything), data, Code::Done);
}

/// An answer is an answer to this question, fits into what every asker reads over TCP, and is never a question itself.
fn check(wire: &[u8], question: &[u8], code: Code) {
    assert!(wire.len() >= 12 && wire.len() <= 2 * 512);
    assert_eq!(wire[..2], question[..2], "the id");
    assert_eq!(wire[3] & 15, code as u8, "the code");
    assert!(wire[2] & 0x80 != 0 && Query::parse(wire).is_err());
}

/// A question on the local socket: what was understood is written again as something that is understood as the same.
pub fn request(data: &[u8]) {
    let Ok(request) = Request::parse(data) else {
        return;
    };
    let again = serde_json::to_vec(&request).expect("it can be written");
    assert_eq!(Request::parse(&again).expect("and read"), request);
}
