"""Draws from a guide: made, gathered, labelled, summarised, reweighted and stored."""
