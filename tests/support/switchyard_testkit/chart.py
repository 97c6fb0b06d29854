"""Files generated for the charts: the CRDs as templates, the schema of the values, and the dashboards.

`python -m switchyard_testkit.chart write` writes them; `check` fails when what is committed differs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from switchyard_contracts.crd import KINDS, definition

from switchyard_testkit import values_schema
from switchyard_testkit.dashboards.deployment import DEPLOYMENT
from switchyard_testkit.dashboards.fleet import FLEET
from switchyard_testkit.dashboards.pipeline import PIPELINE

ROOT = Path(__file__).resolve().parents[3]
DASHBOARDS = (FLEET, DEPLOYMENT, PIPELINE)
KEEP = {"helm.sh/resource-policy": "keep"}


def crd_templates() -> dict[Path, str]:
    """The CRDs as both charts carry them: kept on uninstall, since deleting them deletes every deployment."""
    files: dict[Path, str] = {}
    for kind in KINDS:
        crd = definition(kind)
        crd["metadata"]["annotations"] = KEEP
        text = json.dumps(crd, indent=2, ensure_ascii=False)
        if "{{" in text:
            raise ValueError(f"{kind.kind}: its definition holds '{{{{', which Helm would read as a template")
        files[ROOT / f"charts/switchyard-crds/templates/{kind.plural}.yaml"] = text + "\n"
        guarded = "{{- if .Values.crds.install }}\n" + text + "\n{{- end }}\n"
        files[ROOT / f"charts/switchyard/templates/crds/{kind.plural}.yaml"] = guarded
    return files


def dashboards() -> dict[Path, str]:
    """Grafana's dashboards, by the file that holds each."""
    return {
        ROOT / f"charts/switchyard/files/dashboards/{each.name}.json": json.dumps(
            each.json(), indent=2, ensure_ascii=False
        )
        + "\n"
        for each in DASHBOARDS
    }


def generated() -> dict[Path, str]:
    """Every generated file of the charts, with its content."""
    schema = json.dumps(values_schema.schema(), indent=2, ensure_ascii=False) + "\n"
    return {**crd_templates(), **dashboards(), ROOT / "charts/switchyard/values.schema.json": schema}


def main(verb: str) -> int:
    """Write, or compare; 1 when something differs."""
    wrong = []
    for path, text in generated().items():
        if verb == "write":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            wrong.append(str(path.relative_to(ROOT)))
    if wrong:
        print(f"these generated files differ from their sources; run `make crds`: {', '.join(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
