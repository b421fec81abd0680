//! `bookbot/gpt2-indo-small-kids-stories`: the text-generation pipeline, and hidden states of the
//! prompt.
//!
//! `cargo run --release --example kids_stories_pipeline [MODEL]`

use gpt2_examples::{Failure, Options};
use gpt2_infer::{FeatureOptions, GenerationConfig, Pooling};

const PROMPT: &str = "Archie sedang mengendarai roket ke planet Mars.";

fn main() -> std::process::ExitCode {
    gpt2_examples::run(tell)
}

fn tell(options: &Options) -> Result<(), Failure> {
    let pipeline = options.pipeline(TEXT)?;

    // The card gives no options; GPT-2's own configuration asks these of the pipeline.
    let config = GenerationConfig {
        do_sample: true,
        seed: options.seed,
        ..pipeline.generation_config().clone().with_max_length(50)
    };
    for generated in pipeline.generate(PROMPT, &config)? {
        println!("{}\n", generated.text);
    }

    let states = pipeline.features(PROMPT, &FeatureOptions::default())?;
    println!("{} hidden states of width {}", states.rows.len(), states.rows[0].len());
    let pooled = FeatureOptions { pooling: Pooling::Mean, ..FeatureOptions::default() };
    let mean = pipeline.features(PROMPT, &pooled)?;
    println!("their mean begins with {:.3?}", &mean.rows[0][..4]);
    Ok(())
}

/// What the small model reads where no published one is given.
const TEXT: &str = "\
Archie sedang mengendarai roket ke planet Mars. Di sana ia melihat gunung yang merah dan langit yang jingga.
Archie ingin pulang sebelum malam. Ibu sudah menunggu di rumah dengan sup yang hangat.
Roket itu kecil dan berwarna kuning. Kucing Archie tidur di kursi belakang.
Planet Mars itu dingin, tetapi Archie memakai jaket yang tebal dan topi wol.
Seekor kelinci menemukan wortel besar di kebun dan membaginya dengan teman-temannya.
Pada suatu malam bulan turun ke kolam dan bermain dengan ikan-ikan kecil.";
