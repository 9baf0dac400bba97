//! Which mechanism a host allows: a pure function over what was seen.

use std::fmt;
use std::path::PathBuf;

/// What was seen of the host's name resolution.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Facts {
    /// systemd-resolved.
    pub resolved: Resolved,
    /// Whether programs on this host ask systemd-resolved at all, by its stub address or its name service module.
    pub asks_resolved: bool,
    /// `/etc/resolv.conf`.
    pub resolv_conf: ResolvConf,
    /// The program `resolvconf`.
    pub resolvconf: Resolvconf,
    /// Whether the program `nft` is installed.
    pub nft: bool,
}

/// Whether systemd-resolved is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Resolved {
    /// There is no system bus to ask it over.
    NoBus,
    /// It is not running.
    Stopped,
    /// It answers on the bus.
    Running,
}

/// What `/etc/resolv.conf` is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ResolvConf {
    /// It does not exist.
    Missing,
    /// A file of its own.
    File {
        /// The program that says it wrote it, or is known to.
        manager: Option<Manager>,
        /// How many names the file has.
        links: u64,
        /// Whether it is mounted there, so that it cannot be replaced.
        mounted: bool,
        /// Whether it says `options rotate`.
        rotates: bool,
    },
    /// A symbolic link.
    Link {
        /// Where it leads.
        target: PathBuf,
        /// The program that keeps what is there.
        manager: Option<Manager>,
    },
    /// Neither, or it cannot be read.
    Unusable(String),
}

/// Which program goes by the name `resolvconf`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Resolvconf {
    /// None, or one that only passes everything on to systemd-resolved.
    Absent,
    /// Debian's own.
    Debian,
    /// Openresolv.
    Openresolv,
}

/// Programs known to keep `/etc/resolv.conf`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manager {
    /// systemd-resolved.
    Resolved,
    /// Either kind of `resolvconf`.
    Resolvconf,
    /// NetworkManager.
    NetworkManager,
    /// ConnMan.
    ConnMan,
    /// dhcpcd.
    Dhcpcd,
    /// SUSE's netconfig.
    Netconfig,
    /// The Windows Subsystem for Linux.
    Wsl,
}

/// How names are configured on a host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mechanism {
    /// In systemd-resolved.
    Resolved,
    /// As a record of this `resolvconf`, with a redirect of port 53.
    Resolvconf(Resolvconf),
    /// As a block in `/etc/resolv.conf`, with a redirect of port 53.
    Block,
}

/// Why no mechanism is allowed. Nothing was changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Somebody else keeps the file, and would overwrite ours or be overwritten.
    #[error("/etc/resolv.conf is kept by {manager}; DNS is unchanged: {}", manager.advice())]
    Managed {
        /// Who.
        manager: Manager,
    },
    /// It is a link to a file that may be anybody's.
    #[error(
        "/etc/resolv.conf is a link to {target}, which another program may keep; DNS is unchanged: enable systemd-resolved, or make /etc/resolv.conf a file of its own"
    )]
    Link {
        /// Where it leads.
        target: PathBuf,
    },
    /// Something is mounted there.
    #[error(
        "/etc/resolv.conf is mounted from elsewhere, as container runtimes do; DNS is unchanged: configure the names there"
    )]
    Mounted,
    /// The file has several names.
    #[error(
        "/etc/resolv.conf has {0} hard links, which replacing it would part; DNS is unchanged: make it a file of its own"
    )]
    HardLinks(u64),
    /// The C library would ask the servers in turn, so that half of the overlay's names would not be found.
    #[error(
        "/etc/resolv.conf says \"options rotate\", with which no server comes first; DNS is unchanged: remove that option or enable systemd-resolved"
    )]
    Rotates,
    /// Not a file that can be edited.
    #[error("/etc/resolv.conf {0}; DNS is unchanged: repair it or enable systemd-resolved")]
    Unusable(String),
    /// Port 53 cannot be redirected.
    #[error(
        "the program nft is not installed, and without it port 53 cannot be redirected to the resolver; DNS is unchanged: install nftables or enable systemd-resolved"
    )]
    NoNft,
}

/// Picks the mechanism for a host.
///
/// # Errors
/// When the host allows none; the refusal says who is in charge and what to do.
pub fn choose(facts: &Facts) -> Result<Mechanism, Refusal> {
    if facts.resolved == Resolved::Running && facts.asks_resolved {
        return Ok(Mechanism::Resolved);
    }
    let mechanism = match (facts.resolv_conf.manager(), facts.resolvconf) {
        (Some(Manager::Resolvconf), kind) if kind != Resolvconf::Absent => {
            Mechanism::Resolvconf(kind)
        }
        _ => block_or_why_not(&facts.resolv_conf)?,
    };
    if facts.nft {
        Ok(mechanism)
    } else {
        Err(Refusal::NoNft)
    }
}

fn block_or_why_not(resolv_conf: &ResolvConf) -> Result<Mechanism, Refusal> {
    if let Some(manager) = resolv_conf.manager() {
        return Err(Refusal::Managed { manager });
    }
    match resolv_conf {
        ResolvConf::Missing => Ok(Mechanism::Block),
        ResolvConf::File { mounted: true, .. } => Err(Refusal::Mounted),
        ResolvConf::File { links, .. } if *links > 1 => Err(Refusal::HardLinks(*links)),
        ResolvConf::File { rotates: true, .. } => Err(Refusal::Rotates),
        ResolvConf::File { .. } => Ok(Mechanism::Block),
        ResolvConf::Link { target, .. } => Err(Refusal::Link {
            target: target.clone(),
        }),
        ResolvConf::Unusable(why) => Err(Refusal::Unusable(why.clone())),
    }
}

impl ResolvConf {
    fn manager(&self) -> Option<Manager> {
        match self {
            Self::File { manager, .. } | Self::Link { manager, .. } => *manager,
            Self::Missing | Self::Unusable(_) => None,
        }
    }
}

impl Manager {
    fn advice(self) -> &'static str {
        match self {
            Self::Resolved => {
                "run systemctl enable --now systemd-resolved, and let /etc/resolv.conf lead to its stub-resolv.conf"
            }
            Self::Resolvconf => "reinstall resolvconf, or make /etc/resolv.conf a file of its own",
            Self::NetworkManager => {
                "set dns=systemd-resolved in its configuration and enable systemd-resolved"
            }
            Self::ConnMan | Self::Netconfig => "let it hand its servers to systemd-resolved",
            Self::Dhcpcd => "install openresolv, or enable systemd-resolved",
            Self::Wsl => {
                "set generateResolvConf=false in /etc/wsl.conf, or enable systemd-resolved"
            }
        }
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolved => "systemd-resolved",
            Self::Resolvconf => "resolvconf",
            Self::NetworkManager => "NetworkManager",
            Self::ConnMan => "ConnMan",
            Self::Dhcpcd => "dhcpcd",
            Self::Netconfig => "netconfig",
            Self::Wsl => "the Windows Subsystem for Linux",
        })
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolved => "systemd-resolved",
            Self::Resolvconf(_) => "resolvconf",
            Self::Block => "a block in /etc/resolv.conf",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(manager: Option<Manager>) -> ResolvConf {
        ResolvConf::File {
            manager,
            links: 1,
            mounted: false,
            rotates: false,
        }
    }

    fn link(target: &str, manager: Option<Manager>) -> ResolvConf {
        let target = target.into();
        ResolvConf::Link { target, manager }
    }

    fn host(resolv_conf: ResolvConf) -> Facts {
        Facts {
            resolved: Resolved::Stopped,
            asks_resolved: false,
            resolv_conf,
            resolvconf: Resolvconf::Absent,
            nft: true,
        }
    }

    #[test]
    fn resolved_is_used_where_it_runs_and_is_asked() {
        for resolved in [Resolved::NoBus, Resolved::Stopped, Resolved::Running] {
            for asks_resolved in [false, true] {
                for nft in [false, true] {
                    let facts = Facts {
                        resolved,
                        asks_resolved,
                        nft,
                        ..host(file(None))
                    };
                    let expected = match (resolved, asks_resolved, nft) {
                        (Resolved::Running, true, _) => Ok(Mechanism::Resolved),
                        (_, _, true) => Ok(Mechanism::Block),
                        (_, _, false) => Err(Refusal::NoNft),
                    };
                    assert_eq!(choose(&facts), expected, "{facts:?}");
                }
            }
        }
    }

    #[test]
    fn resolvconf_is_used_only_where_it_keeps_the_file() {
        let kept = link("/run/resolvconf/resolv.conf", Some(Manager::Resolvconf));
        let written = file(Some(Manager::Resolvconf));
        let managed = Err(Refusal::Managed {
            manager: Manager::Resolvconf,
        });
        for (resolv_conf, resolvconf, expected) in [
            (
                &kept,
                Resolvconf::Debian,
                Ok(Mechanism::Resolvconf(Resolvconf::Debian)),
            ),
            (
                &written,
                Resolvconf::Openresolv,
                Ok(Mechanism::Resolvconf(Resolvconf::Openresolv)),
            ),
            (&kept, Resolvconf::Absent, managed.clone()),
            (&written, Resolvconf::Absent, managed),
            (&file(None), Resolvconf::Debian, Ok(Mechanism::Block)),
            (
                &ResolvConf::Missing,
                Resolvconf::Openresolv,
                Ok(Mechanism::Block),
            ),
        ] {
            let facts = Facts {
                resolvconf,
                ..host(resolv_conf.clone())
            };
            assert_eq!(choose(&facts), expected, "{facts:?}");
            let bare = Facts {
                nft: false,
                ..facts
            };
            assert_eq!(choose(&bare), expected.and(Err(Refusal::NoNft)));
        }
    }

    #[test]
    fn the_file_is_edited_only_where_it_is_nobody_elses() {
        let with = |links, mounted, rotates| ResolvConf::File {
            manager: None,
            links,
            mounted,
            rotates,
        };
        let elsewhere = "/opt/resolv.conf";
        for (resolv_conf, expected) in [
            (ResolvConf::Missing, Ok(Mechanism::Block)),
            (file(None), Ok(Mechanism::Block)),
            (with(1, true, false), Err(Refusal::Mounted)),
            (with(2, false, false), Err(Refusal::HardLinks(2))),
            (with(1, false, true), Err(Refusal::Rotates)),
            (
                link(elsewhere, None),
                Err(Refusal::Link {
                    target: elsewhere.into(),
                }),
            ),
            (
                ResolvConf::Unusable("is a directory".into()),
                Err(Refusal::Unusable("is a directory".into())),
            ),
        ] {
            assert_eq!(
                choose(&host(resolv_conf.clone())),
                expected,
                "{resolv_conf:?}"
            );
        }
    }

    #[test]
    fn every_manager_is_named_and_told_around() {
        for manager in [
            Manager::Resolved,
            Manager::NetworkManager,
            Manager::ConnMan,
            Manager::Dhcpcd,
            Manager::Netconfig,
            Manager::Wsl,
        ] {
            for resolv_conf in [file(Some(manager)), link("/run/x", Some(manager))] {
                let refusal = choose(&host(resolv_conf)).unwrap_err();
                assert_eq!(refusal, Refusal::Managed { manager });
                let text = refusal.to_string();
                assert!(text.contains(&manager.to_string()) && text.contains(manager.advice()));
            }
        }
    }
}
