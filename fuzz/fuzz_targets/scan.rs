//! Feeds `targets/scan.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::scan::run(data));
