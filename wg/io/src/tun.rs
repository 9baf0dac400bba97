//! The TUN device: one packet in or out per call, or one super-frame of many where the kernel has offloads.
//!
//! Every frame starts with a virtio network header. A kernel that refuses it is given and gives bare
//! packets instead; `read` and `write` hide that, so that nobody else has to know.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use tidegate_wg::vnet;
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::error::StartError;

/// Which TUN device to create.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TunConfig {
    /// Name of the interface, at most 15 bytes.
    pub name: String,
    /// Its MTU.
    pub mtu: u16,
    /// Who sets the link up.
    pub link: Link,
    /// Whether to ask the kernel for offloads.
    pub offload: Offload,
}

/// Who sets the link up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Link {
    /// The device is created up.
    Up,
    /// It stays down until somebody else, who owns addresses and routes, sets it up.
    LeaveDown,
}

/// Whether to ask the kernel for offloads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offload {
    /// Take what the kernel grants.
    Try,
    /// Do without, one packet at a time: to compare, and to work around a broken driver.
    Off,
}

/// An open TUN device, which disappears when it is dropped.
pub(crate) struct Tun {
    device: SyncDevice,
    vnet: bool,
    udp_segments: bool,
}

impl Tun {
    pub(crate) fn create(config: &TunConfig) -> Result<Self, StartError> {
        let device = open(config).map_err(|source| StartError::Tun {
            name: config.name.clone(),
            source,
        })?;
        if config.offload == Offload::Try && !device.udp_gso() {
            tracing::warn!(
                name = config.name,
                "the kernel lacks UDP offload for TUN devices"
            );
        }
        Ok(Self {
            vnet: device.tcp_gso(),
            udp_segments: device.udp_gso(),
            device,
        })
    }

    /// The kernel gives and takes super-frames of TCP segments.
    pub(crate) fn has_tcp_segments(&self) -> bool {
        self.vnet
    }

    /// The kernel gives and takes super-frames of UDP datagrams.
    pub(crate) fn has_udp_segments(&self) -> bool {
        self.udp_segments
    }

    /// Reads one frame, virtio header first, and returns its length. Never blocks.
    #[inline]
    pub(crate) fn read(&self, frame: &mut [u8]) -> Result<usize, Errno> {
        if self.vnet {
            return rustix::io::read(&self.device, frame);
        }
        let (header, packet) = frame.split_at_mut(vnet::LEN);
        header.fill(0);
        Ok(vnet::LEN + rustix::io::read(&self.device, packet)?)
    }

    /// Writes one frame that starts with a virtio header.
    #[inline]
    pub(crate) fn write(&self, frame: &[u8]) -> Result<(), Errno> {
        let bytes = if self.vnet {
            frame
        } else {
            &frame[vnet::LEN..]
        };
        rustix::io::write(&self.device, bytes)?;
        Ok(())
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// Opens the device with as many offloads as asked for and granted.
fn open(config: &TunConfig) -> io::Result<SyncDevice> {
    let build = |offload: bool| {
        DeviceBuilder::new()
            .name(&config.name)
            .mtu(config.mtu)
            .offload(offload)
            .enable(config.link == Link::Up)
            .build_sync()
    };
    let device = match config.offload {
        Offload::Off => build(false)?,
        Offload::Try => match build(true) {
            Ok(device) => device,
            Err(with) => {
                // The same error again means that offloads were not what was wrong.
                let device = build(false)?;
                tracing::warn!(name = config.name, error = %with, "the kernel refuses TUN offloads");
                device
            }
        },
    };
    device.set_nonblocking(true)?;
    Ok(device)
}
