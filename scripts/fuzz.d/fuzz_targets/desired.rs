//! Entry point of the target `desired`; see `mamba_fuzz::desired`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mamba_fuzz::desired::check(data));
