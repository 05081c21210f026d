//! Feeds `targets/headers.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::headers::run(data));
