//! Feeds [`tidegate_fuzz::proto::pem`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::proto::pem(data));
