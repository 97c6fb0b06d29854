"""The matrix a version is trained on: its numbers as they are, its categories one column a level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from switchyard_demo_model.serving.versions import Version


@dataclass(frozen=True, slots=True)
class Matrix:
    """The values, and what each column means: numbers first, then (category, level) pairs."""

    values: npt.NDArray[np.float64]
    numbers: Mapping[str, float]  # name → mean, which stands in where the value is missing
    levels: Sequence[tuple[str, str]]


def matrix(version: Version, table: pd.DataFrame) -> Matrix:
    """Lay the table out for the solver. Levels are sorted, so that the order of the rows cannot reorder the columns."""
    means = {name: float(f"{table[name].mean():.6f}") for name in version.numbers}
    columns = [table[name].fillna(means[name]).to_numpy(dtype=np.float64) for name in version.numbers]
    levels: list[tuple[str, str]] = []
    for name in version.categories:
        text = table[name].astype(str)
        for level in sorted(text.unique()):
            levels.append((name, level))
            columns.append((text == level).to_numpy(dtype=np.float64))
    return Matrix(np.column_stack(columns), means, levels)
