//! Entry point of the target `key`; see `mamba_fuzz::key`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mamba_fuzz::key::check(data));
