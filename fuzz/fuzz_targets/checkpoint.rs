//! Feeds `targets/checkpoint.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::checkpoint::run(data));
