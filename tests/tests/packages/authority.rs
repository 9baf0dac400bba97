//! The authority's part of the story: founded, backed up, upgraded, and moved to another host.

use std::path::Path;

use tidegate_tests::wait_until;

use crate::{
    hosts::Site,
    made::{NEXT, NOW, package},
    node::{LATE, Node, SOON},
};

/// The name by which everybody finds the authority, on whatever host it is.
pub(crate) const NAME: &str = "authority.example.test";
pub(crate) const STATE: &str = "/var/lib/tidegate-authority";
const BACKUPS: &str = "/var/backups/tidegate-authority";
const PASSPHRASE: &str = "/etc/tidegate-authority/backup.passphrase";
/// Where systemd puts what it hands to the authority.
const LENT: &str = "/run/credentials/tidegate-authority.service";
const STORE: &str = "/etc/credstore";

impl Site {
    pub(crate) fn found(&self) {
        let a = &self.a;
        a.sh(&format!(
            "tidegate-authority init --dir {STATE} --name demo --listen 0.0.0.0:7443 --url https://{NAME}:7443"
        ));
        a.sh("systemctl enable --quiet --now tidegate-authority");
        check_authority(a);
        a.sh(&format!(
            "tidegate admin login https://{NAME}:7443 --genesis {STATE}/genesis/genesis-1.json \
             --key {STATE}/operator-first.key"
        ));
    }

    /// A TLS pair that only root may read, as one that another program renews, reaches the authority through systemd.
    pub(crate) fn lend_the_tls_key(&self) {
        let a = &self.a;
        a.sh(&format!("mkdir -p -m 700 {STORE}"));
        for end in ["key", "crt"] {
            a.sh(&format!(
                "install -m 600 {STATE}/tls.{end} {STORE}/tidegate-tls.{end}; rm {STATE}/tls.{end}"
            ));
        }
        a.sh(&format!(
            "sed -i -e 's|^key = .*|key = \"{LENT}/tidegate-tls.key\"|' \
             -e 's|^certificate = .*|certificate = \"{LENT}/tidegate-tls.crt\"|' {STATE}/authority.toml"
        ));
        a.sh("systemctl restart tidegate-authority");
        check_authority(a);
        a.sh("tidegate admin nodes");
        let mode = a.sh(&format!("stat -c '%a %U' {STORE} {STORE}/tidegate-tls.key"));
        assert_eq!(mode, "700 root\n600 root\n");
        let of_authority =
            "setpriv --reuid=tidegate-authority --regid=tidegate-authority --clear-groups";
        assert!(!a.can(&format!("{of_authority} cat {STORE}/tidegate-tls.key")));
    }

    /// Every series that alerts and dashboards ask for is there.
    pub(crate) fn measure(&self) {
        let a = &self.a;
        a.sh("sed -i 's/^#metrics = /metrics = /' /etc/tidegate/tidegate.toml");
        a.sh(&format!(
            "sed -i '/^\\[metrics\\]/,/^\\[log\\]/s/^#listen = /listen = /' {STATE}/authority.toml"
        ));
        a.sh("systemctl restart tidegate-authority tidegate");
        for (program, port) in [("agent", 9477), ("authority", 7444)] {
            let ask = format!(
                "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET /metrics HTTP/1.0\\r\\nHost: a\\r\\n\\r\\n' >&3; cat <&3"
            );
            let mut said = String::new();
            let answered = wait_until(SOON, "metrics", || {
                let asked = a.machine.command("bash").args(["-ec", &ask]).run();
                said = asked.unwrap_or_default();
                said.contains("# TYPE tidegate_")
            });
            assert!(answered.is_ok(), "{program}: {}", a.log("tidegate"));
            let typed: String = said
                .lines()
                .filter(|line| line.starts_with("# TYPE"))
                .collect();
            let missing = crate::metrics::missing(program, &crate::metrics::names(&typed));
            assert_eq!(missing, [""; 0], "{said}");
        }
    }

    pub(crate) fn back_up(&self) {
        let a = &self.a;
        a.sh(&format!(
            "(umask 077; head -c 24 /dev/random | base64 >{PASSPHRASE})"
        ));
        let backup = back_up(a);
        let mode = a.sh(&format!("stat -c '%a %U' {backup} {PASSPHRASE}"));
        assert_eq!(mode, "600 tidegate-authority\n600 root\n");
        a.sh("systemctl enable --quiet --now tidegate-authority-backup.timer");
        let next = a.sh("systemctl list-timers --no-pager tidegate-authority-backup.timer");
        assert!(next.contains("tidegate-authority-backup.service"), "{next}");
        // It can be read again, elsewhere.
        a.sh(&format!(
            "tidegate-authority restore --dir /var/tmp/restored --from {backup} --passphrase-file {PASSPHRASE} \
             && rm -r /var/tmp/restored"
        ));
    }

    pub(crate) fn upgrade_authority(&self) {
        let a = &self.a;
        let settings = a.sh(&format!("sha256sum {STATE}/authority.toml {PASSPHRASE}"));
        let process = "systemctl show --value -p MainPID tidegate-authority";
        let before = a.sh(process);
        a.install(&[&package(NEXT, "tidegate-authority", "deb")]);
        assert_ne!(a.sh(process), before, "the new version does not run");
        check_authority(a);
        assert_eq!(
            a.unit("active", "tidegate-authority-backup.timer"),
            "active"
        );
        assert_eq!(
            a.sh(&format!("sha256sum {STATE}/authority.toml {PASSPHRASE}")),
            settings
        );
    }

    /// From A to B, which is a new host by now. What was decided before holds there, and the nodes follow the name.
    pub(crate) fn move_authority(&self) {
        let (a, b) = (&self.a, &self.b);
        a.sh("systemctl disable --quiet --now tidegate-authority-backup.timer tidegate-authority");
        let backup = back_up(a);
        b.install(&[&package(NOW, "tidegate-authority", "deb")]);
        b.sh(&format!("mkdir -p -m 700 {STORE}"));
        for file in [
            backup.as_str(),
            PASSPHRASE,
            &format!("{STORE}/tidegate-tls.key"),
            &format!("{STORE}/tidegate-tls.crt"),
        ] {
            b.machine.copy(&a.machine.path(file), file).unwrap();
        }
        b.sh(&format!(
            "tidegate-authority restore --dir {STATE} --from {backup} --passphrase-file {PASSPHRASE}"
        ));
        b.sh("systemctl enable --quiet --now tidegate-authority");
        check_authority(b);
        for node in [a, b] {
            node.sh(&format!(
                "sed 's/.* {NAME}/10.0.0.2 {NAME}/' /etc/hosts >/etc/hosts.new; cat /etc/hosts.new >/etc/hosts; rm /etc/hosts.new"
            ));
        }
        // The operator's profile is still the same. A alone cannot vouch that nothing was decided since.
        let end = "tidegate admin recovery override --reason 'moved to another host'";
        let recovered = wait_until(LATE, "the authority to have recovered", || a.can(end));
        assert!(recovered.is_ok(), "{}", b.log("tidegate-authority"));
        a.sh("tidegate admin epoch rotate");
        let nodes = a.sh("tidegate admin nodes");
        let mut of_b = nodes.lines().filter(|line| line.starts_with("b "));
        assert!(
            of_b.all(|line| line.contains("revoked")) && nodes.contains("\nb "),
            "{nodes}"
        );
        self.join_anew();
    }

    /// The moved authority admits a node, and the one that was in all along talks to it.
    fn join_anew(&self) {
        let (a, b) = (&self.a, &self.b);
        let invite = a.sh("tidegate admin invite new");
        b.install(&[&package(NOW, "tidegate", "deb")]);
        b.sh(&format!("tidegate join {} --name new", invite.trim()));
        let up = wait_until(LATE, "the node to be up", || b.can("tidegate status"));
        assert!(up.is_ok(), "{}", b.log("tidegate"));
        a.await_reaching(&b.overlay_address());
        b.await_reaching(&a.overlay_address());
    }
}

/// It runs as its own user, without any right, and can work.
fn check_authority(node: &Node) {
    let log = || node.log("tidegate-authority");
    assert_eq!(
        node.unit("active", "tidegate-authority"),
        "active",
        "{}",
        log()
    );
    let process = "systemctl show --value -p MainPID tidegate-authority";
    let process = format!("ps -o user:20= -p $({process}); grep CapEff /proc/$({process})/status");
    let process = node.sh(&process);
    assert!(process.starts_with("tidegate-authority\n"), "{process}");
    assert!(process.trim().ends_with("0000000000000000"), "{process}");
    let listening = wait_until(LATE, "the authority", || {
        node.can("bash -c ': </dev/tcp/127.0.0.1/7443'")
    });
    assert!(listening.is_ok(), "{}", log());
}

/// Has the unit write a backup, and returns where the newest one is.
fn back_up(node: &Node) -> String {
    let made = node.can("systemctl start tidegate-authority-backup.service");
    assert!(made, "{}", node.log("tidegate-authority-backup"));
    let newest = node.sh(&format!(
        "find {BACKUPS} -name '*.backup' | sort | tail -n 1"
    ));
    let newest = newest.trim().to_owned();
    assert!(Path::new(&newest).is_absolute(), "there is no backup");
    newest
}
