"""Y′: the dispatcher, who may add a buffer to the turnaround after a late flight.

The rule, for whoever wants to check the agreement that the monitor reports: she adds a buffer when the delay she
reckons with is at least fifteen minutes. Mostly that is the model's, give or take what else she sees (a normal error of
five minutes). One time in twelve she goes by her own rule of thumb instead: as late as it left, and on time if it has
not left. All chance is drawn beforehand, from the seed of the world: the same predictions meet the same decisions.
"""

from dataclasses import dataclass
from random import Random

from switchyard_demo_model.serving.flight import Flight

BUFFER_FROM = 15.0  # minutes; `monitoring.decision.threshold` of the demo's ModelDeployment says the same
NOTICE = 5.0  # minutes, standard deviation
OWN_JUDGEMENT = 1 / 12
THINKING = (0.2, 1.5)  # seconds of the demo's clock between the prediction and the decision


@dataclass(frozen=True, slots=True)
class Mood:
    """The chance in one decision."""

    notice: float  # minutes added to the prediction
    own_way: bool
    thinking: float  # seconds


def mood(random: Random) -> Mood:
    """Draw it."""
    return Mood(
        notice=random.gauss(0.0, NOTICE), own_way=random.random() < OWN_JUDGEMENT, thinking=random.uniform(*THINKING)
    )


def adds_buffer(prediction: float, flight: Flight, mood: Mood) -> bool:
    """What she decides."""
    reckoned = (flight.departure_delay or 0.0) if mood.own_way else prediction + mood.notice
    return reckoned >= BUFFER_FROM
