//! Feeds `targets/parquet_import.rs`.
#![no_main]

use std::sync::Once;

/// The decoder's panics are caught by the import, but the fuzzer's hook ends the process before. Those of the target still end it.
static HOOK: Once = Once::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    HOOK.call_once(|| std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))));
    tidelog_fuzz::parquet_import::run(data);
});
