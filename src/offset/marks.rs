//! The marks of a partition as types that cannot be taken for each other, read so that their order holds. Moves none of them.

use std::fmt;

use tidelog_format::Offset;

use crate::log::PartitionView;
use crate::topic::Partition;

macro_rules! mark {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Offset);

        impl $name {
            /// The offset that it stands at.
            pub const fn offset(self) -> Offset {
                self.0
            }
        }

        impl From<$name> for Offset {
            fn from(mark: $name) -> Self {
                mark.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

mark! {
    /// The first offset that can be read: what is below it was deleted.
    LogStart
}
mark! {
    /// The first offset that is not known durable.
    DurableEnd
}
mark! {
    /// The first offset that committed readers may not see. With nothing appended, the log start; behind one record, the offset after it.
    HighWaterMark
}
mark! {
    /// The next offset to be assigned.
    LogEnd
}
mark! {
    /// The first offset that readers of finished transactions may not see. There are no transactions: it stands at the high water mark.
    LastStable
}

/// All marks of a partition, read with [`PartitionView::marks`].
///
/// Always `log_start <= high_water_mark <= log_end` and `durable_end <= log_end`. What is below `durable_end` survives power loss. They are
/// no snapshot: each is where it was at some time while they were read, and beside appends, cuts and refreshes one may be older than another.
/// Each mark has a type of its own, and only [`offset`](HighWaterMark::offset) takes it off: comparing two of different types does not compile.
///
/// ```
/// use tidelog::{AckLevel, Record, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let orders = Store::open(dir.path())?.topic("orders")?.partition(0)?;
/// orders.append(Record::new("12 apples"))?;
/// let marks = orders.marks();
/// assert_eq!(marks.log_start.offset(), 0);
/// assert_eq!(marks.high_water_mark.offset(), 1);
/// assert_eq!(marks.log_end.offset(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```compile_fail
/// fn is_caught_up(marks: &tidelog::Marks) -> bool {
///     marks.durable_end == marks.log_end // mismatched types
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Marks {
    /// The first offset that can be read.
    pub log_start: LogStart,
    /// The first offset not known durable.
    pub durable_end: DurableEnd,
    /// The first offset that committed readers may not see.
    pub high_water_mark: HighWaterMark,
    /// The next offset to be assigned.
    pub log_end: LogEnd,
    /// The first offset that readers of finished transactions may not see.
    pub last_stable: LastStable,
}

impl Marks {
    /// Of a log that nothing was ever appended to.
    pub(super) fn of_empty_log() -> Self {
        let begin = Offset::new(0);
        Self {
            log_start: LogStart(begin),
            durable_end: DurableEnd(begin),
            high_water_mark: HighWaterMark(begin),
            log_end: LogEnd(begin),
            last_stable: LastStable(begin),
        }
    }

    /// Offsets that committed readers can see: those from the log start to the high water mark.
    pub fn visible(&self) -> u64 {
        self.high_water_mark.offset().get().saturating_sub(self.log_start.offset().get())
    }

    /// The last offset that committed readers can see; none if there is none.
    pub fn last_visible(&self) -> Option<Offset> {
        (self.visible() > 0).then(|| Offset::new(self.high_water_mark.offset().get() - 1))
    }
}

impl PartitionView {
    /// All marks, in the order that they always have. A view of another process's store tells those of its last [`refresh`](Self::refresh).
    pub fn marks(&self) -> Marks {
        let (marks, high_water_mark) = self.marks_now();
        let high_water_mark = Offset::new(high_water_mark);
        Marks {
            log_start: LogStart(Offset::new(marks.log_start)),
            durable_end: DurableEnd(Offset::new(marks.durable_end)),
            high_water_mark: HighWaterMark(high_water_mark),
            log_end: LogEnd(Offset::new(marks.written_end)),
            last_stable: LastStable(high_water_mark),
        }
    }
}

impl Partition {
    /// See [`PartitionView::marks`].
    pub fn marks(&self) -> Marks {
        self.view().marks()
    }
}
