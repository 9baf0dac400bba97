//! Feeds [`tidegate_fuzz::proto::text`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::proto::text(data));
