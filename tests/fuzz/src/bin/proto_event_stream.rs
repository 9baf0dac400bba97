//! Feeds [`tidegate_fuzz::proto::event_stream`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::proto::event_stream(data));
