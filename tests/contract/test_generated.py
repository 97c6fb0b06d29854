"""Generated files equal their sources."""

from __future__ import annotations

from pathlib import Path

import pytest
from switchyard_contracts import crd
from switchyard_testkit import chart

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", crd.KINDS, ids=[kind.plural for kind in crd.KINDS])
def test_the_committed_definition_is_the_types_own(kind: crd.Kind, tmp_path: Path) -> None:
    crd.main(str(tmp_path))
    name = f"{kind.plural}.yaml"
    assert (ROOT / "manifests" / "crds" / name).read_text(encoding="utf-8") == (tmp_path / name).read_text(
        encoding="utf-8"
    )


def test_the_charts_carry_what_the_types_and_the_values_say() -> None:
    for path, text in chart.generated().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} differs; run `make crds`"
