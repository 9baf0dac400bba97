//! The transitions, and how often each is drawn.

use rand_core::Rng;
use tidegate_core::Wish;
use tidegate_proto::RevocationKind;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Join(u8),
    Approve(u8),
    PutOut(u8, RevocationKind),
    Reinstate(u8),
    Partition(u8),
    Heal(u8),
    AuthorityDown,
    AuthorityUp,
    Kill(u8),
    Restart(u8),
    Reboot(u8),
    PlaneFails(u8),
    Rotate,
    Policy(bool),
    WallClock(u8, i64),
    Lag(u8),
    Catch(u8),
    Confirm(u8),
    Replay(u8, u64),
    Late(u64),
    Gossip(u8),
    Wish(u8, Wish),
    Pass(u64),
}

impl Step {
    pub fn draw(nodes: u8, rng: &mut impl Rng) -> Self {
        let mut below = |limit: u64| rng.next_u64() % limit;
        let node = 1 + below(u64::from(nodes)) as u8;
        match below(100) {
            0..=3 => Self::Join(node),
            4..=7 => Self::Approve(node),
            8..=12 => Self::PutOut(node, RevocationKind::Revoked),
            13..=16 => Self::PutOut(node, RevocationKind::Suspended),
            17..=23 => Self::Reinstate(node),
            24..=31 => Self::Partition(node),
            32..=38 => Self::Heal(node),
            39 => Self::AuthorityDown,
            40..=42 => Self::AuthorityUp,
            43..=46 => Self::Kill(node),
            47..=52 => Self::Restart(node),
            53..=54 => Self::Reboot(node),
            55 => Self::PlaneFails(node),
            56..=58 => Self::Rotate,
            59..=60 => Self::Policy(below(3) > 0),
            61..=63 => Self::WallClock(node, below(7_200_000) as i64 - 3_600_000),
            64..=66 => Self::Lag(node),
            67..=69 => Self::Catch(node),
            70..=72 => Self::Confirm(node),
            73..=77 => Self::Replay(node, below(1 << 32)),
            78..=80 => Self::Late(below(1 << 32)),
            81 => Self::Wish(node, Wish::Down),
            82..=83 => Self::Wish(node, Wish::Up),
            84..=86 => Self::Gossip(node),
            87..=95 => Self::Pass(1 + below(25_000)),
            _ => Self::Pass(1 + below(200_000)),
        }
    }
}
