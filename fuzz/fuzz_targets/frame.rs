//! Feeds `targets/frame.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::frame::run(data));
