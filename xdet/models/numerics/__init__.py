"""How tensors are computed: convolutions, resizing, precision, frozen parts."""
