//! The compose file, without a container engine: its services in namespaces of their own, out of the images that the
//! recipes build. Who starts with which command, volumes and rights is read from the file itself.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tidegate_tests::{Host, Lab, Network, Process, wait_until};

use crate::made::{ROOT, run};

/// For what a service does on a busy machine.
const SOON: Duration = Duration::from_secs(60);

struct Tryout {
    compose: Value,
    /// The settings of each image.
    images: BTreeMap<String, Value>,
    folder: TempDir,
    network: Network,
    lab: Lab,
}

/// A service that was started.
struct Service {
    host: Host,
    root: PathBuf,
    confined: Vec<String>,
    process: Process,
}

#[test]
fn the_tryout_does_what_its_first_lines_say() {
    let tryout = Tryout::new();
    let founding = tryout.start("founding", 0);
    wait_until(SOON, "the founding", || !founding.process.is_running()).unwrap();
    let authority = tryout.start("authority", 2);
    let operator = tryout.start("operator", 3);
    let invited = wait_until(SOON, "the invite", || operator.health("operator", &tryout));
    assert!(invited.is_ok(), "{} {}", authority.said(), operator.said());
    let [a, b, c] = [("a", 11), ("b", 12), ("c", 13)].map(|(name, end)| tryout.start(name, end));
    for (peer, service) in [("b", &b), ("c", &c)] {
        let reached = wait_until(SOON, "a node to be reached", || {
            a.exec(&format!("tidegate ping {peer}"))
        });
        let said = [a.said(), service.said(), authority.said()];
        assert!(reached.is_ok(), "{}", said.join("\n"));
    }
    assert!(a.exec("tidegate status") && c.exec("tidegate ping a"));
    assert!(operator.exec("tidegate admin revoke c --reason goodbye"));
    wait_until(SOON, "c to be out", || !c.exec("tidegate ping a")).unwrap();
    assert!(a.exec("tidegate ping b") && !a.exec("tidegate ping c"));
}

impl Tryout {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lab = Lab::new().unwrap();
        let network = lab.network("underlay").unwrap();
        let mut tryout = Self {
            compose: compose(),
            images: BTreeMap::new(),
            folder,
            network,
            lab,
        };
        for (image, program, user) in [
            ("tidegate", "agent", ""),
            ("tidegate-authority", "authority", "tidegate-authority"),
        ] {
            let recipe = format!("{ROOT}/packaging/container/{program}.Containerfile");
            let tree = tryout.folder.path().join(image);
            let mut build = Command::new(format!("{ROOT}/tests/debian/image"));
            let said = run(build.args([&recipe, ROOT]).arg(&tree));
            let settings = said.lines().find(|line| line.starts_with('{')).unwrap();
            let settings: Value = serde_json::from_str(settings).unwrap();
            let settings = settings["config"].clone();
            assert_eq!(settings["User"].as_str().unwrap_or(""), user);
            assert!(words(&settings["Entrypoint"]).contains(&format!("/usr/bin/{image}")));
            tryout.images.insert(image.to_owned(), settings);
        }
        tryout
    }

    /// What stands in the file for this service, with what it takes from others merged in.
    fn service(&self, name: &str) -> &Value {
        &self.compose["services"][name]
    }

    /// Starts a service with its files, rights and address; 0 is for none.
    fn start(&self, name: &str, address: u8) -> Service {
        let service = self.service(name);
        let host = self.lab.host(name).unwrap();
        if service["network_mode"] != "none" {
            let fixed = service["networks"]["underlay"]["ipv4_address"].as_str();
            let address = fixed.map_or(format!("172.31.77.{address}"), str::to_owned);
            self.network
                .attach(&host, &[&format!("{address}/24")])
                .unwrap();
        }
        let root = self.furnish(&host, service);
        let image = &self.images[service["image"].as_str().unwrap()];
        let entry = match words(&service["entrypoint"]) {
            entry if entry.is_empty() => {
                [words(&image["Entrypoint"]), words(&image["Cmd"])].concat()
            }
            entry => entry,
        };
        let confined = confined(service);
        let inside = host.command("chroot").arg(&root).args(&confined);
        let process = inside.args(entry).spawn().unwrap();
        Service {
            host,
            root,
            confined,
            process,
        }
    }

    /// A layer over the image, with the volumes and devices.
    fn furnish(&self, host: &Host, service: &Value) -> PathBuf {
        let image = self.folder.path().join(service["image"].as_str().unwrap());
        let room = self.folder.path().join(format!("of-{}", host.name()));
        for part in ["upper", "work", "root"] {
            fs::create_dir_all(room.join(part)).unwrap();
        }
        let root = room.join("root");
        let (at, layer) = (root.display(), room.display());
        let mut script = format!(
            "mount -t overlay overlay -o lowerdir={},upperdir={layer}/upper,workdir={layer}/work {at}\n\
             mount -t proc proc {at}/proc; mount -t sysfs -o ro sysfs {at}/sys; mount -t tmpfs -o mode=755 dev {at}/dev\n\
             for device in null zero full random urandom; do touch {at}/dev/$device; \
             mount --bind /dev/$device {at}/dev/$device; done\n",
            image.display()
        );
        for device in words(&service["devices"]) {
            assert_eq!(device, "/dev/net/tun");
            script += &format!("mkdir {at}/dev/net; mknod -m 666 {at}{device} c 10 200\n");
        }
        for volume in words(&service["volumes"]) {
            let (from, rest) = volume.split_once(':').unwrap();
            let (to, options) = rest.split_once(':').unwrap_or((rest, "rw"));
            let from = self.source(from, &image.join(to.trim_start_matches('/')));
            let from = from.display();
            script += &format!(
                "mkdir -p {at}{to}; mount --bind {from} {at}{to}; mount -o remount,bind,{options} {at}{to}\n"
            );
        }
        if service["read_only"] == true {
            script += &format!("mount -o remount,ro {at}\n");
        }
        host.sh(&script).unwrap();
        root
    }

    /// A folder beside the file, or a volume: a new one starts as what is at its place in the image.
    fn source(&self, name: &str, in_image: &Path) -> PathBuf {
        if name.starts_with('.') {
            return Path::new(ROOT).join("packaging/container").join(name);
        }
        let volume = self.folder.path().join(format!("volume-{name}"));
        if !volume.exists() {
            if in_image.exists() {
                run(Command::new("cp").arg("-a").arg(in_image).arg(&volume));
            } else {
                fs::create_dir(&volume).unwrap();
            }
        }
        volume
    }
}

impl Service {
    fn exec(&self, line: &str) -> bool {
        self.run(&["/bin/sh", "-euc", line])
    }

    /// Runs a command as `exec` of an engine does: with the rights of the service.
    fn run<A: AsRef<OsStr>>(&self, words: &[A]) -> bool {
        let inside = self.host.command("chroot").arg(&self.root);
        inside.args(&self.confined).args(words).run().is_ok()
    }

    /// Whether it passes the test that the file has for it.
    fn health(&self, name: &str, tryout: &Tryout) -> bool {
        let test = words(&tryout.service(name)["healthcheck"]["test"]);
        self.run(&test[1..])
    }

    fn said(&self) -> String {
        self.process.output()
    }
}

/// The file as Python's YAML reads it, merge keys and all.
fn compose() -> Value {
    let read = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let json = run(Command::new("python3")
        .env(
            "PYTHONPATH",
            format!("{ROOT}/target/tools/python/compose-lint"),
        )
        .args(["-c", read])
        .arg(format!("{ROOT}/packaging/container/compose.yaml")));
    serde_json::from_str(&json).unwrap()
}

/// The strings of a list; none if there is no list.
fn words(list: &Value) -> Vec<String> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    list.iter()
        .map(|one| one.as_str().unwrap().to_owned())
        .collect()
}

/// What gives a process the user and the rights that an engine would, and no others.
fn confined(service: &Value) -> Vec<String> {
    assert_eq!(words(&service["cap_drop"]), ["ALL"]);
    assert_eq!(words(&service["security_opt"]), ["no-new-privileges:true"]);
    let rights = words(&service["cap_add"]);
    let rights: String = rights
        .iter()
        .map(|right| format!(",+{}", right.to_lowercase()))
        .collect();
    let mut words = vec!["setpriv".to_owned(), "--no-new-privs".to_owned()];
    words.push(format!("--bounding-set=-all{rights}"));
    if service["image"] == "tidegate-authority" {
        let user = "tidegate-authority";
        words.extend([format!("--reuid={user}"), format!("--regid={user}")]);
    }
    let groups = self::words(&service["group_add"]);
    words.push(if groups.is_empty() {
        "--clear-groups".to_owned()
    } else {
        format!("--groups={}", groups.join(","))
    });
    words.push("--".to_owned());
    words
}
