//! The TUN device as a writer of merged frames.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use tidegate_wg::Mono;
use tidegate_wg::merge::{FrameWriter, Merger, Merges};
use tidegate_wg::vnet::{Offload, SegmentKind};

use crate::clock::boottime;
use crate::counters::TunCounters;
use crate::tun::Tun;

/// Merges opened packets and writes them to the device.
pub(crate) type Inlet = Merger<Device>;

/// The device with its counters.
pub(crate) struct Device {
    tun: Tun,
    merges: Merges,
    counters: TunCounters,
    /// When the deadlines of what is written next were looked at.
    checked: Mono,
    /// The kernel refused a merged frame of this kind.
    refused: Option<SegmentKind>,
}

impl Device {
    pub(crate) fn merger(tun: Tun) -> Inlet {
        let merges = Merges {
            tcp: tun.has_tcp_segments(),
            udp: tun.has_udp_segments(),
        };
        let device = Self {
            tun,
            merges,
            counters: TunCounters::default(),
            checked: Mono(0),
            refused: None,
        };
        Merger::new(device, merges)
    }

    pub(crate) fn counters(&self) -> TunCounters {
        self.counters
    }

    pub(crate) fn merges(&self) -> Merges {
        self.merges
    }

    /// Notes when the engine looked at the deadlines of what comes next.
    pub(crate) fn checked_at(&mut self, now: Mono) {
        self.checked = now;
    }

    /// Reads one frame; `None` where there is none.
    #[inline]
    pub(crate) fn read(&mut self, frame: &mut [u8]) -> io::Result<Option<usize>> {
        match self.tun.read(frame) {
            Ok(length) => {
                self.counters.frames_read += 1;
                self.counters.bytes_read += length as u64;
                Ok(Some(length))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What is still merged after the kernel refused a frame, if it has just done so.
    pub(crate) fn fewer_merges(&mut self) -> Option<Merges> {
        match self.refused.take()? {
            SegmentKind::Udp => self.merges.udp = false,
            SegmentKind::Tcp4 | SegmentKind::Tcp6 => self.merges.tcp = false,
        }
        tracing::warn!(merges = ?self.merges, "the kernel refuses merged frames, writing packets one by one");
        Some(self.merges)
    }

    #[cold]
    fn count_refusal(&mut self, error: Errno, frame: &[u8]) {
        match error {
            // The interface is down: nobody is there to receive.
            Errno::IO => self.counters.down += 1,
            Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM => self.counters.queue_full += 1,
            _ => {
                self.counters.refused += 1;
                if let (Errno::INVAL, Ok(Offload::Segment { kind, .. })) =
                    (error, Offload::read(frame))
                {
                    self.refused = Some(kind);
                }
            }
        }
    }
}

impl FrameWriter for Device {
    fn write(&mut self, frame: &[u8]) {
        if boottime().since(self.checked) > crate::LONGEST_HOLD {
            self.counters.stale += 1;
            return;
        }
        match self.tun.write(frame) {
            Ok(()) => {
                self.counters.frames_written += 1;
                self.counters.bytes_written += frame.len() as u64;
            }
            Err(error) => self.count_refusal(error, frame),
        }
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tun.as_fd()
    }
}
