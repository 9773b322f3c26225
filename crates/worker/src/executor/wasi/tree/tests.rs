//! What the tree promises beyond what the corpus shows: confinement and the edges of renaming.

use super::*;
use crate::executor::wasi::Fault;

fn tree(limit_bytes: u64) -> (tempfile::TempDir, Tree) {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("input");
    std::fs::write(&input, b"0123456789").unwrap();
    let range = |offset, length| InputRange { file: input.clone(), offset, length, handle: None };
    let inputs = BTreeMap::from([("b".into(), range(2, 3)), ("a/deep".into(), range(0, 10))]);
    let scratch = dir.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let tree = Tree::new(inputs, Scratch::new(scratch, limit_bytes)).unwrap();
    (dir, tree)
}

fn errno<T: std::fmt::Debug>(result: Result<T, Stop>) -> Errno {
    match result.unwrap_err() {
        Stop::Errno(errno) => errno,
        Stop::Fault(fault) => panic!("{fault}"),
    }
}

fn names(tree: &Tree, dir: Ino) -> Vec<String> {
    tree.list(dir).unwrap().into_iter().skip(2).map(|entry| entry.name).collect()
}

#[test]
fn no_path_leads_out_of_the_directory_it_starts_from() {
    let (_dir, mut tree) = tree(100);
    tree.make_dir(OUT, "sub").unwrap();
    let sub = tree.find(OUT, "sub").unwrap();
    for path in ["/etc/passwd", "..", "../in", "sub/../..", "sub/../../in/b", "./.././"] {
        assert_eq!(tree.find(OUT, path), Err(Errno::Notcapable), "{path}");
    }
    assert_eq!(tree.find(sub, "../x"), Err(Errno::Notcapable));
    assert_eq!(tree.find(OUT, "sub/../sub/."), Ok(sub));
    assert_eq!(tree.find(OUT, "missing/../sub"), Err(Errno::Noent));
    assert_eq!(tree.find(IN, "b/../a"), Err(Errno::Notdir));
    assert_eq!(tree.find(IN, "b/"), Err(Errno::Notdir));
    assert_eq!(tree.find(IN, ""), Err(Errno::Noent));
}

#[test]
fn inputs_are_ranges_and_read_only() {
    let (_dir, mut tree) = tree(100);
    let b = tree.find(IN, "b").unwrap();
    tree.open(b).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(tree.read(b, 1, &mut buffer).unwrap(), 2);
    assert_eq!(&buffer[..2], b"34");
    assert_eq!(tree.read(b, 99, &mut buffer).unwrap(), 0);
    assert_eq!(errno(tree.write(b, 0, b"x")), Errno::Rofs);
    assert_eq!(errno(tree.remove_file(IN, "b")), Errno::Rofs);
    assert_eq!(errno(tree.make_file(IN, "new")), Errno::Rofs);
    assert_eq!(errno(tree.rename((IN, "b"), (OUT, "b"))), Errno::Rofs);
    assert_eq!(names(&tree, IN), ["a", "b"]);
}

#[test]
fn a_file_lives_until_its_last_holder_lets_go() {
    let (_dir, mut tree) = tree(4);
    let file = tree.make_file(TMP, "f").unwrap();
    tree.open(file).unwrap();
    tree.write(file, 0, b"abcd").unwrap();
    tree.remove_file(TMP, "f").unwrap();
    let mut buffer = [0; 4];
    assert_eq!(tree.read(file, 0, &mut buffer).unwrap(), 4);
    let other = tree.make_file(OUT, "g").unwrap();
    tree.open(other).unwrap();
    let over = tree.write(other, 0, b"e").unwrap_err();
    assert!(matches!(over, Stop::Fault(Fault::OutputExceeded { limit_bytes: 4 })), "{over:?}");
    tree.close(file).unwrap();
    tree.write(other, 0, b"e").unwrap();
    assert_eq!(tree.outputs().keys().collect::<Vec<_>>(), ["g"]);
    assert!(tree.read(file, 0, &mut buffer).is_err());
}

#[test]
fn renaming_keeps_the_tree_a_tree() {
    let (_dir, mut tree) = tree(100);
    for path in ["a", "a/b", "c", "d"] {
        tree.make_dir(OUT, path).unwrap();
    }
    tree.make_file(OUT, "c/full").unwrap();
    tree.make_file(OUT, "file").unwrap();
    assert_eq!(errno(tree.rename((OUT, "a"), (OUT, "a/b/a"))), Errno::Inval);
    assert_eq!(errno(tree.rename((OUT, "a"), (OUT, "c"))), Errno::Notempty);
    assert_eq!(errno(tree.rename((OUT, "a"), (OUT, "file"))), Errno::Notdir);
    assert_eq!(errno(tree.rename((OUT, "file"), (OUT, "a"))), Errno::Isdir);
    tree.rename((OUT, "a"), (OUT, "d")).unwrap();
    tree.rename((OUT, "file"), (TMP, "file")).unwrap();
    assert_eq!(names(&tree, OUT), ["c", "d"]);
    assert_eq!(names(&tree, TMP), ["file"]);
    let b = tree.find(OUT, "d/b").unwrap();
    assert_eq!(errno(tree.rename((OUT, "d"), (b, "x"))), Errno::Inval, "also through a held directory");
}

#[test]
fn depth_is_bounded_also_by_renaming() {
    let (_dir, mut tree) = tree(100);
    let chain = |levels: usize| vec!["d"; levels].join("/");
    for levels in 1..=MAX_DEPTH {
        tree.make_dir(OUT, &chain(levels)).unwrap();
    }
    assert_eq!(errno(tree.make_dir(OUT, &chain(MAX_DEPTH + 1))), Errno::Nametoolong);
    tree.make_dir(TMP, "x").unwrap();
    tree.make_dir(TMP, "x/y").unwrap();
    let deep = format!("{}/x", chain(MAX_DEPTH - 1));
    assert_eq!(errno(tree.rename((TMP, "x"), (OUT, &deep))), Errno::Nametoolong);
    tree.remove_dir(TMP, "x/y").unwrap();
    tree.rename((TMP, "x"), (OUT, &deep)).unwrap();
}
