//! A booted Debian on which the packages are installed as a person would.

use std::{path::Path, time::Duration};

use tidegate_tests::{Machine, Network, wait_until};

/// For what a program of ours does.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// For apt and systemd on a busy machine.
pub(crate) const LATE: Duration = Duration::from_secs(180);

/// One host.
pub(crate) struct Node {
    pub(crate) machine: Machine,
}

impl Node {
    /// Boots it, with an address that it keeps over reboots.
    pub(crate) fn boot(name: &str, network: &Network, address: &str) -> Self {
        let machine = Machine::boot(name, network, &["libgcc-s1"]).unwrap();
        let node = Self { machine };
        node.sh(&format!(
            "printf '[Match]\\nName=host0\\n[Network]\\nAddress={address}\\nLinkLocalAddressing=ipv6\\n' \
             >/etc/systemd/network/10-host0.network; systemctl enable --quiet --now systemd-networkd"
        ));
        node.await_address();
        node
    }

    pub(crate) fn await_address(&self) {
        wait_until(SOON, "the address", || {
            self.sh("ip -4 -brief address show host0")
                .contains("10.0.0.")
        })
        .unwrap();
    }

    /// A line of shell that must succeed.
    pub(crate) fn sh(&self, line: &str) -> String {
        self.machine.sh(line).unwrap()
    }

    /// Whether a line of shell succeeds.
    pub(crate) fn can(&self, line: &str) -> bool {
        self.machine.sh(line).is_ok()
    }

    /// `apt`, with what it and the packages' scripts say.
    pub(crate) fn apt(&self, words: &str) -> String {
        let line = format!("cd /var/tmp; apt-get --quiet --yes {words} 2>&1");
        let command = self.machine.command("/bin/sh").args(["-euc", &line]);
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .timeout(LATE)
            .run()
            .unwrap()
    }

    /// `apt install` of package files.
    pub(crate) fn install(&self, debs: &[&Path]) -> String {
        let mut words = "install".to_owned();
        for deb in debs {
            let name = deb.file_name().unwrap().to_string_lossy().into_owned();
            self.machine.copy(deb, &format!("/var/tmp/{name}")).unwrap();
            words += &format!(" ./{name}");
        }
        let said = self.apt(&words);
        self.sh("rm -f /var/tmp/*.deb");
        said
    }

    /// Everything in the host's network that Tidegate may touch. The cable's other end is another one after a reboot.
    pub(crate) fn network(&self) -> String {
        self.sh(
            "(ip -brief link; ip -brief address) | sed 's/@if[0-9]*//'; ip rule; ip -6 rule; ip route show table all; \
             ip -6 route show table all | sed 's/ expires [0-9]*sec//'; nft list ruleset; \
             sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding; resolvectl domain; resolvectl dns; \
             readlink -f /etc/resolv.conf; cat /etc/resolv.conf",
        )
    }

    /// What is left of us on the disk and among the users. Logs may mention us.
    pub(crate) fn traces(&self) -> String {
        self.sh(
            "find / -xdev \\( -path /proc -o -path /sys -o -path /var/log -o -path /var/lib/apt \\) -prune \
             -o -iname '*tidegate*' -print; \
             ls -d /run/*tidegate* /run/wireguard /run/*/*tidegate* 2>/dev/null || true; \
             getent passwd tidegate tidegate-authority || true; getent group tidegate tidegate-authority || true",
        )
    }

    /// The journal of a unit, for a message.
    pub(crate) fn log(&self, unit: &str) -> String {
        self.sh(&format!(
            "journalctl --quiet --no-pager --lines=40 --output=cat --unit={unit}; \
             systemctl status --no-pager --lines=0 {unit} || true"
        ))
    }

    /// What `systemctl is-active` or `is-enabled` says.
    pub(crate) fn unit(&self, question: &str, unit: &str) -> String {
        let said = self.sh(&format!(
            "systemctl is-{question} {unit} 2>/dev/null || true"
        ));
        said.trim().to_owned()
    }

    /// The first IPv4 address on the overlay.
    pub(crate) fn overlay_address(&self) -> String {
        let status = self.sh("tidegate status --json");
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let addresses = status["certificate"]["addresses"]
            .as_array()
            .unwrap()
            .clone();
        let mut addresses = addresses.iter().filter_map(|one| one.as_str());
        let found = addresses.find(|one| !one.contains(':')).unwrap();
        found.to_owned()
    }

    /// Whether one ping gets an answer within a second.
    pub(crate) fn reaches(&self, address: &str) -> bool {
        self.can(&format!("ping -n -c1 -W1 {address}"))
    }

    pub(crate) fn await_reaching(&self, address: &str) {
        let reached = wait_until(LATE, "the overlay", || self.reaches(address));
        if let Err(error) = reached {
            let status = self.sh("tidegate status 2>&1 || true; tidegate peers 2>&1 || true");
            panic!("{error}: {status}\n{}", self.log("tidegate"));
        }
    }
}
