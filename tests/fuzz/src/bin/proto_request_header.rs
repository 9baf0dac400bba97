//! Feeds [`tidegate_fuzz::proto::request_header`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::proto::request_header(data));
