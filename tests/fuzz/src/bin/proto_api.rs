//! Feeds [`tidegate_fuzz::proto::api`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::proto::api(data));
