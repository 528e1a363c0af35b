//! Tiles and entry bundles: the tree as files. C2SP tlog-tiles.
//!
//! Tile `(level, index)` holds up to 256 nodes of tree level `8 * level`. The paths here have no prefix; the server has them
//! under `/log/` (docs/protocol.md, "HTTP").

use super::tree::{self, Frontier, Hash, OutOfRange};
use crate::encoding;

/// The number of hashes in a full tile, and of entries in a full bundle.
pub const WIDTH: u16 = 256;
/// Tree levels that one tile spans.
const HEIGHT: u8 = 8;
/// Tile levels that a tree of up to 2^64 leaves has.
const LEVELS: u8 = 8;
/// The highest tile level that a path may name.
const MAX_LEVEL: u8 = 63;

/// Which tile: `tile/<level>/<index>`, with `.p/<width>` if it is not full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// 0 for leaf hashes; each level above stands on full tiles. At most 63.
    pub level: u8,
    /// The number of the tile within its level, from 0.
    pub index: u64,
    /// How many hashes it holds, 1 to 256.
    pub width: u16,
}

/// Which entry bundle: `tile/entries/<index>`, with `.p/<width>` if it is not full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId {
    /// The number of the bundle, from 0.
    pub index: u64,
    /// How many entries it holds, 1 to 256.
    pub width: u16,
}

/// Why a tile or bundle is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// Not a path of a tile or bundle.
    #[error("not the path of a tile")]
    Path,
    /// The bytes are not as many hashes or entries as the path says.
    #[error("the tile has another length")]
    Length,
    /// The hashes lead to another root.
    #[error("the tiles lead to another root")]
    Root,
    /// An entry is longer than 65,535 bytes.
    #[error("the entry is too long")]
    Entry,
    /// The tree has no such tile.
    #[error("the tree has no such tile")]
    OutOfRange,
}

impl From<OutOfRange> for TileError {
    fn from(OutOfRange: OutOfRange) -> Self {
        Self::OutOfRange
    }
}

impl TileId {
    /// Tile `index` of `level` as the tree of `size` leaves has it, full or partial. `None` if it has none.
    #[must_use]
    pub fn in_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        let width = width_at(index, nodes_at(level, size))?;
        (level <= MAX_LEVEL).then_some(Self {
            level,
            index,
            width,
        })
    }

    /// The path, `tile/0/x001/x234/067.p/12`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, number(self.index, self.width))
    }

    /// Reads what [`TileId::path`] writes.
    ///
    /// # Errors
    /// [`TileError::Path`] for anything else.
    pub fn parse_path(path: &str) -> Result<Self, TileError> {
        let parse = || {
            let (level, number) = path.strip_prefix("tile/")?.split_once('/')?;
            let level = u8::try_from(encoding::from_decimal(level)?).ok()?;
            let (index, width) = parse_number(number)?;
            (level <= MAX_LEVEL).then_some(Self {
                level,
                index,
                width,
            })
        };
        parse().ok_or(TileError::Path)
    }

    /// The hashes of the tile from its bytes.
    ///
    /// # Errors
    /// [`TileError::Length`] unless there are exactly `32 * width` bytes.
    pub fn parse(&self, bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        if hashes.len() != usize::from(self.width) || !rest.is_empty() {
            return Err(TileError::Length);
        }
        Ok(hashes.to_vec())
    }
}

impl BundleId {
    /// Bundle `index` as the log of `size` entries has it, full or partial. `None` if it has none.
    #[must_use]
    pub fn in_tree(index: u64, size: u64) -> Option<Self> {
        let width = width_at(index, size)?;
        Some(Self { index, width })
    }

    /// The path, `tile/entries/x001/x234/067.p/12`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("tile/entries/{}", number(self.index, self.width))
    }

    /// Reads what [`BundleId::path`] writes.
    ///
    /// # Errors
    /// [`TileError::Path`] for anything else.
    pub fn parse_path(path: &str) -> Result<Self, TileError> {
        let number = path.strip_prefix("tile/entries/");
        let (index, width) = number.and_then(parse_number).ok_or(TileError::Path)?;
        Ok(Self { index, width })
    }

    /// The number, in the log, of the bundle's first entry.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.index.saturating_mul(WIDTH.into())
    }

    /// The entries of the bundle from its bytes.
    ///
    /// # Errors
    /// [`TileError::Length`] unless the bytes are exactly `width` entries. Their hashes must still be checked.
    pub fn parse<'a>(&self, mut bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, TileError> {
        let mut entries = Vec::with_capacity(self.width.into());
        while entries.len() < usize::from(self.width) {
            let (length, rest) = bytes.split_first_chunk().ok_or(TileError::Length)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (entry, rest) = rest.split_at_checked(length).ok_or(TileError::Length)?;
            entries.push(entry);
            bytes = rest;
        }
        if bytes.is_empty() {
            Ok(entries)
        } else {
            Err(TileError::Length)
        }
    }
}

/// The bytes of a tile with these hashes.
#[must_use]
pub fn encode(hashes: &[Hash]) -> Vec<u8> {
    hashes.concat()
}

/// The bytes of a bundle: each entry after its length in two bytes, big-endian.
///
/// # Errors
/// [`TileError::Entry`] for an entry of more than 65,535 bytes; those of Sealdrop have about 140.
pub fn encode_bundle<T: AsRef<[u8]>>(entries: &[T]) -> Result<Vec<u8>, TileError> {
    let mut bytes = Vec::new();
    for entry in entries.iter().map(AsRef::as_ref) {
        let length = u16::try_from(entry.len()).map_err(|_| TileError::Entry)?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

/// All tiles of a tree of `size` leaves, lowest level first.
pub fn tiles(size: u64) -> impl Iterator<Item = TileId> {
    tiles_between(0, size)
}

/// The tiles that a tree has at `new` leaves and did not have, so wide, at `old`: those to write after growing, or to fetch.
pub fn tiles_between(old: u64, new: u64) -> impl Iterator<Item = TileId> {
    (0..LEVELS).flat_map(move |level| {
        grown(nodes_at(level, old), nodes_at(level, new)).map(move |(index, width)| TileId {
            level,
            index,
            width,
        })
    })
}

/// The bundles that hold the entries `[old, new)`, as the log of `new` entries has them. The first may begin before `old`.
pub fn bundles_between(old: u64, new: u64) -> impl Iterator<Item = BundleId> {
    grown(old, new).map(|(index, width)| BundleId { index, width })
}

/// The node `(level, index)` of the tree of `size` leaves, from its tiles: for [`tree::inclusion_proof`], [`tree::consistency_proof`] and
/// [`Frontier::read`]. `fetch` gives the hashes of a tile, as [`TileId::parse`] has checked them, and is the place for a cache.
///
/// Nothing is verified here: a proof made so stands only once it verifies against a signed root.
pub fn nodes_from<E: From<OutOfRange>>(
    size: u64,
    mut fetch: impl FnMut(TileId) -> Result<Vec<Hash>, E>,
) -> impl FnMut(u8, u64) -> Result<Hash, E> {
    move |level, index| {
        let depth = level % HEIGHT;
        let first = index.checked_mul(1 << depth).ok_or(OutOfRange)?;
        let tile = TileId::in_tree(level / HEIGHT, first / u64::from(WIDTH), size);
        let tile = fetch(tile.ok_or(OutOfRange)?)?;
        let start = (first % u64::from(WIDTH)) as usize;
        let nodes = tile.get(start..start + (1 << depth)).ok_or(OutOfRange)?;
        Ok(tree::root(nodes))
    }
}

/// All leaf hashes of the tree of `size` leaves under `root`, from its level 0 tiles, whose bytes `fetch` gives.
///
/// # Errors
/// [`TileError`] if a tile has another length or the hashes lead to another root, or what `fetch` gives. `root` and `size` must come from a
/// checkpoint that was verified.
pub fn leaf_hashes<E: From<TileError>>(
    size: u64,
    root: &Hash,
    mut fetch: impl FnMut(TileId) -> Result<Vec<u8>, E>,
) -> Result<Vec<Hash>, E> {
    let mut leaves = Vec::new();
    for (index, width) in grown(0, size) {
        let tile = TileId {
            level: 0,
            index,
            width,
        };
        leaves.extend(tile.parse(&fetch(tile)?)?);
    }
    let frontier: Frontier = leaves.iter().copied().collect();
    if frontier.root() != *root {
        return Err(TileError::Root.into());
    }
    Ok(leaves)
}

/// How many nodes of a tile level are complete at `size` leaves.
fn nodes_at(level: u8, size: u64) -> u64 {
    let shift = u32::from(HEIGHT) * u32::from(level);
    size.checked_shr(shift).unwrap_or(0)
}

/// The width of tile `index` of a level of `nodes` nodes; `None` if it would be empty.
fn width_at(index: u64, nodes: u64) -> Option<u16> {
    let rest = nodes.checked_sub(index.checked_mul(WIDTH.into())?)?;
    let width = rest.min(WIDTH.into()) as u16;
    (width > 0).then_some(width)
}

/// The tiles `(index, width)` that change when a level grows from `old` to `new` nodes.
fn grown(old: u64, new: u64) -> impl Iterator<Item = (u64, u16)> {
    let width = u64::from(WIDTH);
    let indices = if old < new {
        old / width..new.div_ceil(width)
    } else {
        0..0
    };
    indices.filter_map(move |index| Some((index, width_at(index, new)?)))
}

/// `x001/x234/067`, with `.p/<width>` if it is not full.
fn number(index: u64, width: u16) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < WIDTH {
        path.push_str(&format!(".p/{width}"));
    }
    path
}

fn parse_number(text: &str) -> Option<(u64, u16)> {
    let (path, width) = match text.split_once(".p/") {
        Some((path, width)) => (path, u16::try_from(encoding::from_decimal(width)?).ok()?),
        None => (text, WIDTH),
    };
    // Six elements reach beyond any tree of this protocol, and 10^18 stays within a u64.
    if path.split('/').count() > 6 {
        return None;
    }
    let mut index = 0;
    for element in path.split('/') {
        let digits = element.strip_prefix('x').unwrap_or(element);
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        index = index * 1000 + digits.parse::<u64>().ok()?;
    }
    // Writing it again refuses every other spelling: leading zeroes, a missing x, a width of 0 or 256.
    (width > 0 && number(index, width) == text).then_some((index, width))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_path(tile: (u8, u64, u16), path: &str) {
        let (level, index, width) = tile;
        let tile = TileId {
            level,
            index,
            width,
        };
        assert_eq!(tile.path(), path);
        assert_eq!(TileId::parse_path(path), Ok(tile));
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        check_path((0, 0, 256), "tile/0/000");
        check_path((0, 0, 16), "tile/0/000.p/16");
        check_path((0, 999, 255), "tile/0/999.p/255");
        check_path((3, 1_000, 1), "tile/3/x001/000.p/1");
        check_path((63, 1_234_067, 256), "tile/63/x001/x234/067");
        let bundle = BundleId {
            index: 1_234_067,
            width: 12,
        };
        assert_eq!(bundle.path(), "tile/entries/x001/x234/067.p/12");
        assert_eq!(BundleId::parse_path(&bundle.path()), Ok(bundle));
        assert_eq!(bundle.start(), 1_234_067 * 256);
    }

    #[test]
    fn a_path_has_one_spelling() {
        for bad in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/0000",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/0/xx01/002",
            "tile/0/+01",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/016",
            "tile/0/000.p/256",
            "tile/0/000.p/65537",
            "tile/0/000.p/1.p/1",
            "tile/0/000/",
            "/tile/0/000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            // Seven elements in as few characters as six with an x: their number is beyond a u64.
            "tile/0/040/001/000/100/001/000/000",
            "tile/entries/000",
        ] {
            assert_eq!(TileId::parse_path(bad), Err(TileError::Path), "{bad:?}");
        }
        assert_eq!(BundleId::parse_path("tile/0/000"), Err(TileError::Path));
        assert_eq!(BundleId::parse_path("tile/entries/"), Err(TileError::Path));
    }

    /// The worked example of C2SP tlog-tiles.
    #[test]
    fn a_tree_of_70_000_has_the_tiles_of_the_specification() {
        let all: Vec<TileId> = tiles(70_000).collect();
        let count = |level, full| {
            let wanted = |t: &&TileId| t.level == level && (t.width == WIDTH) == full;
            all.iter().filter(wanted).count()
        };
        assert_eq!(
            (count(0, true), count(1, true), count(2, true)),
            (273, 1, 0)
        );
        let partial: Vec<String> = all
            .iter()
            .filter(|t| t.width < WIDTH)
            .map(TileId::path)
            .collect();
        assert_eq!(
            partial,
            ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]
        );
        let small: Vec<String> = tiles(256).map(|t| t.path()).collect();
        assert_eq!(small, ["tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(tiles(0).count(), 0);
    }

    #[test]
    fn a_grown_tree_names_its_new_tiles() {
        let paths =
            |old, new| -> Vec<String> { tiles_between(old, new).map(|t| t.path()).collect() };
        assert_eq!(paths(16, 32), ["tile/0/000.p/32"]);
        assert_eq!(
            paths(250, 258),
            ["tile/0/000", "tile/0/001.p/2", "tile/1/000.p/1"]
        );
        assert_eq!(paths(256, 258), ["tile/0/001.p/2"]);
        assert_eq!(paths(256, 256), [""; 0]);
        let bundles: Vec<String> = bundles_between(250, 258).map(|b| b.path()).collect();
        assert_eq!(bundles, ["tile/entries/000", "tile/entries/001.p/2"]);
    }

    /// A store of tiles, written as a tree grows from size to size.
    fn store(leaves: &[Hash], steps: &[u64]) -> BTreeMap<TileId, Vec<u8>> {
        let mut stored = BTreeMap::new();
        let node = tree::nodes_of(leaves);
        let mut old = 0;
        for &new in steps {
            for tile in tiles_between(old, new) {
                let first = tile.index * u64::from(WIDTH);
                let hashes: Vec<Hash> = (first..first + u64::from(tile.width))
                    .map(|index| node(8 * tile.level, index).unwrap())
                    .collect();
                assert_eq!(stored.insert(tile, encode(&hashes)), None);
            }
            old = new;
        }
        stored
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn tiles_carry_roots_and_proofs(size in 1_u64..1_400, step in 1_u64..500, old: u64, index: u64) {
            let leaves: Vec<Hash> = (0..size).map(|i| tree::leaf_hash(&i.to_be_bytes())).collect();
            let steps: Vec<u64> = (0..size).step_by(step as usize).skip(1).chain([size]).collect();
            let stored = store(&leaves, &steps);
            let root = tree::root(&leaves);
            let bytes = |tile: TileId| stored.get(&tile).cloned().ok_or(TileError::OutOfRange);
            let fetch = |tile: TileId| tile.parse(&bytes(tile)?);

            prop_assert_eq!(leaf_hashes(size, &root, bytes), Ok::<_, TileError>(leaves.clone()));
            prop_assert_eq!(leaf_hashes(size, &leaves[0], bytes).is_err(), size > 1);
            let frontier = Frontier::read(size, nodes_from(size, fetch)).unwrap();
            prop_assert_eq!(frontier.root(), root);
            let index = index % size;
            let proof = tree::inclusion_proof(index, size, nodes_from(size, fetch)).unwrap();
            prop_assert_eq!(tree::verify_inclusion(&leaves[index as usize], index, size, &proof, &root), Ok(()));
            let old = old % (size + 1);
            let proof = tree::consistency_proof(old, size, nodes_from(size, fetch)).unwrap();
            let old_root = tree::root(&leaves[..old as usize]);
            prop_assert_eq!(tree::verify_consistency(old, size, &proof, &old_root, &root), Ok(()));
        }

        #[test]
        fn bundles_read_back(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..=256)) {
            let bundle = BundleId { index: 0, width: entries.len() as u16 };
            let bytes = encode_bundle(&entries).unwrap();
            prop_assert_eq!(bundle.parse(&bytes), Ok(entries.iter().map(Vec::as_slice).collect()));
            prop_assert_eq!(bundle.parse(&bytes[..bytes.len() - 1]), Err(TileError::Length));
            let longer = [&bytes[..], &[0]].concat();
            prop_assert_eq!(bundle.parse(&longer), Err(TileError::Length));
        }
    }

    #[test]
    fn nodes_beyond_the_tree_are_refused() {
        let mut node = nodes_from(300, |tile| {
            Ok::<_, TileError>(vec![[0; 32]; tile.width.into()])
        });
        for (level, index) in [(0, 300), (3, 38), (8, 1), (16, 0), (255, 0), (7, u64::MAX)] {
            assert_eq!(
                node(level, index),
                Err(TileError::OutOfRange),
                "{level} {index}"
            );
        }
        assert!(node(0, 299).is_ok() && node(2, 74).is_ok() && node(8, 0).is_ok());
    }

    #[test]
    fn an_entry_of_65_536_bytes_is_too_long() {
        assert!(encode_bundle(&[vec![0; 65_535]]).is_ok());
        assert_eq!(encode_bundle(&[vec![0; 65_536]]), Err(TileError::Entry));
    }
}
