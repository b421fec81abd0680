//! Files that were compressed here, whole and damaged.

use std::io::Write;

use ::bzip2::Compression;
use ::bzip2::write::BzEncoder;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::source::Source;
use super::*;

fn compress(text: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = BzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Words of which no two lines are alike.
fn words(bytes: usize, seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut text = Vec::with_capacity(bytes + 16);
    while text.len() < bytes {
        let word =
            ["nenek ", "menanam ", "cabai ", "di ", "kebun\n", "東京 "][rng.random_range(0..6)];
        text.extend_from_slice(word.as_bytes());
        text.extend_from_slice(rng.random_range(0..5000u32).to_string().as_bytes());
    }
    text
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// All texts of a file from a place on, with where they begin.
fn read_from(path: &Path, place: Place) -> Result<Vec<(Place, Vec<u8>)>> {
    let mut source = Source::open(path, place)?;
    let mut pieces = Vec::new();
    while let Some(piece) = source.next(path)? {
        pieces.push((piece.place, piece.text));
    }
    Ok(pieces)
}

fn read_all(bytes: &[u8]) -> Result<Vec<u8>> {
    let file = file(bytes);
    let pieces = read_from(file.path(), Place::default())?;
    Ok(pieces.into_iter().flat_map(|(_, text)| text).collect())
}

#[test]
fn files_of_one_stream_and_of_many_are_what_was_compressed() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let noise: Vec<u8> = (0..300_000).map(|_| rng.random()).collect();
    let texts = [
        words(250_000, 1),
        b"a".to_vec(),
        Vec::new(),
        words(1_000, 2),
        noise,
        vec![b'x'; 3_000_000],
    ];
    for level in [1, 6, 9] {
        let streams = texts.iter().map(|text| compress(text, level)).collect::<Vec<_>>().concat();
        assert!(read_all(&streams).unwrap() == texts.concat(), "level {level}");
        let one = compress(&texts.concat(), level);
        assert!(read_all(&one).unwrap() == texts.concat(), "one stream of level {level}");
    }
}

#[test]
fn reading_goes_on_at_every_block() {
    let file = file(&[compress(&words(700_000, 4), 1), compress(&words(500_000, 5), 1)].concat());
    let all = read_from(file.path(), Place::default()).unwrap();
    assert!(all.len() > 10, "{}", all.len());
    for (index, (place, _)) in all.iter().enumerate() {
        assert!(read_from(file.path(), *place).unwrap() == all[index..], "block {index}");
    }
}

#[test]
fn a_block_with_the_mark_of_another_one_in_it_is_one_block() {
    let text = words(3_000_000, 6);
    let file = file(&compress(&text, 9));
    for mark in [Mark::Block, Mark::End] {
        let mut reader =
            Bzip2::new(file.path(), File::open(file.path()).unwrap(), Place::default());
        reader.read().unwrap();
        let blocks: Vec<u64> = reader.marks.iter().map(|found| found.bit).collect();
        // As if the number stood in the second and in the last block, once and twice.
        let last = blocks.len() - 2;
        for bit in [blocks[1] + 1_001, blocks[last] + 999, blocks[last] + 70_003] {
            let at = reader.marks.iter().position(|found| found.bit > bit).unwrap();
            reader.marks.insert(at, Found { bit, mark });
        }
        let mut read = Vec::new();
        while let Some(piece) = reader.next().unwrap() {
            read.extend(piece.text);
        }
        assert!(read == text, "{mark:?}");
    }
}

#[test]
fn a_block_of_a_hundred_megabytes_is_given_in_pieces() {
    let bytes = compress(&vec![0; 100_000_000], 9);
    assert!(bytes.len() < 1_000);
    let file = file(&bytes);
    let pieces = read_from(file.path(), Place::default()).unwrap();
    assert!(pieces.iter().all(|(_, text)| text.len() <= 2 << 20));
    assert_eq!(pieces.iter().map(|(_, text)| text.len()).sum::<usize>(), 100_000_000);
}

#[test]
fn what_is_cut_off_is_an_error_that_says_where() {
    let text = words(250_000, 7);
    let (one, two) = (compress(&text, 1), compress(&text, 2));
    let both = [&*one, &*two].concat();
    let mut lengths: Vec<usize> = (4..both.len()).step_by(501).collect();
    lengths.extend(both.len() - 16..both.len());
    lengths.extend(one.len() - 16..one.len() + 16);
    for length in lengths {
        let result = read_all(&both[..length]);
        match length == one.len() {
            true => assert!(result.unwrap() == text),
            false => match result.unwrap_err() {
                Error::Dump { offset, in_xml: false, .. } => assert!(offset <= length as u64),
                error => panic!("{length}: {error}"),
            },
        }
    }
}

#[test]
fn every_flipped_bit_is_an_error_or_nothing() {
    let text = words(300, 8);
    let bytes = [compress(&text, 9), compress(&text, 9)].concat();
    let whole = text.repeat(2);
    let mut errors = 0;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match read_all(&flipped) {
            Err(Error::Dump { .. }) => errors += 1,
            Err(error) => panic!("{bit}: {error}"),
            // Bits that fill up the last byte of a stream, and those of a header that say how large blocks may be.
            Ok(read) => assert!(read == whole, "{bit}"),
        }
    }
    assert!(errors > bytes.len() * 8 - 40, "{errors} of {}", bytes.len() * 8);
}

#[test]
fn what_follows_a_stream_is_another_one() {
    let stream = compress(b"kebun", 9);
    for garbage in [&b"x"[..], b"\0", b"BZ", b"BZh", b"BZh0", b"<xml>", &[0; 100]] {
        let error = read_all(&[&*stream, garbage].concat()).unwrap_err().to_string();
        assert!(error.contains(&format!("byte {}", stream.len())), "{error}");
    }
    let error = read_all(b"BZh9 and no more of it").unwrap_err().to_string();
    assert!(error.contains("byte 4: neither a block nor"), "{error}");
}
