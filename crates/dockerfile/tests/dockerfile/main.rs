//! What the language promises about any text at all.

mod fuzz;
