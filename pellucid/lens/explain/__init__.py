"""Explanations: which parts of an input speak for an output of a model, and how much.

In: any module, the inputs of one row, and which output. Out: a number for each pixel, token, column or step.
Only the inputs are changed; weights, modes and generators are as before.

    question     a model as a function of what is explained: inputs, or the vectors of its tokens
    methods      saliency, SmoothGrad, integrated gradients, Grad-CAM and occlusion
    embeddings   where a model looks up the vectors of its tokens
    attribute    which method suits an input, and one number for each of its parts
    labels       what these parts are called: tokens, columns, channels; pictures as PNG
    explanation  the result as plain data; no torch
    show         the result in a terminal; no torch

This file imports nothing, so that the result can be read without torch.
"""
