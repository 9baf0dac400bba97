//! A cable between two hosts that is as fast as the machine.

use crate::{Host, LabError, switch::on};

/// Joins two hosts by one cable, with these addresses at either end, and returns the names of the two devices.
///
/// Unlike a [`Network`](crate::Network) it keeps every offload, as a fast network card would: trains of segments
/// stay whole. It is for measuring throughput; for loss and cuts take a network.
pub fn cable(
    (a, a_addresses): (&Host, &[&str]),
    (b, b_addresses): (&Host, &[&str]),
) -> Result<(String, String), LabError> {
    let (a_device, b_device) = (a.next_device(), b.next_device());
    let id = b.space.id();
    on(&a.space, "ip")
        .args(["link", "add", "name", &a_device, "type", "veth"])
        .args(["peer", "name", &b_device, "netns", &id.to_string()])
        .run()?;
    for (host, device, addresses) in [(a, &a_device, a_addresses), (b, &b_device, b_addresses)] {
        let added: String = addresses
            .iter()
            .map(|address| format!("address add {address} dev {device}\n"))
            .collect();
        on(&host.space, "ip")
            .args(["-batch", "-"])
            .input(added + &format!("link set {device} up\n"))
            .run()?;
    }
    Ok((a_device, b_device))
}
