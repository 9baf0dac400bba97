//! Address translation of the kinds that hosts meet in the world.

use crate::{Host, Lab, LabError, Link, Network, switch::on};

const COMMON: &str = include_str!("nat.nft");

/// How a router rewrites what it sends out by its outside link, and what it lets in.
///
/// The names are those of RFC 3489. In all four an inside port keeps its number outside unless another inside host
/// uses the same one, nothing passes from outside that no rule below lets in, and mappings are the kernel's
/// (`nf_conntrack`, whose timeouts are kernel parameters of the router). TCP behaves as in `PortRestricted`,
/// and `Symmetric` differs for TCP as well. IPv6 is routed untranslated, and only answers pass from outside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Nat {
    /// One outside port for each inside port, whoever it talks to; then anybody outside reaches it there.
    FullCone,
    /// One outside port for each inside port; reached there by every address it has sent to, from any port.
    AddressRestricted,
    /// One outside port for each inside port; reached there by exactly the address and port it has sent to. Most
    /// homes: the kernel's `masquerade`.
    PortRestricted,
    /// A new random outside port for each address and port it sends to, reached there only by that one. Hole
    /// punching fails between two of these: `masquerade random,fully-random`.
    Symmetric,
}

/// A host that forwards between two networks and translates towards the second.
#[derive(Clone)]
pub struct Router {
    /// The host itself.
    pub host: Host,
    /// Its link to the network that it hides.
    pub inside: Link,
    /// Its link to the network where its own address is seen.
    pub outside: Link,
}

impl Lab {
    /// A host that forwards from the network `inside` to the network `outside` and translates what goes out.
    pub fn router(
        &self,
        name: &str,
        inside: (&Network, &[&str]),
        outside: (&Network, &[&str]),
        nat: Nat,
    ) -> Result<Router, LabError> {
        let host = self.host(name)?;
        let inside = inside.0.attach(&host, inside.1)?;
        let outside = outside.0.attach(&host, outside.1)?;
        host.forward()?;
        outside.translate(nat)?;
        Ok(Router {
            host,
            inside,
            outside,
        })
    }
}

impl Router {
    /// Forgets all mappings and connections, as when the power fails for a moment.
    pub fn forget(&self) -> Result<(), LabError> {
        on(&self.host.space, "conntrack").arg("-F").run()?;
        for (kind, name) in [("map", "mapped"), ("set", "contacted")] {
            on(&self.host.space, "nft")
                .args(["flush", kind, "ip", "lab_nat", name])
                .run()?;
        }
        Ok(())
    }
}

impl Link {
    /// Makes the host translate what it forwards out by this link; replaces an earlier translation.
    pub fn translate(&self, nat: Nat) -> Result<(), LabError> {
        on(&self.host().space, "nft")
            .args(["-f", "-"])
            .input(rules(self.device(), nat))
            .run()
            .map(drop)
    }
}

fn rules(device: &str, nat: Nat) -> String {
    let masquerade = match nat {
        Nat::FullCone | Nat::AddressRestricted | Nat::PortRestricted => "masquerade",
        Nat::Symmetric => "masquerade random,fully-random",
    };
    // Answers pass anyway; this is about everybody else.
    let strangers = match nat {
        Nat::FullCone => Some(""),
        Nat::AddressRestricted => Some("ip saddr . udp dport @contacted"),
        Nat::PortRestricted | Nat::Symmetric => None,
    };
    let mut rules = format!("define outside = {device}\n{COMMON}");
    rules += &format!("add rule ip lab_nat translate oifname $outside {masquerade}\n");
    if let Some(who) = strangers {
        rules += &format!(
            "add rule ip lab_nat admit iifname $outside {who} dnat ip addr . port to udp dport map @mapped\n"
        );
    }
    rules
}
