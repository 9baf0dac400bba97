//! Feeds [`tidegate_fuzz::core::state`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::core::state(data));
