//! What a member's trust starts from.

use tidegate_proto::TrustChain;

use super::Member;

impl Member {
    /// The chain of geneses: who signs for the authority, and where it is.
    pub fn trust(&self) -> &TrustChain {
        &self.chain
    }
}
