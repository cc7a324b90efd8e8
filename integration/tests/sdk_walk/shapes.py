"""AWS's types: botocore has no classes, but the service's description, whose shapes become pydantic models here.

InvokeModel's bodies are bytes to it, so that they are no part of the walk.
"""

import functools
from typing import Annotated, Any, ForwardRef, Literal, Optional, Union

import annotated_types
import pydantic

from .instances import Like

PLAIN = {"string": str, "integer": int, "long": int, "double": float, "float": float, "boolean": bool, "blob": bytes}
# Any JSON.
DOCUMENT = Union[dict[str, str], dict[str, list[str]], list[str], str, int, float, bool]
ARN = "arn:aws:bedrock:us-east-1:123456789012:"
# Strings whose pattern no word of the walk fits, by their shapes.
LIKE = {
    "S3Uri": "s3://castles/north.png", "AccountId": "123456789012", "ProjectIdentifier": "north-1", "OutputConfigEffortString": "high",
    "GuardrailId": "q7exampl3te5", "GuardrailIdentifier": "q7exampl3te5", "GuardrailVersion": "DRAFT",
    "GuardrailArn": f"{ARN}guardrail/q7exampl3te5", "AutomatedReasoningRuleIdentifier": "a1b2c3d4e5f6",
    "GuardrailAutomatedReasoningPolicyVersionArn": f"{ARN}automated-reasoning-policy/a1b2c3d4e5f6:1",
    "InvokedModelId": "arn:aws:bedrock:us-east-1::foundation-model/maker.small-v1:0", "ToolUseId": "tooluse_kZJMlvQmRJ6eAyJE5GIl7Q",
}  # fmt: skip


@functools.cache
def described() -> dict:
    """The description of Bedrock's runtime."""
    from botocore.loaders import Loader

    return Loader().load_service_model("bedrock-runtime", "service-2")


class Shapes:
    """The shapes of the description as types, by their names."""

    def __init__(self) -> None:
        self.shapes, self.made = described()["shapes"], {}

    def of(self, name: str) -> Any:
        """A shape that stands inside itself is named first and made when the outer one is."""
        if name not in self.made:
            self.made[name] = ForwardRef(name)
            self.made[name] = self.make(name)
        return self.made[name]

    def make(self, name: str) -> Any:
        shape = self.shapes[name]
        kind = shape["type"]
        if shape.get("document"):
            return DOCUMENT
        if kind == "list":
            return list[self.of(shape["member"]["shape"])]
        if kind == "map":
            return dict[str, self.of(shape["value"]["shape"])]
        if kind != "structure":
            return self.plain(name, shape)
        # What has a place goes into the path.
        members = {key: member["shape"] for key, member in shape["members"].items() if "location" not in member}
        if shape.get("union") or shape.get("eventstream"):
            return Union[tuple(self.model(f"{name}_{key}", {key: (self.of(inner), ...)}) for key, inner in members.items())]
        made, required = {key: self.of(inner) for key, inner in members.items()}, shape.get("required", ())
        return self.model(name, {key: (of, ...) if key in required else (Optional[of], None) for key, of in made.items()})

    def plain(self, name: str, shape: dict) -> Any:
        """A value with its limits; those of bytes count what is encoded."""
        kind, low, high = PLAIN[shape["type"]], shape.get("min"), shape.get("max")
        if "enum" in shape:
            return Literal[tuple(shape["enum"])]
        if kind in (int, float):
            return Annotated[kind, annotated_types.Interval(ge=low, le=high)]
        if kind is not str:
            return kind
        pattern = f"^(?:{shape['pattern']})$" if "pattern" in shape else None
        limits = pydantic.StringConstraints(min_length=low, max_length=high, pattern=pattern)
        return Annotated[str, limits, Like(LIKE[name])] if name in LIKE else Annotated[str, limits]

    def model(self, name: str, fields: dict) -> type[pydantic.BaseModel]:
        # A field may have the name of a method of pydantic's.
        named = {f"{key}_": (kind, pydantic.Field(default, alias=key)) for key, (kind, default) in fields.items()}
        return pydantic.create_model(name, __config__=pydantic.ConfigDict(defer_build=True, extra="forbid"), **named)

    def whole(self, name: str) -> Any:
        found = self.of(name)
        for kind in list(self.made.values()):
            for model in getattr(kind, "__args__", (kind,)):
                if isinstance(model, type) and issubclass(model, pydantic.BaseModel):
                    model.model_rebuild(_types_namespace=self.made)
        return found


@functools.cache
def bedrock(name: str) -> Any:
    """The type of a shape: `ConverseRequest`."""
    return Shapes().whole(name)
