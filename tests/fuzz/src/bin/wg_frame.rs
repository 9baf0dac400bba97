//! Feeds [`tidegate_fuzz::wg::frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::wg::frame(data));
