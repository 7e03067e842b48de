//! Entry point of the target `blueprint`; see `mamba_fuzz::blueprint`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mamba_fuzz::blueprint::check(data));
