//! Feeds `targets/image.rs`, with inputs that `targets/mutate.rs` makes.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| tidelog_fuzz::image::run(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| { tidelog_fuzz::mutate::mutate(data, size, max_size, seed, fuzzer_mutate) });
