//! Feeds [`tidegate_fuzz::agent::request`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::agent::request(data));
