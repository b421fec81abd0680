//! `w11wo/indo-gpt2-small`: Indonesian Wikipedia, a text of exactly 40 tokens.
//!
//! `cargo run --release --example generate_indonesian [MODEL]`

use gpt2_examples::{Failure, Options};
use gpt2_infer::GenerationConfig;

const PROMPT: &str = "Nama saya Budi, dari Indonesia";

fn main() -> std::process::ExitCode {
    gpt2_examples::run(generate)
}

fn generate(options: &Options) -> Result<(), Failure> {
    let pipeline = options.pipeline(TEXT)?;
    let config = GenerationConfig {
        do_sample: true,
        top_k: 40,
        num_return_sequences: 1,
        // 50256 in the published vocabulary.
        pad_token_id: Some(pipeline.model().config().vocab_size as u32 - 1),
        seed: options.seed,
        ..pipeline.generation_config().clone().with_min_length(40).with_max_length(40)
    };
    for generated in pipeline.generate(PROMPT, &config)? {
        println!("{}", generated.text);
    }
    Ok(())
}

/// What the small model reads where no published one is given.
const TEXT: &str = "\
Nama saya Budi, dari Indonesia, dan saya tinggal di kota kecil di tepi pantai.
Nama saya Sari, dari Indonesia, dan saya suka membaca buku di perpustakaan kota.
Indonesia adalah negara kepulauan di Asia Tenggara dengan lebih dari tujuh belas ribu pulau.
Kota Bandung terletak di dataran tinggi dan dikelilingi oleh gunung dan kebun teh.
Sungai itu mengalir dari gunung ke laut dan melewati banyak desa kecil.
Budi bekerja di pelabuhan dan pulang ke rumah dengan sepeda setiap sore.";
