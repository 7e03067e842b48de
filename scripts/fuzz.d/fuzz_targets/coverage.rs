//! Entry point of the target `coverage`; see `mamba_fuzz::coverage`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mamba_fuzz::coverage::check(data));
