//! Where a reader of a partition begins, where it is, and what it is handed out. Notes nothing but what it is told to commit.

mod awaited;
mod commit;
mod error;
mod filter;
mod offset_seeker;
mod offset_spec;
mod offset_subscriber;
mod offset_type;
mod options;
mod page;
mod page_limits;
mod poll;
mod progress;
mod resolve;
mod seek_result;
#[cfg(feature = "tokio")]
mod stream;
#[expect(clippy::module_inception, reason = "the file is named after the type that it holds")]
mod subscription;
mod subscription_info;
mod subscription_records;

pub(crate) use awaited::Awaited;
pub use error::{OffsetRangeError, OffsetSpecError, SubscriptionError};
pub use filter::Filter;
pub use offset_seeker::{AvailableOffsets, OffsetInfo, OffsetSeeker};
pub use offset_spec::OffsetSpec;
pub use offset_subscriber::{OffsetSubscriber, SubscriberMetrics};
pub use offset_type::OffsetType;
pub use options::{GroupPosition, OnOutOfRange, SubscriptionOptions};
pub use page::{Page, RecordRange};
pub use page_limits::PageLimits;
pub(crate) use resolve::term_before;
pub use seek_result::{Reset, ResetCause, SeekOutcome, SeekResult};
#[cfg(feature = "tokio")]
pub use stream::SubscriptionStream;
pub use subscription::Subscription;
pub use subscription_info::SubscriptionInfo;
pub use subscription_records::SubscriptionRecords;
