//! Feeds [`tidegate_fuzz::wg::merge`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::wg::merge(data));
