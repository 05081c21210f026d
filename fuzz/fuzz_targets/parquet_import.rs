//! Feeds `targets/parquet_import.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::parquet_import::run(data));
