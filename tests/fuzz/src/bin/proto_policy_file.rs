//! Feeds [`tidegate_fuzz::proto::policy_file`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::proto::policy_file(data));
