"""Exact, fast scans of state-space layers on the CPU, for training and for inference.

`mamba1` and `mamba2` are tensors in, tensors out, with the signatures of transformers' own functions; `install` puts
them where the mixers of a loaded model look them up.
"""
