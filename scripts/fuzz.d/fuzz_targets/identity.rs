//! Entry point of the target `identity`; see `mamba_fuzz::identity`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mamba_fuzz::identity::check(data));
