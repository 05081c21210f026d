//! The engine seen through its public API, one binary for all. A test that needs a process of its own is not here.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at files from outside of the engine")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, which clippy.toml does not know")]

#[cfg(feature = "object_store")]
mod adoption;
mod append;
mod apply;
mod assignors;
#[cfg(feature = "parquet")]
mod checkpoints;
#[cfg(feature = "parquet")]
mod compaction;
mod concurrency;
mod consumer_protocol;
mod counterparts;
mod cuts;
mod damage;
mod decision_table;
mod deep;
mod durability;
#[cfg(feature = "parquet")]
mod export;
#[cfg(feature = "parquet")]
mod export_pages;
mod faults;
mod follow;
mod forged;
mod group_consumer;
mod group_faults;
mod group_hazards;
mod group_model;
mod group_support;
mod groups;
mod guards;
#[cfg(feature = "parquet")]
mod import;
mod interleavings;
mod io;
mod lag;
mod layers;
mod limits;
mod lookup;
mod many;
mod marks;
mod member_lag;
#[cfg(feature = "object_store")]
mod object_faults;
#[cfg(feature = "object_store")]
mod objects;
mod offset_broker;
mod offset_faults;
mod offset_log;
mod offset_manager;
mod offset_notation;
#[cfg(feature = "postgres")]
mod offset_postgres;
#[cfg(feature = "postgres")]
mod offset_postgres_lost;
#[cfg(feature = "sqlite")]
mod offset_sqlite;
#[cfg(feature = "sqlite")]
mod offset_sqlite_positions;
mod offset_stores;
mod partition_faults;
mod partitions;
mod plan;
#[cfg(feature = "postgres")]
mod postgres_server;
mod read;
mod reading_support;
mod recovery;
mod repair;
mod restore;
mod scrub;
mod shared_sync;
mod sim;
mod subscribers;
mod subscription;
mod subscription_faults;
mod subscription_filter;
mod subscription_groups;
mod subscription_lost;
mod subscription_model;
#[cfg(feature = "tokio")]
mod subscription_stream;
mod subscription_wait;
mod support;
mod tail;
mod time;
#[cfg(feature = "parquet")]
mod timed_import;
#[cfg(feature = "tokio")]
mod tokio;
mod topics;
#[cfg(feature = "parquet")]
mod typed_export;
mod unsynced;
mod windows;
