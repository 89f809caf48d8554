"""Pure, differentiable physics: parameters in, expected counts out.

Nothing here draws a random number, knows a model, or reads a user's file. Units stand in the names. Noise is added by
`probspec.simulate`, which turns expected counts into spectra that look measured.
"""
