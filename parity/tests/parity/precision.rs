//! Rung four with half the bits, and with every block run twice.

use gpt2_train::ComputeDType;

use crate::compare::assert_near;
use crate::models::devices;
use crate::root::roots;
use crate::tolerance::{BF16_TRAINING_LOSS, F16_TRAINING_LOSS};
use crate::training::{check_curve, numbers, run_changed};

#[test]
fn a_checkpointed_curve_equals_the_trainer() {
    for root in roots() {
        let curves = &root.json("training.json")["curves"];
        for (backend, device) in devices() {
            let context = format!("{} checkpointed {backend}", root.name);
            let (_, steps) =
                run_changed(root, None, &device, |config| config.gradient_checkpointing = true);
            check_curve(&context, &steps, &curves["trainer"]);
        }
    }
}

#[test]
fn curves_in_half_the_bits_keep_near_those_of_f32_and_of_autocast() {
    for root in roots() {
        let whole = numbers(&root.json("training.json")["curves"]["trainer"], "loss");
        let autocast = root.has("autocast.json").then(|| root.json("autocast.json"));
        for (dtype, name, tolerance) in [
            (ComputeDType::Bf16, "bf16", BF16_TRAINING_LOSS),
            (ComputeDType::F16, "f16", F16_TRAINING_LOSS),
        ] {
            let able = devices().into_iter().filter(|(_, device)| dtype.check(device).is_ok());
            for (backend, device) in able {
                let context = format!("{} {name} {backend}", root.name);
                let (outcome, steps) =
                    run_changed(root, None, &device, |config| config.dtype = dtype);
                assert_eq!((outcome.skipped_steps, steps.len()), (0, whole.len()), "{context}");
                let theirs = autocast.as_ref().map(|curves| numbers(&curves[name], "loss"));
                for (at, step) in steps.iter().enumerate() {
                    let context = format!("{context} step {at}");
                    assert_near(&context, step.loss, whole[at], tolerance);
                    if let Some(theirs) = &theirs {
                        assert_near(&context, step.loss, theirs[at], tolerance);
                    }
                }
            }
        }
    }
}
