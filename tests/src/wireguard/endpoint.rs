//! Keys and addresses of one end of a tunnel.

use std::{
    io::Write,
    net::IpAddr,
    process::{Command, Stdio},
};

use crate::{Host, LabError};

/// A WireGuard key pair, in base64.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// The private key.
    pub private: String,
    /// The public key.
    pub public: String,
}

impl KeyPair {
    /// A fresh pair.
    pub fn generate() -> Result<Self, LabError> {
        let private = wg("genkey", "")?;
        let public = wg("pubkey", &private)?;
        Ok(Self { private, public })
    }
}

/// A fresh pre-shared key, in base64.
pub(crate) fn pre_shared_key() -> Result<String, LabError> {
    wg("genpsk", "")
}

fn wg(what: &str, input: &str) -> Result<String, LabError> {
    let run = || {
        let mut child = Command::new("wg")
            .arg(what)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        child.wait_with_output()
    };
    let output = run().map_err(LabError::os(format!("run wg {what}")))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// One end of a tunnel: where it is, and what it is called inside.
#[derive(Clone)]
pub struct Endpoint {
    /// The host it runs on.
    pub host: Host,
    /// Its keys.
    pub keys: KeyPair,
    /// Its address in the network below.
    pub underlay: IpAddr,
    /// Its UDP port.
    pub port: u16,
    /// Its addresses in the overlay, one of each family.
    pub overlay: [IpAddr; 2],
    /// MTU of the interface.
    pub mtu: u16,
}

impl Endpoint {
    /// The interface's name on every host.
    pub const DEVICE: &'static str = "wg0";

    /// Where peers send to.
    pub fn socket(&self) -> std::net::SocketAddr {
        (self.underlay, self.port).into()
    }

    /// Its overlay addresses as prefixes that hold nothing else.
    pub fn allowed(&self) -> [String; 2] {
        let [v4, v6] = self.overlay;
        [format!("{v4}/32"), format!("{v6}/128")]
    }

    /// Gives the interface its addresses and sets it up.
    pub fn configure_device(&self) -> Result<(), LabError> {
        let (device, mtu, [v4, v6]) = (Self::DEVICE, self.mtu, self.overlay);
        let batch = format!(
            "address replace {v4}/24 dev {device}\naddress replace {v6}/64 dev {device}\nlink set {device} mtu {mtu} up\n"
        );
        let ip = self.host.command("ip").args(["-batch", "-"]);
        ip.input(batch).run().map(drop)
    }
}
