"""Transfer of spectra between instruments: readings of a secondary's spectra as scores of the primary.

The primary has a latent space of principal scores (`basis`). A spectrum of another instrument is read as a point of
that space by many maps at once (`maps`): kernel regressions on several views, noise-weighted ones, sparse regressions
of principal scores, slope and bias of each channel, and for counted light the inversion (`inversion`) of an instrument
(`optics`) whose channels are found among the primary's by their lines (`alignment`), with what a normal law of spectra
gets wrong taken off (`correction`). What each is worth is told by rows that it has not seen, also locally
(`stacking`); the same rows say how wide the error is (`reading`).
"""
