//! The Merkle tree: hashes, roots and proofs. RFC 6962, section 2.1; verification as RFC 9162, sections 2.1.3.2 and 2.1.4.2.
//!
//! A *node* `(level, index)` is the hash of the perfect subtree over the leaves `[index << level, (index + 1) << level)`. Proofs are
//! made from a function that gives nodes, so that it does not matter here whether they come from memory, a database or tiles.

use sha2::{Digest as _, Sha256};

/// A leaf hash, an inner node or a root: SHA-256.
pub type Hash = [u8; 32];

/// The most hashes that a proof can have: the height of the largest tree.
pub const MAX_PROOF: usize = 64;

/// `SHA-256(0x00 || entry)`.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0x00]);
    hash.update(entry);
    hash.finalize().into()
}

/// `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0x01]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// The root of a tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The root of the tree with these leaf hashes.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    leaves.iter().copied().collect::<Frontier>().root()
}

/// The right edge of a tree: all that is needed to append to it and to give its root. One hash for each bit set in the size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// The roots of the perfect subtrees, largest and leftmost first.
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The edge of the empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An edge that was kept: `size` and what [`Frontier::nodes`] gave. `None` if the number of nodes does not fit the size.
    /// The caller answers for the hashes; compare [`Frontier::root`] with a signed one.
    #[must_use]
    pub fn from_nodes(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        (nodes.len() == size.count_ones() as usize).then_some(Self { size, nodes })
    }

    /// The edge of a tree of `size` leaves, read from its nodes.
    ///
    /// # Errors
    /// What `node` gives.
    pub fn read<E>(size: u64, mut node: impl FnMut(u8, u64) -> Result<Hash, E>) -> Result<Self, E> {
        let nodes = perfect_subtrees(0, size)
            .map(|(level, index)| node(level, index))
            .collect::<Result<_, E>>()?;
        Ok(Self { size, nodes })
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        self.push_with(leaf, |_, _, _| {});
    }

    /// Appends a leaf hash, and tells `completed` of each node `(level, index, hash)` that it completes, lowest first, the
    /// leaf itself among them. A node is told once and never changes.
    pub fn push_with(&mut self, leaf: Hash, mut completed: impl FnMut(u8, u64, &Hash)) {
        let (mut level, mut index, mut node) = (0, self.size, leaf);
        completed(level, index, &node);
        while index & 1 == 1 {
            let left = self
                .nodes
                .pop()
                .expect("there is one node for each bit set");
            node = node_hash(&left, &node);
            level += 1;
            index >>= 1;
            completed(level, index, &node);
        }
        self.nodes.push(node);
        self.size += 1;
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes to keep, largest subtree first; [`Frontier::from_nodes`] takes them back.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        join(&self.nodes).unwrap_or_else(empty_root)
    }
}

impl Extend<Hash> for Frontier {
    fn extend<T: IntoIterator<Item = Hash>>(&mut self, leaves: T) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

impl FromIterator<Hash> for Frontier {
    fn from_iter<T: IntoIterator<Item = Hash>>(leaves: T) -> Self {
        let mut frontier = Self::new();
        frontier.extend(leaves);
        frontier
    }
}

/// A leaf, node or size that the tree does not have was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tree has no such leaf or size")]
pub struct OutOfRange;

/// Nodes out of all leaf hashes, for the functions that make proofs. Each call hashes the leaves below the node.
pub fn nodes_of(leaves: &[Hash]) -> impl Fn(u8, u64) -> Result<Hash, OutOfRange> + '_ {
    |level, index| {
        let width = 1_usize.checked_shl(level.into()).ok_or(OutOfRange)?;
        let start = usize::try_from(index)
            .ok()
            .and_then(|index| index.checked_mul(width))
            .ok_or(OutOfRange)?;
        let end = start.checked_add(width).ok_or(OutOfRange)?;
        leaves.get(start..end).map(root).ok_or(OutOfRange)
    }
}

/// The proof that leaf `index` is in the tree of the first `size` leaves: the siblings on its way, lowest first.
///
/// # Errors
/// [`OutOfRange`] if `index` is not below `size`, or what `node` gives.
pub fn inclusion_proof<E: From<OutOfRange>>(
    index: u64,
    size: u64,
    mut node: impl FnMut(u8, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    if index >= size {
        return Err(OutOfRange.into());
    }
    let (mut start, mut end, mut proof) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(range(middle, end, &mut node)?);
            end = middle;
        } else {
            proof.push(range(start, middle, &mut node)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of the first `old` leaves is a prefix of that of the first `new`. Empty if they are equal or `old` is 0.
///
/// # Errors
/// [`OutOfRange`] if `old` is above `new`, or what `node` gives.
pub fn consistency_proof<E: From<OutOfRange>>(
    old: u64,
    new: u64,
    mut node: impl FnMut(u8, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    if old > new {
        return Err(OutOfRange.into());
    }
    let (mut start, mut end, mut proof) = (0, new, Vec::new());
    if old == 0 {
        return Ok(proof);
    }
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(range(middle, end, &mut node)?);
            end = middle;
        } else {
            proof.push(range(start, middle, &mut node)?);
            start = middle;
        }
    }
    // A subtree that begins the old tree is the old tree itself, whose root the verifier has.
    if start != 0 {
        proof.push(range(start, end, &mut node)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The index is outside the tree, the tree shrank, or the proof has too many or too few hashes for these sizes.
    #[error("the proof does not fit the size of the tree")]
    Size,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// Checks that the leaf with this hash is number `index` of the tree of `size` leaves under `root`.
///
/// # Errors
/// As [`ProofError`] says. `root` and `size` must come from a checkpoint that was verified.
pub fn verify_inclusion(
    leaf_hash: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Size);
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf_hash);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Size);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            climb_lone(&mut at, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Size);
    }
    if hash == *root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// Checks that the tree of `old_size` leaves under `old_root` is a prefix of that of `new_size` under `new_root`.
///
/// # Errors
/// As [`ProofError`] says. Roots and sizes must come from checkpoints that were verified.
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::Size);
    }
    if old_size == 0 || old_size == new_size {
        let known = if old_size == 0 {
            &empty_root()
        } else {
            new_root
        };
        return match (proof.is_empty(), known == old_root) {
            (false, _) => Err(ProofError::Size),
            (true, false) => Err(ProofError::Root),
            (true, true) if new_size == 0 && new_root != old_root => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    let (mut at, mut last) = (old_size - 1, new_size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    // An old tree that is one perfect subtree is its own first node; otherwise the proof begins with that node.
    let (first, rest) = if old_size.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::Size)?
    };
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Size);
        }
        if at & 1 == 1 || at == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            climb_lone(&mut at, &mut last);
        } else {
            new = node_hash(&new, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Size);
    }
    if old == *old_root && new == *new_root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// Skips the levels at which the rightmost node has no sibling and is carried up as it is.
fn climb_lone(at: &mut u64, last: &mut u64) {
    while *at & 1 == 0 && *at != 0 {
        *at >>= 1;
        *last >>= 1;
    }
}

/// The largest power of two below `n`, which is at least 2.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The root of the leaves `[start, end)`, a range that RFC 6962's recursion meets: `start` is a multiple of its largest power of two.
fn range<E>(
    start: u64,
    end: u64,
    node: &mut impl FnMut(u8, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let nodes = perfect_subtrees(start, end)
        .map(|(level, index)| node(level, index))
        .collect::<Result<Vec<_>, E>>()?;
    Ok(join(&nodes).unwrap_or_else(empty_root))
}

/// The perfect subtrees `(level, index)` that make up the leaves `[start, end)`, left to right.
fn perfect_subtrees(mut start: u64, end: u64) -> impl Iterator<Item = (u8, u64)> {
    std::iter::from_fn(move || {
        let left = end.checked_sub(start).filter(|&left| left > 0)?;
        let level = left.ilog2().min(start.trailing_zeros());
        let node = (level as u8, start >> level);
        start += 1 << level;
        Some(node)
    })
}

/// The root over perfect subtrees of falling size; `None` for none.
fn join(nodes: &[Hash]) -> Option<Hash> {
    nodes
        .iter()
        .rev()
        .copied()
        .reduce(|right, left| node_hash(&left, &right))
}
