//! What a thief of the server's disk would see.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// Prints where the drop lies, its first and some later bytes, and its row; and looks for `known` parts of the report in every file.
pub(crate) fn show(data: &Path, drop: &[u8], known: &[&[u8]]) -> Result<()> {
    let files = files(data)?;
    let mut found = None;
    let (mut bytes, mut hits) = (0, 0);
    for path in &files {
        let content = fs::read(path)?;
        bytes += content.len();
        hits += known
            .iter()
            .filter(|part| find(&content, part).is_some())
            .count();
        if let Some(at) = find(&content, drop) {
            found = Some((path, content, at));
        }
    }
    let (path, content, at) = found.context("the drop is in no file of the server")?;
    let name = path.strip_prefix(data).unwrap_or(path).display();
    println!("{name}: {} bytes at {at}, an age file", drop.len());
    hexdump(&content, at, 4);
    println!("          …");
    hexdump(&content, at + drop.len() / 2, 3);
    row(data)?;
    ensure!(
        hits == 0,
        "{hits} parts of the report are on the server's disk in the clear"
    );
    println!(
        "    Looked for title, description, steps, the attachment's name and its bytes in all {} files, {bytes} bytes: none is there.",
        files.len()
    );
    Ok(())
}

/// The drop's row, from a copy, since the database is the server's.
fn row(data: &Path) -> Result<()> {
    let copy = tempfile::tempdir()?;
    for name in ["index.db", "index.db-wal"] {
        if data.join(name).exists() {
            fs::copy(data.join(name), copy.path().join(name))?;
        }
    }
    let db = Connection::open(copy.path().join("index.db"))?;
    let mut statement = db.prepare("SELECT * FROM leaf WHERE kind = 0")?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([])?;
    let row = rows.next()?.context("no row for the drop")?;
    println!("\nindex.db, table leaf:");
    for (i, column) in columns.iter().enumerate() {
        let value = match row.get_ref(i)? {
            ValueRef::Null => "null".to_owned(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        println!("  {column:<8} {value}");
    }
    Ok(())
}

fn hexdump(bytes: &[u8], at: usize, lines: usize) {
    for (i, line) in bytes[at..].chunks(16).take(lines).enumerate() {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String = line
            .iter()
            .map(|&byte| {
                if byte.is_ascii_graphic() || byte == b' ' {
                    char::from(byte)
                } else {
                    '.'
                }
            })
            .collect();
        println!("{:08x}  {:<47}  |{text}|", at + i * 16, hex.join(" "));
    }
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = needle.first()?;
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|byte| byte == first) {
        if haystack[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
