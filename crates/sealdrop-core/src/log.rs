//! The transparency log. docs/protocol.md, "Log".
//!
//! A server builds [`leaf::Leaf`]s, grows a [`tree::Frontier`], answers with [`tile`]s and signs [`checkpoint::Checkpoint`]s and
//! [`promise::Promise`]s. Clients check all of these, and carry away a [`proof::Receipt`].
//!
//! The tree is written out here rather than taken from a library: those at hand own their leaves, while the server has its
//! leaves on disk and the clients have tiles.

pub mod checkpoint;
pub mod cosignature;
pub mod leaf;
pub mod promise;
pub mod proof;
pub mod saved;
pub mod tile;
pub mod tree;
