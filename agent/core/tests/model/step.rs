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
            0..=4 => Self::Join(node),
            5..=12 => Self::Approve(node),
            13..=15 => Self::PutOut(node, RevocationKind::Revoked),
            16..=17 => Self::PutOut(node, RevocationKind::Suspended),
            18..=28 => Self::Reinstate(node),
            29..=35 => Self::Partition(node),
            36..=42 => Self::Heal(node),
            43 => Self::AuthorityDown,
            44..=47 => Self::AuthorityUp,
            48..=51 => Self::Kill(node),
            52..=57 => Self::Restart(node),
            58..=59 => Self::Reboot(node),
            60 => Self::PlaneFails(node),
            61..=63 => Self::Rotate,
            64..=65 => Self::Policy(below(4) > 0),
            66..=67 => Self::WallClock(node, below(7_200_000) as i64 - 3_600_000),
            68..=69 => Self::Lag(node),
            70..=72 => Self::Catch(node),
            73..=74 => Self::Confirm(node),
            75..=78 => Self::Replay(node, below(1 << 32)),
            79..=81 => Self::Late(below(1 << 32)),
            82 => Self::Wish(node, Wish::Down),
            83..=85 => Self::Wish(node, Wish::Up),
            86..=92 => Self::Gossip(node),
            93..=98 => Self::Pass(1 + below(15_000)),
            _ => Self::Pass(1 + below(200_000)),
        }
    }
}
