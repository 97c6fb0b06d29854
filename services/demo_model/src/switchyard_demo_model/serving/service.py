"""The BentoML service: `POST /predict` with one flight, and `GET /about/provenance` for where the model came from.

Health is BentoML's own `/livez` and `/readyz`; the version stands in `/docs.json`, because the Bento is tagged with it.
"""

import json
from pathlib import Path

import bentoml
from bentoml.images import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from switchyard_demo_model.serving.flight import Delay, Flight
from switchyard_demo_model.serving.model import LinearModel
from switchyard_demo_model.serving.versions import VERSIONS

ARTEFACT = Path(__file__).parent / "artefact"
MODEL = ARTEFACT / "model.json"
PROVENANCE = ARTEFACT / "provenance.json"

# A distribution that BentoML does not know: it then leaves the base image's packages alone and installs no compiler.
# `bentoml build` gives the base image itself.
IMAGE = Image(base_image="python:3.11-slim", distro="as-it-is", lock_python_packages=False)


async def provenance(_: Request) -> Response:
    """Which code, data and parameters made this model, and how it did on the test set."""
    return JSONResponse(json.loads(PROVENANCE.read_bytes()))


@bentoml.service(
    name="flight_delay",
    image=IMAGE,
    workers=1,
    logging={"access": {"enabled": False}},
    traffic={"timeout": 30},
    metrics={"enabled": True},
)
@bentoml.asgi_app(Starlette(routes=[Route("/provenance", provenance)]), path="/about")
class FlightDelay:
    """Predicts how many minutes late a flight will land."""

    def __init__(self) -> None:
        self.model = LinearModel.from_bytes(MODEL.read_bytes())
        recipe = json.loads(PROVENANCE.read_bytes())["recipe"]
        self.delay_unit = VERSIONS[recipe].delay_unit

    @bentoml.api  # type: ignore[untyped-decorator]  # BentoML ships no types for it
    async def predict(self, flight: Flight) -> Delay:
        """The delay at arrival, in minutes."""
        return Delay(delay=self.model.predict(flight, delay_unit=self.delay_unit))
