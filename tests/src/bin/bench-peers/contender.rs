//! The programs that are compared.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tidegate_tests::wireguard::{OtherWireGuard, OwnWireGuard, Pair, Program, Side};
use tidegate_tests::{Lab, Process};

use crate::measure::{Scenario, Sheet, Tunnel};
use crate::nebula::Nebula;

/// A program that makes a tunnel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Contender {
    Own(PathBuf),
    Other(Program),
    Nebula(PathBuf),
}

/// Both daemons of a running tunnel.
enum Daemons {
    Own([OwnWireGuard; 2]),
    Other([OtherWireGuard; 2]),
    Nebula(Nebula),
}

impl Contender {
    pub(crate) fn all(own: &Path, rivals: &Path) -> Vec<Self> {
        vec![
            Self::Own(own.to_owned()),
            Self::Other(Program::WireGuardGo(rivals.join("wireguard-go"))),
            Self::Other(Program::BoringTun(rivals.join("boringtun-cli"))),
            Self::Nebula(rivals.to_owned()),
        ]
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Own(_) => "tidegate",
            Self::Other(Program::WireGuardGo(_)) => "wireguard-go",
            Self::Other(Program::BoringTun(_)) => "boringtun-cli",
            Self::Nebula(_) => "nebula",
        }
    }

    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// Those that are compared in everything; the others only one way.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Own(_) | Self::Other(Program::WireGuardGo(_)))
    }

    /// Brings a tunnel up, carries every load once, and takes it down.
    pub(crate) fn measure(
        &self,
        scenarios: &[Scenario],
        seconds: u32,
        sheet: &mut Sheet,
    ) -> Result<()> {
        let lab = Lab::new()?;
        let pair = Pair::cabled(&lab)?;
        let daemons = self.start(&pair)?;
        pair.await_ping(Side::A, 0)?;
        let tunnel = Tunnel {
            pair: &pair,
            daemons: daemons.processes(),
            own: daemons.own(),
        };
        for scenario in scenarios {
            scenario.run(self.name(), &tunnel, seconds, sheet)?;
        }
        Ok(())
    }

    fn start(&self, pair: &Pair) -> Result<Daemons> {
        Ok(match self {
            Self::Own(program) => {
                let start = |side| {
                    let (end, _) = pair.seen_from(side);
                    // With a policy of a thousand rules, and routes and source check as always.
                    OwnWireGuard::start(program, end, &[pair.peer_of(side)], &["--policy", "many"])
                };
                Daemons::Own([start(Side::A)?, start(Side::B)?])
            }
            Self::Other(program) => {
                let start = |side| {
                    let (end, peer) = pair.seen_from(side);
                    OtherWireGuard::start(program, end, peer, Some(&pair.psk), true)
                };
                Daemons::Other([start(Side::A)?, start(Side::B)?])
            }
            Self::Nebula(rivals) => Daemons::Nebula(Nebula::start(rivals, pair)?),
        })
    }
}

impl Daemons {
    fn own(&self) -> Option<&OwnWireGuard> {
        match self {
            Self::Own([first, _]) => Some(first),
            _ => None,
        }
    }

    fn processes(&self) -> [&Process; 2] {
        match self {
            Self::Own(both) => both.each_ref().map(OwnWireGuard::process),
            Self::Other(both) => both.each_ref().map(OtherWireGuard::process),
            Self::Nebula(nebula) => nebula.processes(),
        }
    }
}
