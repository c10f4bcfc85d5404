//! What the vocabulary promises about any text at all.

mod fuzz;
