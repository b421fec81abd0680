//! What a decoding step allocates.

use gpt2_core::{Gpt2, Gpt2Batch, Gpt2Config, KvCache, device};

use crate::common::ids;

/// Bytes that one step allocates behind as many tokens of each row as `lengths` says.
fn bytes_of_a_step(model: &Gpt2, cache: &mut KvCache, lengths: &[usize]) -> u64 {
    for (row, &length) in lengths.iter().enumerate() {
        cache.truncate(row, length);
    }
    let step = vec![ids(1, 5); lengths.len()];
    let step = Gpt2Batch::new(&step, model.config(), &model.device()).unwrap();
    let counted = allocation_counter::measure(|| {
        let _ = model.head(model.hidden_cached(&step, cache));
    });
    counted.bytes_total
}

#[test]
fn a_step_on_flex_allocates_the_same_at_any_length_of_text() {
    let Ok(device) = device::by_name("flex") else { return };
    let config =
        Gpt2Config { vocab_size: 61, n_embd: 64, n_layer: 2, n_head: 2, ..Gpt2Config::gpt2() };
    let model = Gpt2::init(&config, 7, &device).unwrap();
    let mut cache = KvCache::new(&config, 3, 1024, &device).unwrap();
    let texts = Gpt2Batch::new(&vec![ids(1000, 3); 3], &config, &device).unwrap();
    // The counter is the thread's: on a pool of one thread nothing escapes it.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        // Equally long rows, and rows that differ.
        for lengths in [[[20, 20, 20], [900, 900, 900]], [[20, 19, 10], [899, 900, 500]]] {
            let bytes = lengths.map(|lengths| {
                cache.clear();
                let _ = model.hidden_cached(&texts, &mut cache);
                bytes_of_a_step(&model, &mut cache, &lengths)
            });
            assert_eq!(bytes[0], bytes[1]);
            assert!((1..100_000).contains(&bytes[0]), "{}", bytes[0]);
        }
    });
}
