//! Drivers: protocols on the reactor.
//!
//! A driver is the glue between a codec of [`proto`](crate::proto), which knows bytes, and the
//! [`reactor`](crate::Reactor), which knows sockets.

/// What a callback acts through derefs to the hub: its own methods are about its connection, and
/// everything else is the hub's.
macro_rules! acts_through_hub {
    ($cx:ty $(, $codec:ident)?) => {
        impl$(<$codec: $crate::tcp::Codec>)? std::ops::Deref for $cx {
            type Target = $crate::Hub;

            fn deref(&self) -> &$crate::Hub {
                self.hub
            }
        }

        impl$(<$codec: $crate::tcp::Codec>)? std::ops::DerefMut for $cx {
            fn deref_mut(&mut self) -> &mut $crate::Hub {
                self.hub
            }
        }

        impl$(<$codec: $crate::tcp::Codec>)? std::fmt::Debug for $cx {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct("Cx")
                    .field("id", &self.id())
                    .finish_non_exhaustive()
            }
        }
    };
}

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "inherited")]
mod inherited;
#[cfg(feature = "signals")]
pub mod signals;
pub mod source;
mod stdin;
pub mod tcp;
pub mod udp;
#[cfg(feature = "websocket")]
pub mod websocket;

#[cfg(feature = "inherited")]
pub use inherited::{Inherited, inherited};
pub use stdin::stdin;
