"""Views of a model by family, as plain data: what each kind of network computes, in the form that suits it.

In: a model, a batch and a loss (`Subject`). Out: a frozen dataclass of arrays for each view; `to_dict()` is
JSON, `panels()` are the maps and tables that a terminal, the report or a browser draws.

    catalogue          all views by name, which of them fit a model, and the one function that computes them
    subject            the model and its batch, computed in evaluation mode and left as they were
    seen, show         the base of what views return, and how it is printed
    kernels, feature_maps, receptive_field, gates, embeddings, loss_surface, decision_regions   one view each
    attention_ops      finds attention in any model; attention, rollout and patch_attention read it
    products           products of tensors as products of matrices
    latent_space       encoders, decoders and generators; latent_plane, interpolation, traversal, samples,
                       discriminator read it

A view is one file with a `VIEW`; the catalogue finds it. This file imports nothing.
"""
