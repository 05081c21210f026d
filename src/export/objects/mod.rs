//! Exports into an object store: S3, or whatever else the crate [`object_store`] knows. Brings no store of its own: whoever embeds this does.
//!
//! An [`ObjectPlace`] is a prefix in a store. What an export leaves there is what it leaves in a directory, with two differences:
//!
//! - A file is named `<first offset>-<last offset>-<16 hexadecimal digits>.parquet`. The digits are drawn at random, since two processes may
//!   write the same offsets at once.
//! - Nothing is locked. A commit to the Delta log is a put of an object that must not be there (`If-None-Match: *` in S3's words): of all who
//!   commit the same version, the store lets one. The others read what was committed; whoever finds its own offsets there ends with
//!   [`ExportError::Fenced`](crate::export::ExportError::Fenced). **The store must honour such puts**: those of S3, of Google, of Azure, and of
//!   the crate itself do. Its listings must show whatever was put before they were asked for.
//!
//! # Exactly once
//! A put may be done though the answer is an error, for instance when it came too late. Whoever does not know what became of a commit reads
//! the version back: if it is there with the same bytes, it is committed; with others, somebody else was first; if nothing is there, the run
//! ends with the error, and the next one finds out.
//!
//! Complete files that no commit names are left alone, for another process may be about to commit them. If such a file goes on where the table
//! ends and is of the log as it is now, the next run commits it, whoever wrote it: objects do not change. It must pass over nothing that it does not
//! tell of, end below the high water mark and before the run's end, and its last record must be in the log still. All others stay, for a
//! `VACUUM` of Delta to remove; none makes a run fail. A process removes only files of its own, when nobody can commit them any more, and those
//! that a commit of [`compact`](crate::export::ExportSession::compact) has put others in the place of. If it may not delete objects, the former stay.
//!
//! An export with [`ReadIsolation::Written`](crate::ReadIsolation::Written) that is killed may leave a file with records that a crash then takes from
//! the log. If the log has grown past them in the same term when the next run begins, that run cannot tell, and commits the file: **the table then has
//! what the log had, not what it has**. By default nothing is exported that a crash takes.
//!
//! # Work and memory
//! The last offset of a file, and so its name, is known at its end, and objects are not renamed. So a file is written on the local disk first,
//! without a name there, and then uploaded: as one object if it is small, else in parts, a few at a time. It takes the bytes of one compressed file on
//! the disk, and those of a few parts in memory. An upload that fails is aborted; one that is killed leaves parts that no reader sees, and that
//! cost until the store's rules for incomplete uploads remove them.
//!
//! Each call blocks the thread that makes it. The requests themselves are made on one thread that all places of the process share, by a runtime
//! of its own; so calls work on threads of an async runtime too, where they hold up whatever else is on that thread: use
//! `spawn_blocking` or the like. The store must be for places alone (see [`ObjectPlace::new`]), and its code must not export: on that one thread, that
//! is an error. Requests are tried again as the store is configured to, and not by this module.

mod driver;
mod object_place;
mod object_target;
mod upload;

pub use object_place::ObjectPlace;
