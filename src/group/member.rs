//! A member of a group, as its coordinator knows it. Knows no other member.

use std::time::Duration;

use crate::group::instance_id::InstanceId;
use crate::group::member_id::MEMBER_ID_BYTES_MAX;
use crate::group::pending::{JoinSlot, SyncSlot};
use crate::group::request::JoinRequest;
use crate::offset::MemberMetadata;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) instance_id: Option<InstanceId>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) protocols: Vec<(String, Vec<u8>)>,
    pub(super) assignment: Vec<u8>,
    pub(super) awaits_join: Option<JoinSlot>,
    pub(super) awaits_sync: Option<SyncSlot>,
    /// It has joined the generation, and has not synced yet.
    pub(super) owes_sync: bool,
    /// It was never told of a generation.
    pub(super) is_new: bool,
    /// When it is given up. Who waits for an answer shows no other sign of life.
    pub(super) deadline: Option<Duration>,
}

impl Member {
    pub(super) fn new(request: JoinRequest) -> Self {
        Self {
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            protocols: request.protocols,
            assignment: Vec::new(),
            awaits_join: None,
            awaits_sync: None,
            owes_sync: false,
            is_new: true,
            deadline: None,
        }
    }

    /// One that a store knows: of its protocols, the one that the group has chosen.
    pub(super) fn restored(metadata: MemberMetadata, protocol: &str, now: Duration) -> Self {
        let session_timeout = Duration::from_millis(metadata.session_timeout_ms.into());
        Self {
            instance_id: metadata.instance_id.and_then(|name| name.parse().ok()),
            client_id: metadata.client_id,
            client_host: metadata.client_host,
            session_timeout,
            rebalance_timeout: Duration::from_millis(metadata.rebalance_timeout_ms.into()),
            protocols: vec![(protocol.to_owned(), metadata.subscription)],
            assignment: metadata.assignment,
            awaits_join: None,
            awaits_sync: None,
            owes_sync: false,
            is_new: false,
            deadline: Some(now.saturating_add(session_timeout)),
        }
    }

    /// Takes over what a member says that joins again.
    pub(super) fn update(&mut self, request: JoinRequest) {
        self.client_id = request.client_id;
        self.client_host = request.client_host;
        self.session_timeout = request.session_timeout;
        self.rebalance_timeout = request.rebalance_timeout;
        self.protocols = request.protocols;
    }

    pub(super) fn metadata(&self, protocol: &str) -> MemberMetadata {
        MemberMetadata {
            instance_id: self.instance_id.as_ref().map(ToString::to_string),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            session_timeout_ms: millis(self.session_timeout),
            rebalance_timeout_ms: millis(self.rebalance_timeout),
            subscription: self.subscription(protocol).to_vec(),
            assignment: self.assignment.clone(),
        }
    }

    /// What it says to a protocol.
    pub(super) fn subscription(&self, protocol: &str) -> &[u8] {
        self.protocols.iter().find(|(name, _)| name == protocol).map_or(&[], |(_, subscription)| subscription)
    }

    /// Bytes that a store has to keep of it at most, whichever protocol is chosen, without what it is assigned.
    pub(super) fn bytes(&self) -> usize {
        let longest = self.protocols.iter().map(|(_, subscription)| subscription.len()).max().unwrap_or_default();
        let instance_id = self.instance_id.as_ref().map_or(0, |id| id.as_str().len());
        MEMBER_ID_BYTES_MAX + instance_id + self.client_id.len() + self.client_host.len() + longest
    }

    pub(super) fn knows(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.awaits_join.is_some() || self.awaits_sync.is_some()
    }

    /// It has shown a sign of life.
    pub(super) fn touch(&mut self, now: Duration) {
        if !self.is_waiting() {
            self.deadline = Some(now.saturating_add(self.session_timeout));
        }
    }
}

fn millis(timeout: Duration) -> u32 {
    u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX)
}
