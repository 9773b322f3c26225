//! The cache alone: what stays, what goes, what is noticed.

use super::*;
use tempfile::TempDir;

struct Bench {
    folder: TempDir,
    cache: Cache,
    places: u32,
}

impl Bench {
    fn new(max_bytes: u64) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("cache"), max_bytes).unwrap();
        Bench { folder, cache, places: 0 }
    }

    fn place(&mut self) -> PathBuf {
        self.places += 1;
        self.folder.path().join(self.places.to_string())
    }

    async fn put(&mut self, bytes: &[u8]) -> PathBuf {
        let place = self.place();
        let mut incoming = self.cache.incoming().await.unwrap();
        incoming.append(bytes.to_vec()).await.unwrap();
        assert!(self.cache.keep(incoming, Hash::of(bytes), &place).await.unwrap());
        place
    }

    async fn has(&mut self, bytes: &[u8]) -> bool {
        let place = self.place();
        let found = self.cache.take(Hash::of(bytes), &place).await.unwrap();
        assert_eq!(found, place.exists());
        if found {
            assert_eq!(fs::read(place).unwrap(), bytes);
        }
        found
    }

    fn on_disk(&self) -> u64 {
        let files = fs::read_dir(self.folder.path().join("cache")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    }

    fn open_again(&mut self, max_bytes: u64) {
        self.cache = Cache::open(self.folder.path().join("cache"), max_bytes).unwrap();
    }
}

#[tokio::test]
async fn the_least_recently_used_go_first_and_the_bound_holds() {
    let mut bench = Bench::new(250);
    let [a, b, c] = [[1; 100], [2; 100], [3; 100]];
    let first = bench.put(&a).await;
    bench.put(&b).await;
    assert!(bench.has(&a).await);
    bench.put(&c).await;
    assert!(bench.on_disk() <= 250);
    assert!(bench.has(&a).await && bench.has(&c).await && !bench.has(&b).await);

    // What is larger than all of it is used and not kept.
    let large = bench.put(&[9; 300]).await;
    assert_eq!(fs::read(large).unwrap(), [9; 300]);
    assert!(!bench.has(&[9; 300]).await && bench.has(&a).await);
    // A smaller bound holds from the start on, and what an attempt uses stays with it.
    bench.open_again(100);
    assert!(bench.on_disk() <= 100);
    bench.open_again(0);
    assert_eq!((bench.on_disk(), fs::read(first).unwrap()), (0, a.to_vec()));
}

#[tokio::test]
async fn the_order_of_uses_outlives_the_worker() {
    let mut bench = Bench::new(1_000);
    for byte in 1..=3 {
        bench.put(&[byte; 100]).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(bench.has(&[1; 100]).await);
    bench.open_again(200);
    assert!(bench.has(&[1; 100]).await && bench.has(&[3; 100]).await && !bench.has(&[2; 100]).await);
}

#[tokio::test]
async fn what_was_changed_or_cut_short_is_noticed() {
    let mut bench = Bench::new(1_000);
    let bytes = [7; 100];
    let entry = |bench: &Bench| bench.folder.path().join("cache").join(Hash::of(&[7; 100]).to_string());
    for damaged in [&[8; 100][..], &[7; 50], &[]] {
        bench.put(&bytes).await;
        assert!(bench.has(&bytes).await);
        let path = entry(&bench);
        fs::remove_file(&path).unwrap();
        fs::write(&path, damaged).unwrap();
        assert!(!bench.has(&bytes).await, "{damaged:?}");
        assert!(!path.exists());
    }
    assert_eq!(bench.cache.figures().damaged, 3);
    // The same after a start, when nothing is known of the file.
    bench.put(&bytes).await;
    fs::remove_file(entry(&bench)).unwrap();
    fs::write(entry(&bench), [6; 100]).unwrap();
    bench.open_again(1_000);
    assert!(!bench.has(&bytes).await);
    // A file that went away behind our back is fetched again.
    bench.put(&bytes).await;
    fs::remove_file(entry(&bench)).unwrap();
    assert!(!bench.has(&bytes).await);
}

#[tokio::test]
async fn what_a_killed_worker_was_fetching_is_swept_and_wrong_bytes_are_not_kept() {
    let mut bench = Bench::new(1_000);
    bench.put(&[1; 10]).await;
    let dir = bench.folder.path().join("cache");
    fs::write(dir.join(".tmpAbCdEf"), "half of it").unwrap();
    fs::create_dir(dir.join("a folder")).unwrap();
    bench.open_again(1_000);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    assert!(bench.has(&[1; 10]).await);

    let place = bench.place();
    let mut incoming = bench.cache.incoming().await.unwrap();
    incoming.append(b"something else".to_vec()).await.unwrap();
    assert!(!bench.cache.keep(incoming, Hash::of(b"what was wanted"), &place).await.unwrap());
    assert!(!place.exists());
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
}
