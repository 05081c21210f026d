//! Messages of Kafka's consumer protocol: what decodes encodes to bytes that say the same.

use tidelog::group::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, StickyUserData};

const LATEST: i16 = 3;

pub fn run(data: &[u8]) {
    if let Ok(subscription) = ConsumerProtocolSubscription::decode(data) {
        assert_eq!(ConsumerProtocolSubscription::decode(&subscription.encode(LATEST).unwrap()), Ok(subscription.clone()));
        for protocol in ["range", "sticky"] {
            let _ = subscription.member(protocol, "member".parse().unwrap(), None);
        }
    }
    if let Ok(assignment) = ConsumerProtocolAssignment::decode(data) {
        assert_eq!(ConsumerProtocolAssignment::decode(&assignment.encode(LATEST).unwrap()), Ok(assignment));
    }
    if let Ok(had) = StickyUserData::decode(data) {
        assert_eq!(StickyUserData::decode(&had.encode().unwrap()), Ok(had));
    }
}
