//! Entry point of the target `config`; see `mamba_fuzz::config`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mamba_fuzz::config::check(data));
