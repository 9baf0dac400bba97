//! Feeds [`tidegate_fuzz::proto::envelope_json`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::proto::envelope_json(data));
