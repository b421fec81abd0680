//! Products of `f32` on cards whose matrix units would round the factors to TF32, without those units.
//!
//! The framework takes TF32 for every product of `f32` that its fastest kernels can do, and has no switch for it. So these
//! products are chosen here, among the kernels that multiply in `f32`: each kind of product is timed once.

use burn_cubecl::CubeTuneId;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::tune::{LocalTuner, Tunable, TunableSet, TuneGroup, local_tuner};
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems, MatmulKind};
use cubek::matmul::launch::launch_ref;
use cubek::matmul::multi_level::Strategy;
use cubek::matmul::multi_level::routines::TileSizeSelection;
use cubek::matmul::multi_level::routines::batch::double_unit::DoubleUnitSelectionArgs;
use cubek::matmul::multi_level::routines::batch::simple_unit::SimpleUnitSelectionArgs;
use cubek::matmul::routine::BlueprintStrategy;
use cubek::matmul::tune_key::MatmulAutotuneKey;
use cubek::std::InputBinding;

use super::tensors::element;

/// Both factors and the output.
type Inputs = (CubeTensor, CubeTensor, CubeTensor);

/// Whether matrix units of the device would take an `f32` for a TF32.
pub(super) fn would_round(client: &Client) -> bool {
    client.properties().supports_type(ElemType::Float(FloatKind::TF32))
}

/// Writes the product of two matrices of `f32`.
pub(super) fn multiply(left: CubeTensor, right: CubeTensor, output: CubeTensor) {
    static TUNER: LocalTuner<MatmulAutotuneKey, CubeTuneId> = local_tuner!("exact-matmul");
    let client = output.client.clone();
    let id = CubeTuneId::new(&client, &output.device);
    let kernels = TUNER.init(&id, kernels);
    TUNER.execute(&id, &client, kernels, (left, right, output));
}

/// The kernels that are timed. The first takes everything.
fn kernels() -> TunableSet<MatmulAutotuneKey, Inputs, ()> {
    let is_matrix = |key: &MatmulAutotuneKey| matches!(key.analysis.kind, MatmulKind::General);
    // Those of a group that a kind of product is not for are not tried.
    let matrices =
        TuneGroup::<MatmulAutotuneKey>::new(
            "matrices",
            move |key| {
                if is_matrix(key) { 1 } else { -1 }
            },
        );
    let vectors =
        TuneGroup::<MatmulAutotuneKey>::new(
            "vectors",
            move |key| {
                if is_matrix(key) { -1 } else { 1 }
            },
        );
    let copy = |_: &MatmulAutotuneKey, (left, right, output): &Inputs| {
        (left.clone(), right.clone(), output.copy())
    };
    let mut set = TunableSet::new(key, copy).with(tunable(Strategy::Naive));
    for strategy in of_matrices() {
        set = set.with(tunable(strategy).group(&matrices, |_| 1));
    }
    for strategy in of_vectors() {
        set = set.with(tunable(strategy).group(&vectors, |_| 1));
    }
    set
}

fn of_matrices() -> Vec<Strategy> {
    let sizes = [TileSizeSelection::MaxTileSize, TileSizeSelection::MinTileSize];
    let both = |tile_size| {
        [
            Strategy::SimpleUnit(BlueprintStrategy::Inferred(SimpleUnitSelectionArgs {
                tile_size,
            })),
            Strategy::DoubleUnit(BlueprintStrategy::Inferred(DoubleUnitSelectionArgs {
                tile_size,
            })),
        ]
    };
    sizes.into_iter().flat_map(both).collect()
}

fn of_vectors() -> Vec<Strategy> {
    vec![
        Strategy::SimpleVecMat(BlueprintStrategy::Inferred(().into())),
        Strategy::DoubleVecMat(BlueprintStrategy::Inferred(().into())),
        Strategy::Gemm(BlueprintStrategy::Inferred(Default::default())),
        Strategy::GemvUnitPerpendicular(BlueprintStrategy::Inferred(Default::default())),
    ]
}

fn tunable(strategy: Strategy) -> Tunable<MatmulAutotuneKey, Inputs, ()> {
    Tunable::new(&strategy.to_string(), move |inputs: Inputs| launch(&strategy, inputs))
}

fn launch(strategy: &Strategy, (left, right, output): Inputs) -> Result<(), String> {
    let client = output.client.clone();
    let mut types = MatmulElems::from_globals(&MatmulGlobalElems {
        lhs: element(&left),
        rhs: element(&right),
        out: element(&output),
    });
    let [left, right] = [left, right].map(|factor| {
        let of_factor = element(&factor);
        InputBinding::new(factor.binding(), of_factor)
    });
    launch_ref(&strategy.clone().into(), &client, left, right, output.binding(), &mut types)
        .map_err(|error| format!("{error:?}"))
}

fn key((left, right, output): &Inputs) -> MatmulAutotuneKey {
    MatmulAutotuneKey::generate(
        &left.client,
        left.meta.shape(),
        right.meta.shape(),
        left.meta.strides(),
        right.meta.strides(),
        left.meta.tiling,
        right.meta.tiling,
        element(left),
        element(right),
        element(output),
        None,
        None,
    )
}
