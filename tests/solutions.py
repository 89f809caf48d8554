"""Absorption spectra of three ions, made up."""

import numpy as np

PURE = np.exp(-0.5 * ((np.linspace(0, 1, 60) - np.array([[0.2], [0.5], [0.8]])) / 0.12) ** 2)


def pairs(n: int, seed: int = 0, noise: float = 2e-3, bend: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    C = 0.1 * rng.random((n, 3)) * (rng.random((n, 3)) < 0.6) + 1e-3 * np.eye(3)[np.arange(n) % 3]
    true = 10 * C @ PURE
    return true - bend * true**2 + noise * rng.standard_normal((n, 60)) + noise * rng.standard_normal((n, 1)), C
