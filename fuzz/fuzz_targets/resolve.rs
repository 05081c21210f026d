//! Feeds `targets/resolve.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::resolve::run(data));
