//! Lists of tensors as arguments of operations.

use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Backend, BackendTensor, Dispatch, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind,
    ExtensionType,
};

/// As many tensors of floats as there are.
///
/// Burn makes arguments of operations of structures with a fixed number of tensors; this is the one for any number, which
/// goes through dispatch and fusion tensor by tensor, in order.
pub struct Tensors<B: Backend>(pub Vec<FloatTensor<B>>);

impl<B: Backend> ExtensionType<B> for Tensors<B> {
    type Target = Tensors<Dispatch>;

    fn map_to_dispatch<F>(self, map_kind: F, autodiff: DispatchAutodiffContext) -> Self::Target
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let wrapped = |tensor| {
            let kind = map_kind(BackendTensor::Float(tensor));
            DispatchTensor { kind, autodiff }
        };
        Tensors(self.0.into_iter().map(wrapped).collect())
    }

    fn map_from_dispatch<F>(target: Self::Target, unwrap_kind: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        Self(target.0.into_iter().map(|tensor| unwrap_kind(tensor).float()).collect())
    }

    fn routing_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn routing_float_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn autodiff_context(target: &Self::Target) -> DispatchAutodiffContext {
        let contexts = target.0.iter().map(|tensor| tensor.autodiff);
        contexts.fold(DispatchAutodiffContext::Disabled, DispatchAutodiffContext::merge)
    }
}

/// What Burn's stream of operations asks of an argument, asked of each tensor.
#[cfg(feature = "cube")]
mod fusion {
    use burn::backend::fusion::custom::{
        Float, FusionValueAdapter, HandleContainer, OutputTensor, TensorId, TensorIr, TensorSpec,
    };
    use burn::backend::fusion::{
        ExecutionError, Fusion, FusionBackend, FusionRuntime, FusionTensor,
    };

    use super::Tensors;

    type Handles<B> =
        HandleContainer<<<B as FusionBackend>::FusionRuntime as FusionRuntime>::FusionHandle>;
    type Fused<B> = FusionTensor<<B as FusionBackend>::FusionRuntime>;

    impl<B: FusionBackend> FusionValueAdapter<B> for Tensors<B> {
        type Metadata = Vec<TensorSpec>;
        type Input = Vec<TensorIr>;
        type Output = Vec<OutputTensor>;
        type Inner = Self;
        type Fused = Tensors<Fusion<B>>;

        fn to_metadata(value: &Self::Fused) -> Self::Metadata {
            value.0.iter().map(<Float as FusionValueAdapter<B>>::to_metadata).collect()
        }

        fn visit_fused_tensors(value: &Self::Fused, visit: &mut impl FnMut(&Fused<B>)) {
            value.0.iter().for_each(visit);
        }

        fn tensor_count(specs: &Self::Metadata) -> usize {
            specs.len()
        }

        fn append_input_ir(value: Self::Fused, inputs: &mut Vec<TensorIr>) -> Self::Input {
            let append = |tensor| <Float as FusionValueAdapter<B>>::append_input_ir(tensor, inputs);
            value.0.into_iter().map(append).collect()
        }

        fn resolve_inputs(inputs: &Self::Input, handles: &mut Handles<B>) -> Self {
            let resolve = |input| <Float as FusionValueAdapter<B>>::resolve_inputs(input, handles);
            Self(inputs.iter().map(resolve).collect())
        }

        fn append_output_ir(
            specs: &Self::Metadata,
            out: &mut Vec<TensorIr>,
            create: &mut impl FnMut() -> TensorId,
        ) -> Self::Output {
            let append =
                |spec| <Float as FusionValueAdapter<B>>::append_output_ir(spec, out, create);
            specs.iter().map(append).collect()
        }

        fn validate_outputs(
            value: &Self,
            outputs: &Self::Output,
            device: Option<&B::Device>,
        ) -> Result<(), ExecutionError> {
            value.0.iter().zip(outputs).try_for_each(|(tensor, output)| {
                <Float as FusionValueAdapter<B>>::validate_outputs(tensor, output, device)
            })
        }

        fn register_output_handles(value: Self, outputs: &Self::Output, handles: &mut Handles<B>) {
            for (tensor, output) in value.0.into_iter().zip(outputs) {
                <Float as FusionValueAdapter<B>>::register_output_handles(tensor, output, handles);
            }
        }

        fn build_fused_output(
            specs: &Self::Metadata,
            tensors: &mut std::vec::IntoIter<Fused<B>>,
        ) -> Self::Fused {
            let build = |spec| <Float as FusionValueAdapter<B>>::build_fused_output(spec, tensors);
            Tensors(specs.iter().map(build).collect())
        }
    }
}
