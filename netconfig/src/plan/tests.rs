//! Tables for every kind of change, and random worlds against a model of the kernel.

mod model;
mod random;
mod tables;
