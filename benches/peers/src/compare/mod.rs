//! The comparison's parts: which servers there are, how they are built and
//! run, and one module for each thing that is measured. Run by
//! `src/bin/compare.rs`.

pub mod build;
pub mod child;
pub mod cpu;
pub mod idle;
pub mod instructions;
pub mod procfs;
pub mod run;
pub mod scenario;
pub mod stats;
pub mod syscalls;
pub mod table;
pub mod temporary;
