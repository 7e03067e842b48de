//! Entry point of the target `hello`; see `mamba_fuzz::hello`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mamba_fuzz::hello::check(data));
