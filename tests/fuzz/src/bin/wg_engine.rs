//! Feeds [`tidegate_fuzz::wg::engine`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::wg::engine(data));
