//! Entry point of the target `ingest`; see `mamba_fuzz::ingest`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mamba_fuzz::ingest::check(data));
