//! Entry point of the target `frame`; see `mamba_fuzz::frame`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mamba_fuzz::frame::check(data));
