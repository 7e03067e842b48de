//! Entry point of the target `cgroup`; see `mamba_fuzz::cgroup`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mamba_fuzz::cgroup::check(data));
