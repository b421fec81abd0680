//! Reading piece by piece with a cache against reading at once without one.

use burn::tensor::{Device, Tensor};
use gpt2_core::{Gpt2, Gpt2Batch, KvCache, device};

use crate::common::{assert_close, batch, config, devices, ids, model};

/// Pieces of text for some rows, as a cache takes them in.
fn pieces(rows: &[&[u32]], device: &Device) -> Gpt2Batch {
    let rows: Vec<Vec<u32>> = rows.iter().map(|row| row.to_vec()).collect();
    Gpt2Batch::right_padded(&rows, &config(), device).unwrap()
}

/// That `hidden` of a row's `piece` (padding behind it) is what the end of its whole text gives.
fn assert_row_alone(model: &Gpt2, hidden: &Tensor<3>, row: usize, piece: usize, text: &[u32]) {
    let alone = model.hidden(&batch(&[text.to_vec()], &model.device()));
    let expected = alone.slice([0..1, text.len() - piece..text.len()]);
    assert_close(&hidden.clone().slice([row..row + 1, 0..piece]), &expected);
}

#[test]
fn cached_decode_equals_full_pass() {
    for device in devices() {
        let model = model(&device);
        let text = ids(20, 3);
        let full = model.forward(&batch(std::slice::from_ref(&text), &device));
        let mut cache = KvCache::new(model.config(), 1, 24, &device).unwrap();
        let mut rows = Vec::new();
        for piece in [&text[..7], &text[7..8], &text[8..13], &text[13..]] {
            let hidden = model.hidden_cached(&batch(&[piece.to_vec()], &device), &mut cache);
            rows.push(model.head(hidden));
        }
        assert_eq!(cache.lengths(), [20]);
        assert_close(&Tensor::cat(rows, 1), &full);
    }
}

#[test]
fn ragged_rows_give_what_each_gives_alone() {
    for device in devices() {
        let model = model(&device);
        let texts = [ids(24, 1), ids(24, 30), ids(24, 11)];
        let mut cache = KvCache::new(model.config(), 5, 24, &device).unwrap();
        let mut read = [0; 3];
        // Padding of the last but one stands behind the last position of all.
        for piece in [[7, 2, 1], [1, 1, 1], [3, 5, 1], [0, 2, 1], [1, 1, 1], [12, 1, 3], [0, 0, 1]]
        {
            let from = read;
            read = std::array::from_fn(|row| from[row] + piece[row]);
            let seq = piece.into_iter().max().unwrap();
            let padded = (0..3).map(|row| {
                let text = texts[row][from[row]..read[row]].to_vec();
                [text, vec![60; seq - piece[row]]].concat()
            });
            let padded = batch(&padded.collect::<Vec<_>>(), &device);
            let input = Gpt2Batch { lengths: Some(piece.to_vec()), ..padded };
            let hidden = model.hidden_cached(&input, &mut cache);
            assert_eq!(hidden.dims(), [3, seq, 24]);
            assert_eq!(cache.lengths(), read);
            for row in (0..3).filter(|&row| piece[row] > 0) {
                assert_row_alone(&model, &hidden, row, piece[row], &texts[row][..read[row]]);
            }
        }
    }
}

#[test]
fn selected_rows_go_on_as_the_same_texts_alone() {
    for device in devices() {
        let model = model(&device);
        let mut texts = vec![ids(9, 0), ids(4, 20), ids(6, 45)];
        let mut cache = KvCache::new(model.config(), 5, 24, &device).unwrap();
        let prompts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let _ = model.hidden_cached(&pieces(&prompts, &device), &mut cache);
        let choices: [&[usize]; 6] =
            [&[0, 1, 2], &[2, 0, 1, 0, 2], &[4, 1, 1, 3, 0], &[0, 2, 3], &[1, 0, 2], &[2]];
        for (step, rows) in choices.into_iter().enumerate() {
            cache.select(rows).unwrap();
            texts = rows.iter().map(|&row| texts[row].clone()).collect();
            let next: Vec<_> = (0..rows.len()).map(|row| ids(1, (step * 7 + row) as u32)).collect();
            texts.iter_mut().zip(&next).for_each(|(text, next)| text.extend(next));
            let hidden = model.hidden_cached(&batch(&next, &device), &mut cache);
            let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
            assert_eq!(cache.lengths(), lengths);
            for (row, text) in texts.iter().enumerate() {
                assert_row_alone(&model, &hidden, row, 1, text);
            }
        }
    }
}

#[test]
fn rows_go_on_from_where_each_was_truncated() {
    for device in devices() {
        let model = model(&device);
        let mut texts = [ids(5, 0), ids(3, 20)];
        let mut cache = KvCache::new(model.config(), 2, 24, &device).unwrap();
        let _ = model.hidden_cached(&pieces(&[&texts[0], &texts[1]], &device), &mut cache);
        for (round, kept) in [[1, 4], [0, 2], [3, 0]].into_iter().enumerate() {
            let guess = [ids(4, 7 + round as u32), ids(4, 50 + round as u32)];
            let hidden = model.hidden_cached(&batch(&guess, &device), &mut cache);
            for row in 0..2 {
                let guessed = [texts[row].as_slice(), guess[row].as_slice()].concat();
                assert_row_alone(&model, &hidden, row, 4, &guessed);
                texts[row].extend_from_slice(&guess[row][..kept[row]]);
                cache.truncate(row, texts[row].len());
            }
            assert_eq!(cache.lengths(), [texts[0].len(), texts[1].len()]);
        }
        cache.truncate(0, 100);
        assert_eq!(cache.lengths()[0], texts[0].len());
    }
}

#[test]
fn a_cleared_cache_takes_other_rows() {
    for device in devices() {
        let model = model(&device);
        let mut cache = KvCache::new(model.config(), 2, 24, &device).unwrap();
        assert_eq!((cache.rows(), cache.max_rows(), cache.capacity()), (0, 2, 24));
        let _ = model.hidden_cached(&batch(&[ids(12, 0)], &device), &mut cache);
        assert_eq!(cache.rows(), 1);
        cache.clear();
        assert!(cache.lengths().is_empty());
        let texts = [ids(9, 5), ids(2, 7)];
        let again = model.hidden_cached(&pieces(&[&texts[0], &texts[1]], &device), &mut cache);
        for (row, text) in texts.iter().enumerate() {
            assert_row_alone(&model, &again, row, text.len(), text);
        }
    }
}

#[test]
fn a_cache_refuses_what_it_has_no_room_for() {
    let (device, config) = (device::test_device(), config());
    assert!(KvCache::new(&config, 1, 25, &device).is_err());
    assert!(KvCache::new(&config, 1, 0, &device).is_err());
    assert!(KvCache::new(&config, 0, 5, &device).is_err());
    let model = model(&device);
    let mut cache = KvCache::new(&config, 2, 5, &device).unwrap();
    assert!(cache.select(&[0]).unwrap_err().to_string().contains("one of the 0 rows in use"));
    let _ = model.hidden_cached(&batch(&[ids(3, 0)], &device), &mut cache);
    assert!(cache.select(&[1]).unwrap_err().to_string().contains("row 1"));
    assert!(cache.select(&[0, 0, 0]).unwrap_err().to_string().contains("max_rows = 2"));
    assert_eq!(cache.lengths(), [3]);
}

#[test]
fn a_cache_that_no_memory_holds_is_refused() {
    let (device, config) = (device::test_device(), config());
    for rows in [usize::MAX / 10_000, usize::MAX] {
        let error = KvCache::new(&config, rows, 5, &device).unwrap_err().to_string();
        assert!(error.contains("there is no memory"), "{error}");
    }
}

#[test]
#[should_panic(expected = "room for the tokens")]
fn a_row_longer_than_the_capacity_panics() {
    let device = device::test_device();
    let mut cache = KvCache::new(&config(), 2, 5, &device).unwrap();
    let _ = model(&device).hidden_cached(&batch(&[ids(3, 0), ids(3, 1)], &device), &mut cache);
    cache.truncate(0, 1);
    let _ = model(&device).hidden_cached(&batch(&[ids(3, 0), ids(3, 1)], &device), &mut cache);
}

#[test]
#[should_panic(expected = "pad on the right")]
fn a_mask_beside_a_cache_panics() {
    let device = device::test_device();
    let mut cache = KvCache::new(&config(), 2, 5, &device).unwrap();
    let rows = [ids(3, 0), ids(2, 1)];
    let padded = Gpt2Batch::left_padded(&rows, &config(), &device).unwrap();
    let _ = model(&device).hidden_cached(&padded, &mut cache);
}
