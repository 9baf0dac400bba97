//! From `apt install` to `apt purge` on two hosts: an authority and two nodes.

use std::time::Duration;

use tidegate_tests::{Lab, wait_until};

use crate::{
    authority::{NAME, STATE},
    made::{NEXT, NOW, package},
    node::{LATE, Node, SOON},
};

/// An upgrade may stop data for three seconds; a busy machine makes that five times as long.
const LONGEST_GAP: Duration = Duration::from_secs(15);

pub(crate) struct Site {
    pub(crate) a: Node,
    pub(crate) b: Node,
    /// B's network before anything was installed.
    before: String,
    _lab: Lab,
}

#[test]
fn a_network_lives_on_packages_from_install_to_purge() {
    let mut site = Site::boot();
    site.install();
    site.remove_where_rights_are_missing();
    site.found();
    site.lend_the_tls_key();
    site.join();
    site.names();
    site.lacks_status_sockets();
    site.measure();
    site.back_up();
    site.reboot();
    site.upgrade();
    site.revoke();
    site.remove();
    site.purge();
    site.move_authority();
    site.purge_everything();
}

impl Site {
    fn boot() -> Self {
        let lab = Lab::new().unwrap();
        let lan = lab.network("lan").unwrap();
        let a = Node::boot("a", &lan, "10.0.0.1/24");
        let b = Node::boot("b", &lan, "10.0.0.2/24");
        wait_until(SOON, "a to reach b", || a.reaches("10.0.0.2")).unwrap();
        let link_local = "ip -6 -brief address show host0 scope link -tentative | grep -q fe80";
        wait_until(SOON, "b's link-local address", || b.can(link_local)).unwrap();
        for node in [&a, &b] {
            node.sh(&format!("echo 10.0.0.1 {NAME} >>/etc/hosts"));
        }
        let before = b.network();
        Self {
            a,
            b,
            before,
            _lab: lab,
        }
    }

    /// Nothing runs that nobody asked for, and nothing about the network has changed.
    fn install(&self) {
        let agent = package(NOW, "tidegate", "deb");
        let authority = package(NOW, "tidegate-authority", "deb");
        self.a.install(&[&agent, &authority]);
        self.b.install(&[&agent]);
        for (node, unit) in [
            (&self.a, "tidegate"),
            (&self.a, "tidegate-authority"),
            (&self.a, "tidegate-authority-backup.timer"),
            (&self.b, "tidegate"),
        ] {
            assert_eq!(node.unit("enabled", unit), "disabled", "{unit}");
            assert_eq!(node.unit("active", unit), "inactive", "{unit}");
        }
        assert_eq!(self.b.network(), self.before);
        let system = self.b.sh("systemctl is-system-running || true");
        assert_eq!(system.trim(), "running");
        let folder = self
            .b
            .sh("stat -c '%a %U %G' /run/wireguard /var/lib/tidegate");
        assert_eq!(folder, "755 tidegate root\n700 tidegate tidegate\n");
        // Whoever may look at the status may plant no socket for `wg` to send private keys to.
        let plant =
            "setpriv --reuid=nobody --regid=tidegate --clear-groups touch /run/wireguard/wg0.sock";
        assert!(!self.b.can(plant));
    }

    /// As where an image is made, and where somebody has deleted the user.
    fn remove_where_rights_are_missing(&self) {
        let b = &self.b;
        b.sh("setpriv --bounding-set=-net_admin apt-get --quiet --yes remove tidegate");
        b.install(&[&package(NOW, "tidegate", "deb")]);
        b.sh("userdel tidegate");
        b.apt("remove tidegate");
        b.install(&[&package(NOW, "tidegate", "deb")]);
        assert_eq!(b.network(), self.before);
    }

    fn join(&self) {
        let invite = self.a.sh("tidegate admin invite new --uses 2");
        for (node, name) in [(&self.a, "a"), (&self.b, "b")] {
            node.sh("sed -i 's/^#dns = false$/dns = true/' /etc/tidegate/tidegate.toml");
            node.sh(&format!("tidegate join {} --name {name}", invite.trim()));
            assert_eq!(node.unit("enabled", "tidegate"), "enabled");
            assert_eq!(
                node.unit("active", "tidegate"),
                "active",
                "{}",
                node.log("tidegate")
            );
            let process = node.sh("ps -o user:20= -C tidegate; grep CapEff /proc/$(systemctl show --value -p MainPID tidegate)/status");
            assert!(
                process.starts_with("tidegate") && process.contains("0000000000001000"),
                "{process}"
            );
        }
        let (a, b) = (self.a.overlay_address(), self.b.overlay_address());
        self.a.await_reaching(&b);
        self.b.await_reaching(&a);
        // By the name that the package gives to the protocol's number.
        let routes = self.b.sh("ip route show proto tidegate");
        assert!(routes.contains("10.211.0.0/16"), "{routes}");
        for node in [&self.a, &self.b] {
            assert_eq!(node.sh("find /var/log -iname '*tidegate*'"), "");
            let first =
                "journalctl --quiet --unit=tidegate --output=cat _COMM=tidegate | head -n 1";
            let first = node.sh(first);
            assert!(first.starts_with("{\"timestamp\":"), "{first}");
        }
    }

    /// The polkit rule lets the agent tell systemd-resolved, and nobody else has to.
    fn names(&self) {
        let b = self.b.overlay_address();
        let found = wait_until(SOON, "the name of b", || {
            let found = self.a.machine.sh("getent ahostsv4 b.demo.internal");
            found.is_ok_and(|found| found.contains(&b))
        });
        assert!(
            found.is_ok(),
            "{} {}",
            self.a.sh("resolvectl"),
            self.a.log("tidegate")
        );
    }

    /// Where nobody may write to the folder for `wg show`, or it is missing, the agent says so and goes on.
    fn lacks_status_sockets(&self) {
        let (a, b) = (self.a.overlay_address(), &self.b);
        let socket = "test -S /run/wireguard/tidegate.sock";
        wait_until(SOON, "the status socket", || b.can(socket)).unwrap();
        for spoil in [
            "chown root:root /run/wireguard; chmod 0700 /run/wireguard",
            "rm -r /run/wireguard",
        ] {
            b.sh(&format!("systemctl stop tidegate; {spoil}"));
            let since = b.sh("date +@%s.%N");
            b.sh("systemctl start tidegate");
            b.await_reaching(&a);
            let said = b.sh(&format!(
                "journalctl --quiet --output=cat --unit=tidegate --since={}",
                since.trim()
            ));
            assert!(said.contains("going on without `wg show`"), "{said}");
        }
        b.sh("systemctl stop tidegate; systemd-tmpfiles --create tidegate.conf");
        b.sh("systemctl start tidegate");
        wait_until(SOON, "the status socket again", || b.can(socket)).unwrap();
        b.await_reaching(&a);
    }

    fn reboot(&mut self) {
        let (a, b) = (self.a.overlay_address(), self.b.overlay_address());
        self.b.machine.reboot().unwrap();
        self.b.await_address();
        self.a.await_reaching(&b);
        self.b.await_reaching(&a);
        assert_eq!(self.b.overlay_address(), b);
    }

    /// Pings go on while B and the authority get a higher version; settings stay as they were edited.
    fn upgrade(&self) {
        let b = self.b.overlay_address();
        let settings = self.b.sh("sha256sum /etc/tidegate/tidegate.toml");
        let started = self.b.sh("systemctl show --value -p MainPID tidegate");
        self.a.sh(&format!(
            "systemd-run --quiet --unit=pings --property=StandardOutput=file:/var/tmp/pings ping -n -D -i 0.1 -O {b}"
        ));
        let answers = || self.a.sh("grep -c 'bytes from' /var/tmp/pings || true");
        let count = || answers().trim().parse::<u32>().unwrap();
        wait_until(SOON, "pings", || count() > 10).unwrap();
        self.b.install(&[&package(NEXT, "tidegate", "deb")]);
        self.upgrade_authority();
        let version = self
            .b
            .sh("dpkg-query --show --showformat '${Version}' tidegate");
        assert!(version.contains("next"), "{version}");
        let restarted = self.b.sh("systemctl show --value -p MainPID tidegate");
        assert_ne!(restarted, started, "the new version does not run");
        let after = count();
        wait_until(LATE, "pings to go on", || count() > after + 20).unwrap();
        self.a.sh("systemctl stop pings");
        let gap = longest_gap(&self.a.sh("cat /var/tmp/pings"));
        println!("the upgrade stopped pings for {gap:?}");
        assert!(gap < LONGEST_GAP, "{gap:?}");
        assert_eq!(self.b.sh("sha256sum /etc/tidegate/tidegate.toml"), settings);
        self.a.sh("rm /var/tmp/pings");
    }

    fn revoke(&self) {
        let (a, b) = (self.a.overlay_address(), self.b.overlay_address());
        assert!(self.a.reaches(&b) && self.b.reaches(&a));
        self.a
            .sh("tidegate admin revoke b --reason 'sold the machine'");
        wait_until(SOON, "b to be cut off", || !self.a.reaches(&b)).unwrap();
        assert!(!self.b.reaches(&a) && !self.a.reaches(&b));
        wait_until(SOON, "b to know", || {
            let status = self.b.machine.command("tidegate").arg("status").output();
            status.unwrap().status.code() == Some(11)
        })
        .unwrap();
        // Nothing for the overlay leaves in clear meanwhile.
        let route = self.b.sh(&format!("ip route get {a} 2>&1 || true"));
        assert!(route.contains("No route to host"), "{route}");
    }

    fn remove(&self) {
        self.opt_in_to_the_fallback();
        self.b.apt("remove tidegate");
        assert!(!self.b.can("pgrep tidegate"));
        assert_eq!(self.b.sh("find /etc/systemd -iname '*tidegate*'"), "");
        let settled = wait_until(SOON, "the host's network to be as before", || {
            self.b.network() == self.before
        });
        assert!(
            settled.is_ok(),
            "{}\nbefore: {}",
            self.b.network(),
            self.before
        );
        // It would be the same node again.
        assert!(self.b.sh("ls /var/lib/tidegate").contains("key"));
        assert_eq!(
            self.b.sh("systemctl is-system-running || true").trim(),
            "running"
        );
    }

    /// Names on a host that may lose systemd-resolved one day; until then that is in charge.
    fn opt_in_to_the_fallback(&self) {
        let b = &self.b;
        b.sh("printf 'DOMAIN=demo.internal\\nRESOLVER=10.211.0.3:5300\\n' >/etc/tidegate/dns-tidegate.conf");
        b.sh("systemctl enable --quiet --now tidegate-dns@tidegate");
        assert_eq!(b.unit("active", "tidegate-dns@tidegate"), "active");
    }

    fn purge(&self) {
        let said = self.b.apt("purge tidegate");
        assert!(said.contains("Deleting /var/lib/tidegate"), "{said}");
        assert_eq!(self.b.traces(), "");
        assert_eq!(self.b.network(), self.before);
    }

    fn purge_everything(&self) {
        let said = self.a.apt("purge tidegate tidegate-authority");
        assert!(said.contains(&format!("Deleting {STATE}")), "{said}");
        let stay = "The backups in /var/backups/tidegate-authority stay";
        assert!(said.contains(stay), "{said}");
        self.a.sh(
            "rm -r /var/backups/tidegate-authority /root/.config/tidegate /etc/credstore/tidegate-*",
        );
        assert_eq!(self.a.traces(), "");
    }
}

/// The longest time between two answers, as `ping -D` notes them.
fn longest_gap(pings: &str) -> Duration {
    let answers = pings.lines().filter(|line| line.contains("bytes from"));
    let times: Vec<f64> = answers
        .filter_map(|line| line.strip_prefix('[')?.split(']').next()?.parse().ok())
        .collect();
    assert!(times.len() > 20, "{pings}");
    let gaps = times.windows(2).map(|two| two[1] - two[0]);
    Duration::from_secs_f64(gaps.fold(0.0, f64::max))
}
