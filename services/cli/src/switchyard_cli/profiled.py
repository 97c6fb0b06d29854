"""Reference profiles as files: their names, and whether a ModelDeployment speaks of the same model as they do.

What counts and quantiles they hold is read by `switchyard-profile` and the monitor alone, which need numpy for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from switchyard_contracts.canonical import canonical
from switchyard_contracts.model_deployment import Monitoring
from switchyard_contracts.profile_fit import Profiled, misfits

from switchyard_cli.errors import Unreadable

FORMAT = "switchyard.dev/profile.v1"


def read(path: Path) -> Profiled:
    """What a file that `switchyard-profile` wrote is about; `Unreadable` where it is none."""
    try:
        held = json.loads(path.read_bytes())
        if held["format"] != FORMAT:
            raise ValueError
        binnings = [feature["binning"] for feature in held["features"]]
        return Profiled(
            digest=f"sha256:{hashlib.sha256(canonical(held)).hexdigest()}",
            features=[str(binning["name"]) for binning in binnings if binning["side"] == "X"],
            answer=next((str(binning["type"]) for binning in binnings if binning["side"] == "Y"), None),
        )
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"{path}: this is no profile of this release; switchyard-profile writes one") from error


def notes(monitoring: Monitoring, profile: Profiled | None) -> Iterator[str]:
    """Why drift of X and Y will not be looked for, or not be what somebody thinks it is: field and sentence."""
    named = monitoring.reference
    if named is None:
        helps = f"write {profile.digest} there" if profile else "make one of the training table with switchyard-profile"
        yield (
            "spec.monitoring.reference: no profile is named, so X and Y are not profiled and drift is not looked for;"
            f" {helps}"
        )
    if profile is None:
        return
    if named not in (None, profile.digest):
        yield f"spec.monitoring.reference: the file's profile is {profile.digest}; name that, or check the other file"
    for field, sentence in misfits(monitoring, profile):
        yield f"spec.monitoring.{field}: {sentence}"
