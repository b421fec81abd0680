//! `colorfulscoop/gpt2-small-ja`: Japanese Wikipedia, three texts at once.
//!
//! `cargo run --release --example generate_japanese [MODEL]`

use gpt2_examples::{Failure, Options};
use gpt2_infer::GenerationConfig;

const PROMPT: &str = "近年の機械学習は";

fn main() -> std::process::ExitCode {
    gpt2_examples::run(generate)
}

fn generate(options: &Options) -> Result<(), Failure> {
    // The card decodes with special tokens.
    let pipeline = options.pipeline(TEXT)?.skip_special_tokens(false);
    let config = GenerationConfig {
        do_sample: true,
        top_p: 0.95,
        top_k: 50,
        num_return_sequences: 3,
        seed: options.seed,
        ..pipeline.generation_config().clone()
    };
    for generated in pipeline.generate(PROMPT, &config)? {
        println!("{}", generated.text);
    }
    Ok(())
}

/// What the small model reads where no published one is given.
const TEXT: &str = "\
近年の機械学習は、画像や音声だけでなく、文章を書くことにも使われている。
近年の研究では、小さな模型でも短い文章を覚えられることが知られている。
機械学習とは、データの中にある規則を計算機に見つけさせる方法である。
この町は川と山の間にあり、春には桜を見に多くの人が訪れる。
図書館の窓からは海が見え、夕方になると船の灯りがともる。
文章を書く機械は、次に来る言葉を一つずつ選んでいる。";
