//! Entry point of the target `record`; see `mamba_fuzz::record`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mamba_fuzz::record::check(data));
