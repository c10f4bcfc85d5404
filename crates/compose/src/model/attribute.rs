//! One table for each object of the specification: its attributes' names, types and documentation.

/// Declares an object of the specification.
///
/// An attribute is `name: Type`, or `field as "name": Type` where its name is no Rust name. After `beside` stand
/// members that no file has.
macro_rules! attributes {
    (
        $(#[$about:meta])*
        pub struct $object:ident {
            $( $(#[$doc:meta])* $field:ident $(as $name:literal)? : $kind:ty ),* $(,)?
        }
        $(beside { $( $(#[$beside_doc:meta])* $beside:ident : $beside_kind:ty ),* $(,)? })?
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $object {
            $( $(#[$doc])* pub $field: $kind, )*
            $( $( $(#[$beside_doc])* pub $beside: $beside_kind, )* )?
            /// What stands under names that begin with `x-`.
            pub extensions: $crate::model::Extensions,
        }
    };
}

pub(crate) use attributes;
