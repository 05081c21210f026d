//! Consumer groups: members that share the partitions of topics, and how far they have come. Stores nothing by itself.

mod coordinator;
mod description;
mod error;
#[expect(clippy::module_inception, reason = "the file is named after the type that it holds")]
mod group;
mod join;
mod member;
mod options;
mod pending;
mod positions;
mod rebalance;
mod request;
mod state;
mod timers;
mod turn;

pub use coordinator::GroupCoordinator;
pub use description::{GroupDescription, GroupListing};
pub use error::GroupError;
pub use options::GroupOptions;
pub use pending::PendingAnswer;
pub use request::{JoinRequest, JoinedGroup, JoinedMember, LeaveOutcome, LeavingMember, MemberIdentity, SyncRequest, SyncedGroup};
pub use state::GroupState;
