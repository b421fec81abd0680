//! What a training step of GPT-2 small costs: the peak of memory, and the time of a step.
//!
//! Random weights and random text, which cost what real ones do. Peaks are of a whole process, so
//! that each set of options is a run of its own. Processor time, of all cores together, is what to
//! compare on a machine that has other work. Both are Linux's own counts:
//!
//! ```sh
//! cargo run --release --example training_memory -- --rows 2 --length 512 --gradient-checkpointing
//! ```

use std::error::Error;
use std::time::Instant;

use clap::Parser;
use gpt2_core::{Gpt2, Gpt2Config, device};
use gpt2_train::{ComputeDType, Control, Dataset, Event, Example, Trainer, TrainingConfig};

#[derive(Parser)]
struct Options {
    /// Sequences of a step
    #[arg(long, default_value_t = 1)]
    rows: usize,
    /// Tokens of a sequence
    #[arg(long, default_value_t = 512)]
    length: usize,
    /// Steps after the first, whose time is reported
    #[arg(long, default_value_t = 3)]
    steps: usize,
    /// Element type of the products
    #[arg(long, value_enum, default_value_t = ComputeDType::F32)]
    dtype: ComputeDType,
    /// Run every block again in the backward pass
    #[arg(long)]
    gradient_checkpointing: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let config = Gpt2Config::gpt2();
    let model = Gpt2::init(&config, 1, &device::best()?)?;
    let id = |at: usize| (at as u32).wrapping_mul(2_654_435_761) % config.vocab_size as u32;
    let row = |row: usize| {
        let first = row * options.length;
        Example::new((first..first + options.length).map(id).collect())
    };
    let train = Dataset::new("training", (0..options.rows).map(row).collect(), &config)?;
    let training = TrainingConfig {
        max_steps: Some(options.steps + 1),
        per_device_batch_size: options.rows,
        dtype: options.dtype,
        gradient_checkpointing: options.gradient_checkpointing,
        ..TrainingConfig::default()
    };
    // The first step is a warm-up.
    let (mut clock, mut processor) = (Instant::now(), None);
    Trainer::new(training)?.run(model, &train, None, &mut |event: &Event, _: &Gpt2| {
        if matches!(event, Event::Step(record) if record.step == 1) {
            (clock, processor) = (Instant::now(), processor_seconds());
        }
        Ok(Control::Continue)
    })?;
    let a_step = |seconds: f64| seconds / options.steps.max(1) as f64;
    let processor = processor.zip(processor_seconds()).map(|(before, after)| after - before);
    println!(
        "a step: {:.2} s, {:.2} s of processors; at most {} MiB",
        a_step(clock.elapsed().as_secs_f64()),
        processor.map_or(f64::NAN, a_step),
        peak_kibibytes().map_or(f64::NAN, |count| count as f64 / 1024.0).round(),
    );
    Ok(())
}

/// The largest resident size of this process so far.
fn peak_kibibytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Time that processors have spent on this process so far.
fn processor_seconds() -> Option<f64> {
    // Fields 14 and 15 of the file, where the second is a name in brackets; in hundredths.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}
