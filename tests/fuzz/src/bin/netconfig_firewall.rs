//! Feeds [`tidegate_fuzz::netconfig::firewall`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::netconfig::firewall(data));
