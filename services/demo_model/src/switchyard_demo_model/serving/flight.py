"""The question and the answer: one flight as it leaves, and how late it will land."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Code = Annotated[str, Field(min_length=1, max_length=8)]


class Flight(BaseModel):
    """One flight as the product knows it when it asks.

    A cancelled flight has no departure delay; null says so and is as legal as a number.
    """

    model_config = ConfigDict(frozen=True)

    carrier: Code = Field(description="The airline's two-letter code.", examples=["UA"])
    origin: Code = Field(description="The airport of departure.", examples=["EWR"])
    dest: Code = Field(description="The airport of arrival.", examples=["IAH"])
    distance: float = Field(ge=0, description="Miles between the two.", examples=[1400])
    hour: int = Field(ge=0, le=23, description="The scheduled hour of departure.", examples=[5])
    weekday: int = Field(ge=0, le=6, description="0 is Monday.", examples=[1])
    departure_delay: float | None = Field(
        default=None, description="Minutes late at departure; null when the flight has not left.", examples=[2]
    )


class Delay(BaseModel):
    """The answer."""

    model_config = ConfigDict(frozen=True)

    delay: float = Field(description="Predicted delay at arrival, in minutes; negative is early.", examples=[11.5])
