//! Feeds `targets/consumer_protocol.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::consumer_protocol::run(data));
