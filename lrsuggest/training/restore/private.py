"""What is used of torch that torch does not promise to keep."""

from lrsuggest.private import Private

TORCH = Private(
    "torch",
    "2.9 to 2.14",
    (
        "torch.autograd.grad_mode:_unsafe_preserve_version_counter",
        "torch.utils.data.dataloader:_BaseDataLoaderIter",
        "torch:Tensor._backward_hooks",
        "torch:Tensor._post_accumulate_grad_hooks",
        "torch:Tensor._version",
        "torch:Tensor._indices",
        "torch:Tensor._values",
        "torch._C:DisableTorchFunctionSubclass",
        "torch.nn.modules.module:_global_forward_hooks",
    ),
)
