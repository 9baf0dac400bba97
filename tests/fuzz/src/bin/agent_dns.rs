//! Feeds [`tidegate_fuzz::agent::dns`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::agent::dns(data));
