//! Feeds [`tidegate_fuzz::proto::envelope_compact`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::proto::envelope_compact(data));
