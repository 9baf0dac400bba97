//! How a data plane begins and ends.

mod common;

use tidegate_tests::wireguard::{Endpoint, Pair, Side};
use tidegate_tests::{Lab, LabError};
use tidegate_wg::{ApplyError, Command, PeerId};
use tidegate_wg_io::{ControlError, DataPlane, Notice, StartError, StopReason};

use crate::common::{config, start};

#[test]
fn a_dropped_data_plane_takes_its_interface_and_port_along() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::cabled(&lab)?;
    for _ in 0..3 {
        let (plane, mut notices) = start(&pair, Side::A)?;
        assert_eq!(plane.port(), pair.a.port);
        drop(plane);
        let last = std::iter::from_fn(|| notices.blocking_recv()).last();
        assert!(
            matches!(last, Some(Notice::Stopped(StopReason::Asked))),
            "{last:?}"
        );
        let links = pair.a.host.run("ip", ["link"])?;
        assert!(!links.contains(Endpoint::DEVICE), "{links}");
    }
    Ok(())
}

#[test]
fn an_interface_that_is_deleted_ends_the_thread_and_everybody_is_told() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::cabled(&lab)?;
    let (plane, mut notices) = start(&pair, Side::A)?;
    pair.a.host.run("ip", ["link", "del", Endpoint::DEVICE])?;
    let last = std::iter::from_fn(|| notices.blocking_recv()).last();
    assert!(
        matches!(last, Some(Notice::Stopped(StopReason::InterfaceGone))),
        "{last:?}"
    );
    assert_eq!(plane.control().io_status(), Err(ControlError::Stopped));
    Ok(())
}

#[test]
fn an_interface_that_is_down_costs_nothing_and_works_again_when_up() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::cabled(&lab)?;
    let (a, _notices_a) = start(&pair, Side::A)?;
    let (_b, _notices_b) = start(&pair, Side::B)?;
    pair.await_ping(Side::A, 0)?;
    pair.a
        .host
        .run("ip", ["link", "set", Endpoint::DEVICE, "down"])?;
    let ping = pair
        .b
        .host
        .run("ping", ["-c", "2", "-i", "0.1", "-W", "1", "10.77.0.1"]);
    assert!(ping.is_err(), "{ping:?}");
    let tun = a.control().io_status().unwrap().tun;
    assert!(tun.down >= 2 && tun.refused == 0, "{tun:?}");
    pair.a.configure_device()?;
    pair.await_ping(Side::B, 0)
}

#[test]
fn a_name_or_a_port_that_is_taken_is_an_error_that_says_so() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::cabled(&lab)?;
    let (_plane, _notices) = start(&pair, Side::A)?;
    let again = |name: &str| {
        let mut config = config(&pair.a);
        config.tun.name = name.to_owned();
        pair.a.host.enter(|| DataPlane::start(config).map(drop))
    };
    assert!(matches!(
        again(Endpoint::DEVICE)?,
        Err(StartError::Tun { .. })
    ));
    assert!(matches!(again("other0")?, Err(StartError::Udp { .. })));
    let links = pair.a.host.run("ip", ["link"])?;
    assert!(
        !links.contains("other0"),
        "a half-started data plane left its interface: {links}"
    );
    Ok(())
}

#[test]
fn a_refused_command_says_why_and_later_ones_are_not_carried_out() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::cabled(&lab)?;
    let (plane, _notices) = start(&pair, Side::A)?;
    let unknown = PeerId(99);
    let commands = vec![Command::Connect(unknown), Command::RemovePeer(PeerId(1))];
    let result = plane.control().apply_all(commands);
    assert_eq!(
        result,
        Err(ControlError::Refused(ApplyError::UnknownPeer(unknown)))
    );
    assert_eq!(plane.control().status().unwrap().peers.len(), 1);
    Ok(())
}
