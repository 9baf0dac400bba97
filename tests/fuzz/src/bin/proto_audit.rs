//! Feeds [`tidegate_fuzz::proto::audit`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::proto::audit(data));
