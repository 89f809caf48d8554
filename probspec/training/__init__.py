"""The one optimisation loop, and what it is made of."""
