"""What a model's container finds on disk beside its image: weights on a claim, keys, settings, shared memory.

Every volume but an empty one is read-only: a model that writes where others read is another kind of service. What a
ConfigMap says belongs to the revision, as in `model.config`: it is copied, so that files roll back with the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from switchyard_contracts.base import ResourceName, Shape
from switchyard_contracts.containers import Quantity

MOUNT_PATH = r"^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$"
SCRATCH = "scratch"
"""The name of the volume that every model has at /tmp."""
TAKEN = ("/tmp", "/proc", "/sys", "/dev")


class EmptyDir(Shape):
    """Empty when the pod starts, gone with it. In memory it counts against the container's memory limit."""

    medium: Literal["", "Memory"] = ""
    """The node's disk, or Memory."""
    size_limit: Quantity | None = None
    """How large it may grow."""


class Volume(Shape):
    """One volume, and where the model finds it."""

    name: ResourceName
    """The volume's name."""
    mount_path: Annotated[str, StringConstraints(pattern=MOUNT_PATH, max_length=256)]
    """`/dev/shm` with an `emptyDir` of the medium Memory is what frameworks with several processes ask for."""
    empty_dir: EmptyDir | None = None
    """Scratch space."""
    config_map: ResourceName | None = None
    """A ConfigMap, copied with the revision."""
    secret: ResourceName | None = None
    """A Secret."""
    claim: ResourceName | None = None
    """A PersistentVolumeClaim of the deployment's namespace; pods on several nodes need one that several may read."""

    @model_validator(mode="after")
    def _one_source(self) -> Volume:
        sources = (self.empty_dir, self.config_map, self.secret, self.claim)
        if sum(source is not None for source in sources) != 1:
            raise ValueError("set exactly one of emptyDir, configMap, secret and claim")
        if self.mount_path in TAKEN or self.mount_path.startswith(("/proc/", "/sys/")):
            raise ValueError(f"mountPath: {self.mount_path} is taken; mount it elsewhere, such as /models")
        if self.mount_path.startswith("/dev/") and self.mount_path != "/dev/shm":
            raise ValueError(f"mountPath: of /dev only /dev/shm can be mounted, not {self.mount_path}")
        return self


Volumes = Annotated[list[Volume], Field(max_length=16)]


def fit(volumes: Sequence[Volume]) -> None:
    """Raises ValueError where two volumes want the same name or place."""
    names, places = [volume.name for volume in volumes], [volume.mount_path for volume in volumes]
    for index, volume in enumerate(volumes):
        if volume.name in (*names[:index], SCRATCH):
            raise ValueError(f"volumes[{index}].name: {volume.name!r} is taken; choose another")
        if volume.mount_path in places[:index]:
            raise ValueError(f"volumes[{index}].mountPath: {volume.mount_path} is taken; mount it elsewhere")


CEL: dict[type[Shape], list[dict[str, Any]]] = {
    Volume: [
        {
            "rule": "[has(self.emptyDir), has(self.configMap), has(self.secret), has(self.claim)]"
            ".filter(x, x).size() == 1",
            "message": "set exactly one of emptyDir, configMap, secret and claim",
        },
        {
            "rule": "!(self.mountPath in ['/tmp', '/proc', '/sys', '/dev'])",
            "message": "this place is taken; mount it elsewhere, such as /models",
            "fieldPath": ".mountPath",
        },
    ],
}
"""What the API server itself checks of a volume."""
