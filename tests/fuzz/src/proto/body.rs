//! Bodies of the HTTP API.

use tidegate_proto::api::{
    Enroll, Enrolled, GrantWithList, Heartbeat, HeartbeatReply, LARGEST_NODE_BODY, Problem, Renew,
    RevocationStatus, Revoke,
};
use tidegate_proto::{Challenge, NodeKeys};

use super::promise::check_json;

/// One body, read as every type that the API has.
pub fn api(data: &[u8]) {
    check_json::<Problem>(data, LARGEST_NODE_BODY);
    check_json::<Enroll>(data, LARGEST_NODE_BODY);
    check_json::<Enrolled>(data, LARGEST_NODE_BODY);
    check_json::<Renew>(data, LARGEST_NODE_BODY);
    check_json::<Heartbeat>(data, LARGEST_NODE_BODY);
    check_json::<HeartbeatReply>(data, LARGEST_NODE_BODY);
    check_json::<GrantWithList>(data, LARGEST_NODE_BODY);
    check_json::<Revoke>(data, LARGEST_NODE_BODY);
    check_json::<RevocationStatus>(data, LARGEST_NODE_BODY);
    check_json::<NodeKeys>(data, LARGEST_NODE_BODY);
    check_json::<Challenge>(data, LARGEST_NODE_BODY);
}
