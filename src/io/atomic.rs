//! The atomics that maps and live pages go by: the standard library's, or, under `--cfg tidelog_loom`, those of loom, which runs every
//! order that they allow. Nothing else differs.

#[cfg(tidelog_loom)]
pub(crate) use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU64},
};
#[cfg(not(tidelog_loom))]
pub(crate) use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU64},
};
