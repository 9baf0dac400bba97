//! Feeds [`tidegate_fuzz::proto::invite`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::proto::invite(data));
