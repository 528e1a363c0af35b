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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encoding;

    /// The tree of eight leaves that implementations of Certificate Transparency test with.
    fn reference_leaves() -> Vec<Hash> {
        let mut entries: Vec<Vec<u8>> = vec![vec![], vec![0x00], vec![0x10]];
        for (first, length) in [(0x20, 2), (0x30, 2), (0x40, 4), (0x50, 8), (0x60, 16)] {
            entries.push((first..first + length).collect());
        }
        entries.iter().map(|entry| leaf_hash(entry)).collect()
    }

    const REFERENCE_ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    const N01: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    const N23: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    const N47: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
    const N45: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
    const N67: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
    const N4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";

    #[test]
    fn the_reference_tree_has_the_known_roots() {
        let leaves = reference_leaves();
        for (size, expected) in REFERENCE_ROOTS.iter().enumerate() {
            assert_eq!(encoding::hex(&root(&leaves[..size])), *expected, "{size}");
        }
    }

    #[test]
    fn the_reference_tree_has_the_known_proofs() {
        let leaves = reference_leaves();
        let hex = |proof: Vec<Hash>| -> Vec<String> {
            proof.iter().map(|hash| encoding::hex(hash)).collect()
        };
        let inclusion = |index, size| hex(inclusion_proof(index, size, nodes_of(&leaves)).unwrap());
        let consistency = |old, new| hex(consistency_proof(old, new, nodes_of(&leaves)).unwrap());
        assert_eq!(inclusion(0, 1), [""; 0]);
        assert_eq!(inclusion(0, 8), [N01, N23, N47]);
        assert_eq!(inclusion(5, 8), [N4, N67, REFERENCE_ROOTS[4]]);
        assert_eq!(inclusion(2, 3), [REFERENCE_ROOTS[2]]);
        assert_eq!(inclusion(1, 5), [REFERENCE_ROOTS[1], N23, N4]);
        assert_eq!(consistency(1, 1), [""; 0]);
        assert_eq!(consistency(1, 8), [N01, N23, N47]);
        assert_eq!(consistency(6, 8), [N45, N67, REFERENCE_ROOTS[4]]);
        assert_eq!(consistency(2, 5), [N23, N4]);
    }

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    /// RFC 6962's definition, word by word.
    fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(&mth(left), &mth(right))
            }
        }
    }

    #[test]
    fn every_proof_of_small_trees_verifies() {
        let all = leaves(40);
        let roots: Vec<Hash> = (0..=40).map(|n| mth(&all[..n])).collect();
        for new in 0..=40_u64 {
            let new_root = &roots[new as usize];
            assert_eq!(root(&all[..new as usize]), *new_root);
            for index in 0..new {
                let proof = inclusion_proof(index, new, nodes_of(&all)).unwrap();
                let leaf = &all[index as usize];
                assert_eq!(verify_inclusion(leaf, index, new, &proof, new_root), Ok(()));
            }
            for old in 0..=new {
                let old_root = &roots[old as usize];
                let proof = consistency_proof(old, new, nodes_of(&all)).unwrap();
                assert_eq!(
                    verify_consistency(old, new, &proof, old_root, new_root),
                    Ok(())
                );
            }
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let all = leaves(8);
        let (root, other) = (root(&all), all[0]);
        assert_eq!(
            inclusion_proof(8, 8, nodes_of(&all)),
            Err::<Vec<Hash>, _>(OutOfRange)
        );
        assert_eq!(
            inclusion_proof(0, 9, nodes_of(&all)),
            Err::<Vec<Hash>, _>(OutOfRange)
        );
        assert_eq!(
            consistency_proof(9, 8, nodes_of(&all)),
            Err::<Vec<Hash>, _>(OutOfRange)
        );
        assert_eq!(nodes_of(&all)(64, 1), Err(OutOfRange));
        assert_eq!(nodes_of(&all)(3, u64::MAX), Err(OutOfRange));
        let size = Err(ProofError::Size);
        assert_eq!(verify_inclusion(&other, 8, 8, &[], &root), size);
        assert_eq!(verify_inclusion(&other, 0, 0, &[], &root), size);
        assert_eq!(verify_inclusion(&other, 0, 8, &[other; 65], &root), size);
        assert_eq!(verify_consistency(9, 8, &[], &root, &root), size);
        assert_eq!(verify_consistency(8, 8, &[other], &root, &root), size);
        assert_eq!(verify_consistency(0, 8, &[other], &root, &root), size);
        assert_eq!(verify_consistency(3, 8, &[], &root, &root), size);
        assert_eq!(verify_consistency(4, 8, &[], &root, &root), size);
        let wrong = Err(ProofError::Root);
        assert_eq!(verify_consistency(8, 8, &[], &other, &root), wrong);
        assert_eq!(verify_consistency(0, 8, &[], &other, &root), wrong);
        let empty = empty_root();
        assert_eq!(verify_consistency(0, 0, &[], &empty, &other), wrong);
        let huge = u64::MAX;
        assert!(verify_inclusion(&other, huge - 1, huge, &[other; 64], &root).is_err());
        assert!(verify_consistency(1, huge, &[other; 64], &root, &root).is_err());
    }

    #[test]
    fn a_frontier_comes_back_from_its_nodes() {
        let all = leaves(100);
        for size in 0..100 {
            let frontier: Frontier = all[..size].iter().copied().collect();
            let kept = Frontier::from_nodes(size as u64, frontier.nodes().to_vec());
            assert_eq!(kept.as_ref(), Some(&frontier));
            let read = Frontier::read(size as u64, nodes_of(&all));
            assert_eq!(read.as_ref(), Ok(&frontier));
        }
        assert_eq!(Frontier::from_nodes(3, vec![[0; 32]]), None);
        assert_eq!(Frontier::from_nodes(0, vec![[0; 32]]), None);
    }

    #[test]
    fn a_frontier_tells_every_node_once() {
        let all = leaves(37);
        let mut told = std::collections::BTreeMap::new();
        let mut frontier = Frontier::new();
        for leaf in &all {
            frontier.push_with(*leaf, |level, index, hash| {
                assert_eq!(told.insert((level, index), *hash), None);
            });
        }
        for ((level, index), hash) in &told {
            assert_eq!(nodes_of(&all)(*level, *index), Ok(*hash));
        }
        assert_eq!(told.len(), 37 + 18 + 9 + 4 + 2 + 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_changed_inclusion_proof_is_refused(size in 1_u64..600, index: u64, at: usize, bit in 0_usize..256) {
            let index = index % size;
            let all = leaves(size);
            let root = root(&all);
            let leaf = all[index as usize];
            let mut proof = inclusion_proof(index, size, nodes_of(&all)).unwrap();
            prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
            if index > 0 {
                prop_assert!(verify_inclusion(&leaf, index - 1, size, &proof, &root).is_err());
            }
            let mut longer = proof.clone();
            longer.push(leaf);
            prop_assert_eq!(verify_inclusion(&leaf, index, size, &longer, &root), Err(ProofError::Size));
            if !proof.is_empty() {
                let shorter = &proof[..proof.len() - 1];
                prop_assert_eq!(verify_inclusion(&leaf, index, size, shorter, &root), Err(ProofError::Size));
                let at = at % proof.len();
                proof[at][bit / 8] ^= 1 << (bit % 8);
                prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Err(ProofError::Root));
            }
        }

        #[test]
        fn a_changed_consistency_proof_is_refused(new in 2_u64..600, old: u64, at: usize, bit in 0_usize..256) {
            let old = 1 + old % (new - 1);
            let all = leaves(new);
            let (old_root, new_root) = (root(&all[..old as usize]), root(&all));
            let mut proof = consistency_proof(old, new, nodes_of(&all)).unwrap();
            prop_assert_eq!(verify_consistency(old, new, &proof, &old_root, &new_root), Ok(()));
            prop_assert!(verify_consistency(old, new, &proof, &new_root, &new_root).is_err());
            prop_assert!(verify_consistency(old, new, &proof, &old_root, &old_root).is_err());
            prop_assert!(verify_consistency(old, new, &proof[1..], &old_root, &new_root).is_err());
            let at = at % proof.len();
            proof[at][bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(verify_consistency(old, new, &proof, &old_root, &new_root), Err(ProofError::Root));
        }

        #[test]
        fn a_rewritten_past_has_no_consistency_proof(new in 2_u64..600, old: u64, changed: u64) {
            let old = 1 + old % (new - 1);
            let all = leaves(new);
            let old_root = root(&all[..old as usize]);
            let mut forked = all;
            forked[(changed % old) as usize] = [0; 32];
            let proof = consistency_proof(old, new, nodes_of(&forked)).unwrap();
            prop_assert_eq!(
                verify_consistency(old, new, &proof, &old_root, &root(&forked)),
                Err(ProofError::Root)
            );
        }

        #[test]
        fn no_proof_panics(a: u64, b: u64, proof in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
            let hash = [1; 32];
            prop_assert!(verify_inclusion(&hash, a, b, &proof, &hash).is_err() || (a, b) == (0, 1));
            let _ = verify_consistency(a, b, &proof, &hash, &hash);
        }
    }
}
