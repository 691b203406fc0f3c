"""What all sections of gatepost.toml have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of gatepost.toml: unknown keys are errors, values cannot be changed."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True
    )
